import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { normals } from "../../test/support.ts";
import { OptionError } from "../errors.ts";
import { cosineMatrix, meanMaximumCosine, pairwiseCosines } from "./cosines.ts";

const sizes = { min: 1, max: 70 };

function cosine(a: Float32Array, b: Float32Array): number {
  let product = 0;
  for (let j = 0; j < a.length; j++) product += a[j] * b[j];
  return product / (Math.hypot(...a) * Math.hypot(...b));
}

const rowOf = (vectors: Float32Array, row: number, dIn: number) =>
  vectors.subarray(row * dIn, (row + 1) * dIn);

describe("cosineMatrix", () => {
  it("has the cosine of every pair, whatever the sizes", () => {
    fc.assert(
      fc.property(
        fc.integer(sizes),
        fc.integer(sizes),
        fc.integer({ min: 1, max: 9 }),
        (rows, columns, dIn) => {
          const a = normals(rows * dIn, 1, 3);
          const b = normals(columns * dIn, 2, 0.1);
          const { values } = cosineMatrix(a, b, dIn);
          const expected = Array.from({ length: rows * columns }, (_, at) =>
            cosine(rowOf(a, Math.floor(at / columns), dIn), rowOf(b, at % columns, dIn)),
          );
          expect(values).toHaveLength(expected.length);
          expect(Math.max(...expected.map((value, at) => Math.abs(value - values[at])))).toBeLessThan(1e-6);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("is 0 for vectors without direction", () => {
    expect([...cosineMatrix(Float32Array.of(0, 0, 3, 4), Float32Array.of(3, 4), 2).values]).toEqual([0, 1]);
  });

  it("refuses what is not whole rows", () => {
    expect(() => cosineMatrix(new Float32Array(7), new Float32Array(4), 2)).toThrow(
      new OptionError("dIn", "cosines need whole rows of 2 values, got 7 values"),
    );
  });
});

describe("pairwiseCosines", () => {
  const dIn = 6;
  const latents = 75;
  const W_dec = normals(latents * dIn, 5);

  function byHand(compared: readonly number[]) {
    const counts = Array.from({ length: 20 }, () => 0);
    const nearest = [...counts];
    let absolute = 0;
    const bin = (value: number) => Math.min(19, Math.floor((value + 1) * 10));
    for (const latent of compared) {
      const others = Array.from({ length: latents }, (_, other) => other)
        .filter((other) => other !== latent)
        .map((other) => cosine(rowOf(W_dec, latent, dIn), rowOf(W_dec, other, dIn)));
      for (const value of others) counts[bin(value)]!++;
      nearest[bin(Math.max(...others))]!++;
      absolute += others.reduce((sum, value) => sum + Math.abs(value), 0);
    }
    return { counts, nearest, meanAbsolute: absolute / (compared.length * (latents - 1)) };
  }

  it("bins every pair but a latent with itself, from both sides", () => {
    const found = pairwiseCosines(W_dec, dIn);
    const expected = byHand(Array.from({ length: latents }, (_, latent) => latent));
    expect(found).toMatchObject({ compared: latents, counts: expected.counts, nearest: expected.nearest });
    expect(found.meanAbsolute).toBeCloseTo(expected.meanAbsolute, 6);
  });

  it("compares every so-many-th latent where all would take too long", () => {
    const found = pairwiseCosines(W_dec, dIn, (latents * latents * dIn) / 2.5);
    const expected = byHand(Array.from({ length: 25 }, (_, at) => 3 * at));
    expect(found).toMatchObject({ compared: 25, counts: expected.counts, nearest: expected.nearest });
  });

  it("counts both of two latents with nearly the same direction, but not opposites", () => {
    const rows = Float32Array.of(1, 0, 0, 5, 0.1, 0, 0, 1, 0, 0, -1, 0);
    const { duplicates, edges, counts } = pairwiseCosines(rows, 3);
    expect(duplicates).toBe(2);
    expect(edges[0]).toBe(-1);
    expect(edges[19]).toBe(0.9);
    expect(counts[0]).toBe(2);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(12);
  });

  it("of random directions is about √(2/π·dIn) on average", () => {
    const { meanAbsolute } = pairwiseCosines(normals(200 * 64, 3), 64);
    expect(meanAbsolute).toBeCloseTo(Math.sqrt(2 / (Math.PI * 64)), 2);
  });
});

describe("meanMaximumCosine", () => {
  const features = Float32Array.of(1, 0, 0, 0, 2, 0);

  it("is 1 when every feature is among the learned directions, whatever their lengths and order", () => {
    expect(meanMaximumCosine(features, Float32Array.of(0, 0, 3, 0, 0.5, 0, 7, 0, 0), 3)).toBeCloseTo(1, 6);
  });

  it("averages the best cosine of each feature", () => {
    // The first feature is at 45° to the only direction near it, the second is found.
    const learned = Float32Array.of(1, 0, 1, 0, 1, 0);
    expect(meanMaximumCosine(features, learned, 3)).toBeCloseTo((Math.SQRT1_2 + 1) / 2, 6);
  });

  it("knows a direction from its opposite; rows of zeros have no direction", () => {
    expect(meanMaximumCosine(Float32Array.of(1, 0), Float32Array.of(-1, 0), 2)).toBe(-1);
    expect(meanMaximumCosine(Float32Array.of(1, 0), Float32Array.of(-1, 0, 0, 0), 2)).toBe(0);
  });
});
