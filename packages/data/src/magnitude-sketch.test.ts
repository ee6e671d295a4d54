import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MagnitudeSketch } from "./magnitude-sketch.ts";

/** numpy's default: linear between neighbours. */
function exactQuantile(sorted: readonly number[], share: number): number {
  const rank = share * (sorted.length - 1);
  const low = sorted[Math.floor(rank)]!;
  return low + (rank - Math.floor(rank)) * (sorted[Math.ceil(rank)]! - low);
}

function sketchOf(magnitudes: readonly number[]): MagnitudeSketch {
  const sketch = new MagnitudeSketch();
  for (const magnitude of magnitudes) sketch.add(magnitude);
  return sketch;
}

const magnitude = fc.oneof(
  fc.double({ min: 0, max: 10, noNaN: true }),
  fc.double({ min: -30, max: 30, noNaN: true }).map((exponent) => 10 ** exponent),
  fc.constantFrom(0, 1, 1, 2 ** -140, 3e38),
);
const magnitudes = fc.array(magnitude, { minLength: 1, maxLength: 300 });

describe("a sketch of magnitudes", () => {
  it("gives quantiles within one part in 512, and the ends exactly", () => {
    const shares = [0, 0.01, 0.1, 0.5, 0.9, 0.999, 1];
    fc.assert(
      fc.property(magnitudes, (values) => {
        const sorted = values.toSorted((a, b) => a - b);
        const found = sketchOf(values).quantiles(shares);
        expect(found[0]).toBe(sorted[0]);
        expect(found.at(-1)).toBe(sorted.at(-1));
        for (const [i, share] of shares.entries()) {
          const exact = exactQuantile(sorted, share);
          // The smallest numbers share a bin with zero.
          const tolerance = Math.max(exact / 512, 2 ** -126);
          expect(Math.abs(found[i]! - exact)).toBeLessThanOrEqual(tolerance * (1 + 1e-6));
        }
      }),
    );
  });

  it("does not depend on the order of what is added", () => {
    fc.assert(
      fc.property(magnitudes, (values) => {
        const shares = [0.25, 0.5, 0.75];
        expect(sketchOf(values.toReversed()).quantiles(shares)).toEqual(sketchOf(values).quantiles(shares));
      }),
    );
  });

  it("knows the share of the squares that the largest hold", () => {
    const few = fc.array(fc.double({ min: 1e-3, max: 1e3, noNaN: true }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(few, fc.nat(300), (values, rows) => {
        const squares = values.map((value) => value * value).sort((a, b) => b - a);
        const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0);
        const exact = sum(squares.slice(0, rows)) / sum(squares);
        expect(Math.abs(sketchOf(values).squaresOfTop(rows) - exact)).toBeLessThan(2 / 512);
      }),
    );
  });

  it("gives zeros as zeros", () => {
    expect(sketchOf([0, 0, 0, 0, 5]).quantiles([0.25, 0.5, 0.75])).toEqual([0, 0, 0]);
  });

  it("of nothing has no quantiles, and of zeros no share", () => {
    expect(new MagnitudeSketch().quantiles([0.5])).toEqual([NaN]);
    expect(sketchOf([0, 0]).squaresOfTop(1)).toBe(0);
  });
});
