import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSynthetic } from "./generator.ts";
import type { SyntheticOptions } from "./generator.ts";

const base: SyntheticOptions = {
  dIn: 16,
  features: 10,
  seed: 1,
  active: { kind: "bernoulli", probability: 0.3 },
  magnitude: { kind: "uniform", low: 0.5, high: 2 },
};

function products(directions: Float32Array, features: number, dIn: number): number[][] {
  const row = (f: number): Float32Array => directions.subarray(f * dIn, (f + 1) * dIn);
  const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  return Array.from({ length: features }, (_, f) =>
    Array.from({ length: features }, (_, g) => dot(row(f), row(g))),
  );
}

describe("directions", () => {
  it("are unit rows, at right angles when there is room for all", () => {
    for (const features of [10, 16]) {
      const gram = products(createSynthetic({ ...base, features }).directions, features, 16);
      for (const [f, row] of gram.entries()) {
        for (const [g, product] of row.entries())
          expect(Math.abs(product - (f === g ? 1 : 0))).toBeLessThan(1e-6);
      }
    }
  });

  it("are unit rows at any angle when there are more than dimensions, or when asked for", () => {
    for (const options of [
      { ...base, features: 40 },
      { ...base, orthogonal: false },
    ]) {
      const gram = products(createSynthetic(options).directions, options.features, 16);
      for (const [f, row] of gram.entries()) expect(row[f]).toBeCloseTo(1, 6);
      expect(Math.max(...gram.map((row, f) => Math.max(...row.filter((_, g) => g !== f))))).toBeGreaterThan(
        0.1,
      );
    }
  });
});

