import { describe, expect, it } from "vitest";
import { gaussian, PURPOSE, type Purpose, uniform } from "./random.ts";

const COUNT = 20_000;

function uniforms(seed: number, purpose: Purpose, step: number, count = COUNT): number[] {
  return Array.from({ length: count }, (_, index) => uniform(seed, purpose, step, index));
}

/** Pearson's correlation of two lists. */
function correlation(a: number[], b: number[]): number {
  const mean = (x: number[]) => x.reduce((sum, value) => sum + value, 0) / x.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let ab = 0;
  let aa = 0;
  let bb = 0;
  a.forEach((value, i) => {
    ab += (value - meanA) * (b[i]! - meanB);
    aa += (value - meanA) ** 2;
    bb += (b[i]! - meanB) ** 2;
  });
  return ab / Math.sqrt(aa * bb);
}

describe("uniform", () => {
  it("gives the values that runs so far have been made with", () => {
    expect([0, 1, 2].map((index) => uniform(0, PURPOSE.decoderDirection, 0, index))).toMatchInlineSnapshot(`
      [
        0.16646490432322025,
        0.8288227589800954,
        0.2512147193774581,
      ]
    `);
    expect(uniform(42, PURPOSE.synthetic, 7, 2 ** 40 + 3)).toMatchInlineSnapshot(`0.408126016613096`);
  });

  it("is spread evenly over [0, 1)", () => {
    const counts = Array.from({ length: 50 }, () => 0);
    for (const value of uniforms(3, PURPOSE.synthetic, 0)) {
      expect(value >= 0 && value < 1).toBe(true);
      counts[Math.floor(value * 50)]!++;
    }
    // χ² of 49 degrees of freedom: 99.9 % of fair generators stay below 85.4.
    const chiSquare = counts.reduce((sum, count) => sum + (count - COUNT / 50) ** 2 / (COUNT / 50), 0);
    expect(chiSquare).toBeLessThan(85.4);
    expect(chiSquare).toBeGreaterThan(20);
  });

  it("is a function of its arguments: asked in any order, the same", () => {
    const forward = uniforms(5, PURPOSE.layerWeight, 2, 100);
    gaussian(1, PURPOSE.synthetic, 9, 9);
    const backward = Array.from({ length: 100 }, (_, i) => uniform(5, PURPOSE.layerWeight, 2, 99 - i));
    expect(backward.reverse()).toEqual(forward);
  });

  it.each([
    ["seeds", uniforms(1, 1, 0), uniforms(2, 1, 0)],
    ["purposes", uniforms(1, 1, 0), uniforms(1, 3, 0)],
    ["steps", uniforms(1, 1, 0), uniforms(1, 1, 1)],
    ["neighbouring indices", uniforms(1, 1, 0), uniforms(1, 1, 0, COUNT + 1).slice(1)],
  ])("is uncorrelated between %s", (_, a, b) => {
    expect(Math.abs(correlation(a, b))).toBeLessThan(4 / Math.sqrt(COUNT));
  });

  it("tells indices beyond 2³² from their low halves", () => {
    expect(uniform(1, 1, 0, 2 ** 32 + 5)).not.toBe(uniform(1, 1, 0, 5));
  });
});

describe("gaussian", () => {
  it("gives the values that runs so far have been made with", () => {
    expect([0, 1, 2].map((index) => gaussian(0, PURPOSE.decoderDirection, 0, index))).toMatchInlineSnapshot(`
      [
        -1.2977288175803088,
        0.47134564562422215,
        0.8835726258800646,
      ]
    `);
  });

  it("has the moments of a standard normal number", () => {
    const values = Array.from({ length: COUNT }, (_, i) => gaussian(11, PURPOSE.synthetic, 0, i));
    const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / COUNT;
    expect(moment(1)).toBeCloseTo(0, 1);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.05);
    expect(Math.abs(moment(3))).toBeLessThan(0.1);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.2);
    expect(values.every(Number.isFinite)).toBe(true);
  });
});
