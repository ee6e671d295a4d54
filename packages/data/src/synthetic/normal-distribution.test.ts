import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NormalTable, normalCdf, normalQuantile } from "./normal-distribution.ts";

describe("the normal distribution", () => {
  it("has its published values, in the middle and in the tails", () => {
    const known: readonly (readonly [u: number, probability: number])[] = [
      [0, 0.5],
      [1, 0.841344746068543],
      [-1.959963984540054, 0.025],
      [-3, 0.001349898031630095],
      [-4, 3.167124183311992e-5],
      [-6, 9.865876450376946e-10],
    ];
    for (const [u, probability] of known) {
      expect(Math.abs(normalCdf(u) / probability - 1)).toBeLessThan(1e-11);
    }
    // Two formulas meet at 3.
    expect(normalCdf(-3) / normalCdf(-2.9999999999)).toBeCloseTo(1, 9);
    expect([normalCdf(-Infinity), normalCdf(Infinity), normalCdf(NaN)]).toEqual([0, 1, NaN]);
  });

  it("is inverted by the quantile, from the rarest to the surest", () => {
    fc.assert(
      fc.property(fc.double({ min: -7, max: 7, noNaN: true }), (u) => {
        expect(normalQuantile(normalCdf(u))).toBeCloseTo(u, u > 5 ? 3 : 8);
      }),
    );
    expect([0, -1, 1, 2, 0.5].map(normalQuantile)).toEqual([-Infinity, -Infinity, Infinity, Infinity, 0]);
  });

  it("is bounded and tested exactly by the table", () => {
    const table = new NormalTable();
    fc.assert(
      fc.property(
        fc.double({ min: -9, max: 9, noNaN: true }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (u, uniform) => {
          expect(table.atLeast(u)).toBeGreaterThanOrEqual(normalCdf(u));
          const near = Math.max(-7.9, Math.min(7.9, u));
          expect(table.isBelow(uniform, near)).toBe(uniform < normalCdf(near));
          // At the edge, where the table alone cannot tell.
          const middle = u / 3;
          expect(table.isBelow(normalCdf(middle) * 1.001, middle)).toBe(false);
          expect(table.isBelow(normalCdf(middle) * 0.999, middle)).toBe(true);
        },
      ),
    );
    expect([table.isBelow(0, -Infinity), table.isBelow(0.999999, Infinity)]).toEqual([false, true]);
  });
});