describe("rows", () => {
  it("are pure functions of seed and row index, however they are asked for", () => {
    const cases = fc.record({
      seed: fc.maxSafeInteger(),
      firstRow: fc.maxSafeNat().map((row) => row % 2 ** 40),
      rows: fc.integer({ min: 1, max: 12 }),
      active: fc.constantFrom<SyntheticOptions["active"]>(base.active, { kind: "exactly", count: 4 }),
      magnitude: fc.constantFrom<SyntheticOptions["magnitude"]>(base.magnitude, {
        kind: "normal",
        mean: 1,
        sd: 1,
      }),
      noise: fc.constantFrom(0, 0.1),
    });
    fc.assert(
      fc.property(cases, ({ firstRow, rows, ...options }) => {
        const whole = new Float32Array(rows * 16).fill(5);
        createSynthetic({ ...base, ...options }).fill(whole, firstRow, rows);
        const { fill } = createSynthetic({ ...base, ...options });
        for (let row = rows - 1; row >= 0; row--) {
          const single = new Float32Array(16);
          fill(single, firstRow + row, 1);
          expect(single).toEqual(whole.slice(row * 16, (row + 1) * 16));
        }
      }),
    );
  });

  it("are the sums of their activations times the directions", () => {
    const { directions, fill } = createSynthetic(base);
    const into = new Float32Array(50 * 16);
    const activations = new Float32Array(50 * 10).fill(7);
    fill(into, 100, 50, activations);
    for (let row = 0; row < 50; row++) {
      for (let i = 0; i < 16; i++) {
        let sum = 0;
        for (let f = 0; f < 10; f++) sum += activations[row * 10 + f]! * directions[f * 16 + i]!;
        expect(into[row * 16 + i]).toBeCloseTo(sum, 5);
      }
    }
  });

  it("have each feature active with the probability asked for, independently of the others", () => {
    const rows = 20_000;
    for (const probability of [0.02, 0.3, 0.9]) {
      const activations = new Float32Array(rows * 10);
      createSynthetic({ ...base, active: { kind: "bernoulli", probability } }).fill(
        new Float32Array(rows * 16),
        0,
        rows,
        activations,
      );
      const counts = new Float64Array(10);
      let pairs = 0;
      for (let row = 0; row < rows; row++) {
        for (let f = 0; f < 10; f++) if (activations[row * 10 + f]! > 0) counts[f]! += 1;
        if (activations[row * 10 + 3]! > 0 && activations[row * 10 + 4]! > 0) pairs++;
      }
      const deviation = (p: number): number => 5 * Math.sqrt(rows * p * (1 - p));
      for (const count of counts)
        expect(Math.abs(count - rows * probability)).toBeLessThan(deviation(probability));
      expect(Math.abs(pairs - rows * probability ** 2)).toBeLessThan(deviation(probability ** 2));
    }
  });

  it("have none or all of the features at the ends of the range of probabilities", () => {
    for (const probability of [0, 1]) {
      const activations = new Float32Array(30 * 10);
      createSynthetic({ ...base, active: { kind: "bernoulli", probability } }).fill(
        new Float32Array(480),
        0,
        30,
        activations,
      );
      expect(activations.every((value) => value > 0 === (probability === 1))).toBe(true);
    }
  });

  it("have exactly the number of features asked for, each equally often", () => {
    for (const count of [0, 1, 4, 10]) {
      const rows = 5000;
      const activations = new Float32Array(rows * 10);
      createSynthetic({ ...base, active: { kind: "exactly", count } }).fill(
        new Float32Array(rows * 16),
        0,
        rows,
        activations,
      );
      const perFeature = new Float64Array(10);
      for (let row = 0; row < rows; row++) {
        const active = [...activations.subarray(row * 10, row * 10 + 10)].map((value) => value > 0);
        expect(active.filter(Boolean)).toHaveLength(count);
        for (const [f, is] of active.entries()) if (is) perFeature[f]! += 1;
      }
      const p = count / 10;
      const most = 5 * Math.sqrt(rows * p * (1 - p));
      for (const found of perFeature) expect(Math.abs(found - rows * p)).toBeLessThanOrEqual(most);
    }
  });

  it("have magnitudes and noise of the distributions asked for", () => {
    const rows = 20_000;
    const moments = (options: Partial<SyntheticOptions>): { mean: number; sd: number; least: number } => {
      const into = new Float32Array(rows);
      const one: SyntheticOptions = {
        ...base,
        dIn: 1,
        features: 1,
        active: { kind: "exactly", count: 1 },
        ...options,
      };
      const { directions, fill } = createSynthetic(one);
      fill(into, 0, rows);
      const values = into.map((x) => x * directions[0]!);
      const mean = values.reduce((sum, x) => sum + x, 0) / rows;
      const square = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / rows;
      return { mean, sd: Math.sqrt(square), least: Math.min(...values) };
    };
    // Five standard deviations of the mean, and about as many of the standard deviation.
    const uniform = moments({});
    expect(Math.abs(uniform.mean - 1.25)).toBeLessThan(0.016);
    expect(Math.abs(uniform.sd - 1.5 / Math.sqrt(12))).toBeLessThan(0.012);
    const normal = moments({ magnitude: { kind: "normal", mean: 5, sd: 0.5 } });
    expect(Math.abs(normal.mean - 5)).toBeLessThan(0.018);
    expect(Math.abs(normal.sd - 0.5)).toBeLessThan(0.013);
    expect(moments({ magnitude: { kind: "normal", mean: 0, sd: 1 } }).least).toBe(0);
    const noise = moments({ active: { kind: "exactly", count: 0 }, noise: 0.2 });
    expect(Math.abs(noise.mean)).toBeLessThan(0.0071);
    expect(Math.abs(noise.sd - 0.2)).toBeLessThan(0.005);
  });
});

describe("createSynthetic refuses", () => {
  it("options that make no sense", () => {
    const cases: readonly Partial<SyntheticOptions>[] = [
      { dIn: 0 },
      { features: 1.5 },
      { seed: 0.1 },
      { features: 17, orthogonal: true },
      { active: { kind: "bernoulli", probability: 1.1 } },
      { active: { kind: "exactly", count: 11 } },
      { magnitude: { kind: "normal", mean: NaN, sd: 1 } },
      { magnitude: { kind: "uniform", low: 2, high: 1 } },
      { noise: -1 },
    ];
    for (const change of cases) {
      expect(() => createSynthetic({ ...base, ...change })).toThrow(
        expect.objectContaining({ kind: "invalid-option" }),
      );
    }
  });

  it("arrays that are too small", () => {
    const { fill } = createSynthetic(base);
    expect(() => fill(new Float32Array(31), 0, 2)).toThrow(RangeError);
    expect(() => fill(new Float32Array(32), 0, 2, new Float32Array(19))).toThrow(RangeError);
  });
});
