import { munkres } from "munkres";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NearPairs } from "./near-directions.ts";
import { matchOneToOne } from "./one-to-one.ts";

function nearPairs(pairs: readonly (readonly [a: number, b: number, cosine: number])[]): NearPairs {
  return {
    count: pairs.length,
    a: Int32Array.from(pairs, ([a]) => a),
    b: Int32Array.from(pairs, ([, b]) => b),
    cosine: Float32Array.from(pairs, ([, , cosine]) => cosine),
  };
}

/** The largest sum of cosines over all matchings, by trying them. */
function largestSum(pairs: readonly (readonly [number, number, number])[]): number {
  const [first, ...rest] = pairs;
  if (first === undefined) return 0;
  const [a, b, cosine] = first;
  const free = rest.filter((pair) => pair[0] !== a && pair[1] !== b);
  return Math.max(largestSum(rest), Math.fround(cosine) + largestSum(free));
}

const somePairs = fc.uniqueArray(
  fc.tuple(
    fc.integer({ min: 0, max: 6 }),
    fc.integer({ min: 0, max: 6 }),
    fc.double({ min: 0.01, max: 1, noNaN: true }),
  ),
  { maxLength: 12, selector: ([a, b]) => 7 * a + b },
);

describe("matchOneToOne", () => {
  it("finds the largest sum of cosines, part by part", () => {
    fc.assert(
      fc.property(somePairs, (pairs) => {
        const { pairs: matched, floor } = matchOneToOne(nearPairs(pairs), 0, munkres);
        expect(floor).toBe(0);
        expect(new Set(matched.map(({ a }) => a)).size).toBe(matched.length);
        expect(new Set(matched.map(({ b }) => b)).size).toBe(matched.length);
        const sum = matched.reduce((total, { cosine }) => total + cosine, 0);
        expect(sum).toBeCloseTo(largestSum(pairs), 6);
        expect(matched.map(({ a }) => a)).toEqual(matched.map(({ a }) => a).sort((x, y) => x - y));
      }),
    );
  });

  it("cuts parts that are too large at higher cosines, says so, and stays one to one among given pairs", () => {
    fc.assert(
      fc.property(somePairs, fc.integer({ min: 1, max: 9 }), (pairs, mostCells) => {
        const { pairs: matched, floor } = matchOneToOne(nearPairs(pairs), 0, munkres, mostCells);
        expect(new Set(matched.map(({ a }) => a)).size).toBe(matched.length);
        expect(new Set(matched.map(({ b }) => b)).size).toBe(matched.length);
        for (const { a, b, cosine } of matched)
          expect(pairs.find((pair) => pair[0] === a && pair[1] === b)?.[2]).toBeCloseTo(cosine, 6);
        // A pair above all cuts cannot be lost where no two others of its latents outweigh it.
        const sure = pairs.filter(
          ([a, b, cosine]) =>
            cosine > 0.995 &&
            pairs.every((rival) => (rival[0] === a) === (rival[1] === b) || rival[2] < 0.49),
        );
        for (const [a, b, cosine] of sure)
          expect(matched).toContainEqual({ a, b, cosine: Math.fround(cosine) });
        const sum = matched.reduce((total, { cosine }) => total + cosine, 0);
        // Without a cut nothing is lost.
        expect(floor > 0 || Math.abs(sum - largestSum(pairs)) < 1e-6).toBe(true);
      }),
    );
  });

  it("prefers two good pairs to a very good and a bad one", () => {
    const near = nearPairs([
      [0, 0, 0.95],
      [0, 1, 0.8],
      [1, 0, 0.8],
      [1, 1, 0.1],
    ]);
    expect(matchOneToOne(near, 0, munkres).pairs.map(({ a, b }) => [a, b])).toEqual([
      [0, 1],
      [1, 0],
    ]);
    // Cut at 0.9, only the very good one is left.
    expect(matchOneToOne(near, 0, munkres, 1)).toMatchObject({ pairs: [{ a: 0, b: 0 }], floor: 0.9 });
  });
});
