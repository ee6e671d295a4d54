import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gaussian, hash32, hashString, permutation, uniform } from "./random.ts";

describe("hash32", () => {
  it("keeps its values: a stream must be the same in every version", () => {
    expect([hash32(0, 1), hash32(1, 1), hash32(1, 2, 3, 4), hash32(-7, 1, 2 ** 40)]).toMatchInlineSnapshot(`
      [
        2064344060,
        1834310881,
        2700343057,
        3652676846,
      ]
    `);
  });

  it("changes half of its bits when any bit of any argument changes", () => {
    const flips = (change: (seed: number, index: number, counter: number, bit: number) => number): number => {
      let changed = 0;
      for (let i = 0; i < 2000; i++) {
        const bits = hash32(i, 3, 7 * i, i % 11) ^ change(i, 7 * i, i % 11, i % 20);
        for (let bit = 0; bit < 32; bit++) changed += (bits >>> bit) & 1;
      }
      return changed / (2000 * 32);
    };
    // 64,000 coins: 0.01 is five standard deviations.
    expect(flips((s, i, c, bit) => hash32(s ^ (1 << bit), 3, i, c))).toBeCloseTo(0.5, 1.7);
    expect(flips((s, i, c, bit) => hash32(s, 3, i ^ (1 << bit), c))).toBeCloseTo(0.5, 1.7);
    expect(flips((s, i, c, bit) => hash32(s, 3, i, c ^ (1 << bit)))).toBeCloseTo(0.5, 1.7);
    expect(flips((s, i, c) => hash32(s, 4, i, c))).toBeCloseTo(0.5, 1.7);
  });

  it("uses the high words of seed and index", () => {
    expect(hash32(2 ** 40 + 1, 1)).not.toBe(hash32(1, 1));
    expect(hash32(1, 1, 2 ** 40 + 1)).not.toBe(hash32(1, 1, 1));
  });
});

describe("uniform and gaussian", () => {
  it("have the moments of their distributions", () => {
    const n = 100_000;
    let sum = 0;
    let normalSum = 0;
    let normalSquares = 0;
    for (let i = 0; i < n; i++) {
      const u = uniform(5, 1, i);
      expect(u >= 0 && u < 1).toBe(true);
      sum += u;
      const g = gaussian(5, 2, i);
      normalSum += g;
      normalSquares += g * g;
    }
    // Five standard deviations of each mean: sqrt(1/12), 1 and sqrt(2), over sqrt(n).
    expect(Math.abs(sum / n - 0.5)).toBeLessThan(0.0046);
    expect(Math.abs(normalSum / n)).toBeLessThan(0.016);
    expect(Math.abs(normalSquares / n - 1)).toBeLessThan(0.0224);
  });
});

describe("permutation", () => {
  it("holds every number once, and depends on nothing but its arguments", () => {
    fc.assert(
      fc.property(fc.nat(300), fc.maxSafeInteger(), fc.nat(1000), (length, seed, index) => {
        const order = permutation(length, seed, 1, index);
        expect([...order].sort((a, b) => a - b)).toEqual([...Array(length).keys()]);
        expect(permutation(length, seed, 1, index)).toEqual(order);
      }),
    );
  });

  it("gives every order of three equally often", () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 6000; seed++) {
      const order = permutation(3, seed, 1).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    // 1000 expected, standard deviation 29.
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(145);
  });
});

describe("hashString", () => {
  it("tells strings, seeds and purposes apart", () => {
    const texts = ["", "a", "b", "ab", "ba", "aa", "\u0000", "ä", "1", "01"];
    expect(new Set(texts.map((text) => hashString(1, 3, text))).size).toBe(texts.length);
    expect(hashString(1, 3, "a")).not.toBe(hashString(2, 3, "a"));
    expect(hashString(1, 3, "a")).not.toBe(hashString(1, 4, "a"));
  });
});
