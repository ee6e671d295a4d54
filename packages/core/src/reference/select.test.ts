import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { selectLargest, sortByLatent } from "./select.ts";

/** Few distinct values, so that ties are the rule, and any float32. */
const rows = fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.float({ noNaN: true })), {
  minLength: 1,
  maxLength: 60,
});

/** selectLargest into the middle of larger arrays, whose other elements must stay as they are. */
function select(row: readonly number[], k: number): { count: number; latents: number[]; values: number[] } {
  const z = Float32Array.from([99, ...row, 99]);
  const values = new Float32Array(k + 2).fill(7);
  const latents = new Int32Array(k + 2).fill(-7);
  const count = selectLargest(z, 1, row.length, k, values, latents, 1);
  expect([values[0], values[k + 1], latents[0], latents[k + 1]]).toEqual([7, 7, -7, -7]);
  const end = 1 + Math.max(0, count);
  return {
    count,
    latents: Array.from(latents.subarray(1, end)),
    values: Array.from(values.subarray(1, end)),
  };
}

describe("selectLargest", () => {
  it("takes what sorting by value and then by latent puts first", () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 70 }), (row, k) => {
        const sorted = row
          .map((value, latent) => ({ value: Math.fround(value), latent }))
          .sort((a, b) => (a.value === b.value ? a.latent - b.latent : b.value > a.value ? 1 : -1))
          .slice(0, k);
        expect(select(row, k)).toEqual({
          count: Math.min(k, row.length),
          latents: sorted.map(({ latent }) => latent),
          values: sorted.map(({ value }) => value),
        });
      }),
      { numRuns: 500 },
    );
  });

  it("prefers the lower latent among equals", () => {
    expect(select([1, 2, 2, 2, 1], 2).latents).toEqual([1, 2]);
    expect(select([0, 0, 0], 2).latents).toEqual([0, 1]);
  });

  it("takes all when k is the length or more", () => {
    expect(select([3, 1, 2], 3)).toEqual({ count: 3, latents: [0, 2, 1], values: [3, 2, 1] });
    expect(select([3, 1], 5)).toEqual({ count: 2, latents: [0, 1], values: [3, 1] });
  });

  it("takes negative values when there are no others", () => {
    expect(select([-3, -1, -2, Number.NEGATIVE_INFINITY], 2)).toEqual({
      count: 2,
      latents: [1, 2],
      values: [-1, -2],
    });
  });

  it("answers −1 wherever a NaN is", () => {
    fc.assert(
      fc.property(rows, fc.nat(60), fc.integer({ min: 1, max: 70 }), (row, at, k) => {
        expect(select(row.toSpliced(at % (row.length + 1), 0, Number.NaN), k).count).toBe(-1);
      }),
    );
  });
});

describe("sortByLatent", () => {
  it("orders pairs by latent and keeps each value with its latent", () => {
    const pairs = fc.uniqueArray(fc.nat(1000), { maxLength: 40 });
    fc.assert(
      fc.property(pairs, (unsorted) => {
        const latents = Int32Array.from([-1, ...unsorted, -1]);
        const values = Float32Array.from(latents, (latent) => latent * 2);
        sortByLatent(latents, values, 1, unsorted.length);
        expect([...latents]).toEqual([-1, ...unsorted.toSorted((a, b) => a - b), -1]);
        expect([...values]).toEqual([...latents].map((latent) => latent * 2));
      }),
    );
  });
});
