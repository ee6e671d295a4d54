import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { normals } from "../../test/support.ts";
import { cosineMatrix } from "./cosines.ts";
import { type Assign, bestMatches, matchDirections, meanCorrelation, uniqueness } from "./matching.ts";

/** Tries every assignment. */
const bruteForce: Assign = (costs) => {
  const rows = costs.length;
  const columns = costs[0]!.length;
  let best: [number, number][] = [];
  let least = Number.POSITIVE_INFINITY;
  const search = (row: number, cost: number, pairs: [number, number][]): void => {
    if (pairs.length === Math.min(rows, columns) && cost < least) {
      least = cost;
      best = pairs;
    }
    if (row === rows) return;
    for (let column = 0; column < columns; column++)
      if (pairs.every(([, taken]) => taken !== column))
        search(row + 1, cost + costs[row]![column]!, [...pairs, [row, column]]);
    if (rows - row > Math.min(rows, columns) - pairs.length) search(row + 1, cost, pairs);
  };
  search(0, 0, []);
  return best;
};

describe("matchDirections", () => {
  it("pairs permuted, stretched and turned-about features with their latents", () => {
    const features = normals(5 * 4, 1);
    const order = [3, 0, 4, 2, 1];
    const latents = Float32Array.from(
      order.flatMap((feature, i) => {
        const factor = i % 2 === 0 ? -2 : 0.5;
        return [...features.subarray(feature * 4, feature * 4 + 4)].map((value) => factor * value);
      }),
    );
    const matches = matchDirections(cosineMatrix(latents, features, 4), bruteForce);
    expect(matches.map(({ column }) => column)).toEqual(order);
    expect(matches.map(({ cosine }) => Math.sign(cosine))).toEqual([-1, 1, -1, 1, -1]);
    expect(meanCorrelation(matches)).toBeCloseTo(1, 6);
  });

  it("gives every row and column at most once, min(rows, columns) pairs, ordered by row", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        fc.nat(99),
        (rows, columns, seed) => {
          const matrix = cosineMatrix(normals(rows * 3, seed), normals(columns * 3, seed + 100), 3);
          const matches = matchDirections(matrix, bruteForce);
          expect(matches).toHaveLength(Math.min(rows, columns));
          expect(new Set(matches.map(({ column }) => column)).size).toBe(matches.length);
          expect(matches.map(({ row }) => row)).toEqual(
            matches.map(({ row }) => row).toSorted((a, b) => a - b),
          );
          for (const { row, column, cosine } of matches)
            expect(cosine).toBe(matrix.values[row * columns + column]);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("gives up a best match where the others gain more", () => {
    // Both latents are most like feature 0; the second can make do with feature 1.
    const matrix = { rows: 2, columns: 2, values: Float32Array.of(0.9, 0.1, 0.95, 0.85) };
    const matches = matchDirections(matrix, bruteForce);
    expect(matches.map(({ column }) => column)).toEqual([0, 1]);
    expect(meanCorrelation(matches)).toBeCloseTo(0.875, 6);
  });
});

describe("bestMatches and uniqueness", () => {
  it("take the largest |cosine| of each row, ties to the lower column, and count different ones", () => {
    const values = Float32Array.of(0.5, -0.9, 0.1, 0.3, 0.3, -0.3, 0, 0.2, -0.1);
    const best = bestMatches({ rows: 3, columns: 3, values });
    expect([...best]).toEqual([1, 0, 1]);
    expect(uniqueness(best)).toBeCloseTo(2 / 3, 12);
  });

  it("is 1 where every latent has a feature of its own", () => {
    const features = normals(6 * 8, 2);
    expect(uniqueness(bestMatches(cosineMatrix(features, features, 8)))).toBe(1);
  });
});
