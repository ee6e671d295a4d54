import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bits, normals } from "../../test/support.ts";
import { chainDot, chainLink, chainProduct, LANES, laneDot } from "./chains.ts";

const WORD = new DataView(new ArrayBuffer(8));

/**
 * a·b + c rounded once to float32, for float32 a, b, c without underflow. The product is exact in float64; the
 * sum's rounding error is found exactly (Knuth's two-sum) and makes the last bit odd (Boldo & Melquiond 2008),
 * which keeps the second rounding from going wrong.
 */
function fusedMultiplyAdd(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = c + product;
  const part = sum - c;
  const error = c - (sum - part) + (product - part);
  WORD.setFloat64(0, sum);
  const word = WORD.getBigInt64(0);
  if (error === 0 || (word & 1n) === 1n) return Math.fround(sum);
  WORD.setBigInt64(0, error > 0 === sum > 0 ? word + 1n : word - 1n);
  return Math.fround(WORD.getFloat64(0));
}

/** The float32 nearest to n/2^149, ties to even, by integers alone. */
function roundExact(n: bigint): number {
  const magnitude = n < 0n ? -n : n;
  const drop = BigInt(Math.max(0, magnitude.toString(2).length - 24));
  const half = drop === 0n ? 0n : 1n << (drop - 1n);
  let kept = magnitude >> drop;
  const rest = magnitude - (kept << drop);
  if (drop > 0n && (rest > half || (rest === half && (kept & 1n) === 1n))) kept++;
  return (Number(kept) * 2 ** Number(drop) * (n < 0n ? -1 : 1)) / 2 ** 74 / 2 ** 75;
}

/** value·2^scale, which must be whole (BigInt throws otherwise). */
function integerOf(value: number, scale: number): bigint {
  return BigInt(value * 2 ** scale);
}

const shapes = fc.record({
  rows: fc.integer({ min: 1, max: 9 }),
  units: fc.integer({ min: 1, max: 13 }),
  depth: fc.integer({ min: 0, max: 40 }),
  xOffset: fc.nat(5),
  zOffset: fc.nat(5),
  seed: fc.nat(1e6),
});

describe("a float32 chain", () => {
  it("is one of fused multiply-adds in all but about one of 2²⁹ values", () => {
    const length = 500;
    let different = 0;
    for (let chain = 0; chain < 200; chain++) {
      const a = normals(length, 3 * chain);
      const b = normals(length, 3 * chain + 1);
      let acc = Math.fround(chain);
      for (let j = 0; j < length; j++) {
        const next = chainDot(acc, a, j, b, j, 1, Math.fround);
        if (next !== fusedMultiplyAdd(a[j], b[j], acc)) different++;
        acc = next;
      }
    }
    expect(different).toBeLessThanOrEqual(1);
  });

  it("is compared with a fused multiply-add that integers confirm", () => {
    const [a, b, c] = [normals(5000, 1), normals(5000, 2), normals(5000, 3)];
    for (let i = 0; i < a.length; i++) {
      const product = integerOf(a[i], 74) * integerOf(b[i], 75);
      expect(fusedMultiplyAdd(a[i], b[i], c[i])).toBe(roundExact(product + integerOf(c[i], 149)));
    }
  });

  it("differs from a fused multiply-add by double rounding alone: the named exception", () => {
    const [a, b, c] = [2 ** -24 * (1 + 2 ** -20), 1 - 2 ** -20, 1 + 2 ** -23];
    // Just below the midpoint of two float32: fused it goes down, rounded to float64 first it is the midpoint.
    expect(fusedMultiplyAdd(a, b, c)).toBe(1 + 2 ** -23);
    expect(chainDot(c, Float32Array.of(a), 0, Float32Array.of(b), 0, 1, Math.fround)).toBe(1 + 2 ** -22);
  });
});

describe("chainProduct", () => {
  it.each([
    ["float32", Float32Array, Math.fround],
    ["float64", Float64Array, (value: number) => value],
  ] as const)("equals chainDot element by element, whatever the shape: %s", (_, Float, round) => {
    fc.assert(
      fc.property(shapes, ({ rows, units, depth, xOffset, zOffset, seed }) => {
        const start = Float.from(normals(units, seed));
        const x = Float.from(normals(xOffset + rows * depth, seed + 1));
        const w = Float.from(normals(units * depth, seed + 2));
        const z = new Float(zOffset + rows * units + 3).fill(5);
        const expected = z.slice();
        for (let r = 0; r < rows; r++) {
          for (let i = 0; i < units; i++) {
            const dot = chainDot(start[i], x, xOffset + r * depth, w, i * depth, depth, round);
            expected[zOffset + r * units + i] = dot;
          }
        }
        chainProduct(z, zOffset, start, x, xOffset, rows, w, units, depth, round);
        expect(bits(z)).toBe(bits(expected));
      }),
    );
  });
});

describe("chainLink", () => {
  it("repeated over rows equals chainDot along the columns", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), (rows, width) => {
        const scales = normals(rows, 1);
        const matrix = normals(rows * width, 2);
        const out = new Float32Array(width + 2);
        for (let r = 0; r < rows; r++) chainLink(out, 1, scales[r], matrix, r * width, width);
        const columns = Array.from({ length: width }, (_, j) => {
          const column = Float32Array.from({ length: rows }, (_unused, r) => matrix[r * width + j]);
          return chainDot(0, scales, 0, column, 0, rows, Math.fround);
        });
        expect(bits(out)).toBe(bits(Float32Array.of(0, ...columns, 0)));
      }),
    );
  });
});

describe("laneDot", () => {
  it("adds every sixteenth product in float32, then the lanes pairwise 8, 4, 2 and 1 apart", () => {
    fc.assert(
      fc.property(fc.nat(70), fc.nat(1e6), (length, seed) => {
        const a = normals(length + 1, seed);
        const b = normals(length + 2, seed + 1);
        let lanes = Array.from({ length: LANES }, (_, lane) => {
          let sum = 0;
          for (let j = lane; j < length; j += LANES) sum = Math.fround(sum + a[j + 1] * b[j + 2]);
          return sum;
        });
        while (lanes.length > 1) {
          const half = lanes.length / 2;
          lanes = lanes.slice(0, half).map((lane, i) => Math.fround(lane + lanes[i + half]));
        }
        // Scratch that was used before must not show.
        const scratch = new Float32Array(LANES).fill(9);
        expect(laneDot(scratch, a, 1, b, 2, length)).toBe(lanes[0]);
      }),
    );
  });
});
