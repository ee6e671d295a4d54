import { describe, expect, it } from "vitest";
import { randomDirections, repelledDirections } from "./directions.ts";

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** The definition, pair by pair, in float64. */
function repelledByPairs(
  start: Float32Array,
  n: number,
  d: number,
  steps: number,
  learningRate: number,
): number[][] {
  const w = Array.from({ length: n }, (_, i) => [...start.subarray(i * d, (i + 1) * d)]);
  const m = w.map((row) => row.map(() => 0));
  const v = w.map((row) => row.map(() => 0));
  for (let step = 1; step <= steps; step++) {
    const gradients = w.map((row, i) => {
      const gradient = row.map((x) => 4 * n * (dot(row, row) - 1) * x);
      for (const [j, other] of w.entries()) {
        if (j === i) continue;
        const product = dot(row, other);
        for (let k = 0; k < d; k++) gradient[k]! += 4 * product * other[k]!;
      }
      return gradient;
    });
    for (const [i, gradient] of gradients.entries()) {
      for (const [k, g] of gradient.entries()) {
        m[i]![k] = 0.9 * m[i]![k]! + 0.1 * g;
        v[i]![k] = 0.999 * v[i]![k]! + 0.001 * g * g;
        const scale = Math.sqrt(v[i]![k]! / (1 - 0.999 ** step)) + 1e-8;
        w[i]![k]! -= (learningRate * (m[i]![k]! / (1 - 0.9 ** step))) / scale;
      }
    }
  }
  return w.map((row) => row.map((x) => x / Math.sqrt(dot(row, row))));
}

describe("directions that are pushed apart", () => {
  it("follow the definition, for any number of features and dimensions", () => {
    for (const [n, d] of [
      [32, 28],
      [70, 16],
      [5, 3],
      [133, 40],
    ] as const) {
      const found = repelledDirections(d, n, 3, { steps: 12, learningRate: 0.01 });
      const expected = repelledByPairs(randomDirections(d, n, 3, false), n, d, 12, 0.01).flat();
      const worst = Math.max(...expected.map((x, i) => Math.abs(x - found[i]!)));
      expect(worst).toBeLessThan(2e-5);
    }
  });

  it("are unit vectors, and less alike than at random", () => {
    const [n, d] = [256, 48];
    const meanSquare = (directions: Float32Array): number => {
      let sum = 0;
      for (let i = 0; i < n; i++) {
        const row = directions.subarray(i * d, (i + 1) * d);
        expect(dot(row, row)).toBeCloseTo(1, 5);
        for (let j = 0; j < i; j++) sum += dot(row, directions.subarray(j * d, (j + 1) * d)) ** 2;
      }
      return (2 * sum) / (n * (n - 1));
    };
    const random = meanSquare(randomDirections(d, n, 1, false));
    const repelled = meanSquare(repelledDirections(d, n, 1, { steps: 100, learningRate: 3e-3 }));
    // No n vectors in d dimensions have a smaller mean square than (n - d) / (d (n - 1)).
    const least = (n - d) / (d * (n - 1));
    expect(repelled).toBeGreaterThan(least - 1e-6);
    expect(repelled - least).toBeLessThan((random - least) / 10);
  });

  it("tell how far they are", () => {
    const seen: string[] = [];
    repelledDirections(8, 9, 1, { steps: 3, learningRate: 0.01 }, (done, steps) => {
      seen.push(`${done}/${steps}`);
    });
    expect(seen).toEqual(["1/3", "2/3", "3/3"]);
  });
});
