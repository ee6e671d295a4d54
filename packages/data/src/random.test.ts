import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gaussian, hash32, hashString, IndexPermutation, permutation, uniform } from "./random.ts";

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

describe("IndexPermutation", () => {
  const all = (length: number, seed: number, index = 0): number[] => {
    const order = new IndexPermutation(length, seed, 1, index);
    return Array.from({ length }, (_, place) => order.at(place));
  };

  it("holds every number once, and depends on nothing but its arguments", () => {
    fc.assert(
      fc.property(fc.nat(700), fc.maxSafeInteger(), fc.nat(1000), (length, seed, index) => {
        const order = all(length, seed, index);
        expect(order.toSorted((a, b) => a - b)).toEqual([...Array(length).keys()]);
        expect(all(length, seed, index)).toEqual(order);
      }),
    );
  });

  it("keeps its values, and stays within a length beyond 32 bits", () => {
    expect(all(10, 1)).toMatchInlineSnapshot(`
      [
        8,
        9,
        4,
        1,
        2,
        3,
        0,
        6,
        5,
        7,
      ]
    `);
    const length = 2 ** 40 + 7;
    const order = new IndexPermutation(length, 5, 1);
    const drawn = Array.from({ length: 1000 }, (_, place) => order.at(place));
    expect(new Set(drawn).size).toBe(1000);
    expect(drawn.every((value) => Number.isInteger(value) && value >= 0 && value < length)).toBe(true);
    expect(drawn.filter((value) => value > length / 2).length).toBeGreaterThan(420);
  });

  it("draws without regard to where: places, neighbours and sums of windows are as chance has them", () => {
    const length = 997;
    const seeds = 3000;
    const counts = new Float64Array(length);
    let neighbours = 0;
    const sums: number[] = [];
    for (let seed = 0; seed < seeds; seed++) {
      const order = new IndexPermutation(length, seed, 1);
      counts[order.at(500)]! += 1;
      let sum = 0;
      for (let place = 0; place < 20; place++) {
        const value = order.at(place);
        sum += value;
        if (Math.abs(order.at(place + 1) - value) === 1) neighbours++;
      }
      sums.push(sum / 20);
    }
    // Chi-square of 996 degrees of freedom: standard deviation 44.6, so five of them.
    const expected = seeds / length;
    const chiSquare = counts.reduce((total, count) => total + (count - expected) ** 2 / expected, 0);
    expect(Math.abs(chiSquare - (length - 1))).toBeLessThan(223);
    // 2 of 996 others are neighbours: 120 expected, standard deviation 11.
    expect(Math.abs(neighbours - (seeds * 20 * 2) / length)).toBeLessThan(55);
    // The variance of a mean of 20 drawn without replacement: 4,060, whose standard deviation is 105.
    const mean = sums.reduce((a, b) => a + b) / seeds;
    const variance = sums.reduce((a, b) => a + (b - mean) ** 2, 0) / seeds;
    const single = (length ** 2 - 1) / 12;
    expect(Math.abs(variance - ((single / 20) * (length - 20)) / (length - 1))).toBeLessThan(525);
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
