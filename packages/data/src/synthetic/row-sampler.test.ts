import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createFeatureModel } from "./feature-model.ts";
import type { FeatureModel, FeatureModelOptions } from "./feature-model.ts";
import { openKnownFeatures } from "./known-features.ts";
import { normalCdf } from "./normal-distribution.ts";
import { featureModelPreset } from "./presets.ts";
import { RowSampler } from "./row-sampler.ts";
import { createTables } from "./tables.ts";

const bench = featureModelPreset("synthsaebench-16k").options;
/** Rows without directions: only what is active in them. */
function samplerOf(options: FeatureModelOptions): { model: FeatureModel; sampler: RowSampler } {
  const model = createFeatureModel({
    ...options,
    dIn: 4,
    directions: { kind: "repelled", steps: 0, learningRate: 0 },
  });
  return {
    model,
    sampler: new RowSampler(model, createTables(model, new Float32Array(options.features * 4), 1), 0),
  };
}

interface Counts {
  readonly active: Float64Array;
  readonly sum: Float64Array;
  readonly square: Float64Array;
  readonly perRow: number;
}

function count(sampler: RowSampler, features: number, rows: number): Counts {
  const active = new Float64Array(features);
  const sum = new Float64Array(features);
  const square = new Float64Array(features);
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const found = sampler.activeFeatures(row);
    total += found.features.length;
    for (const [i, f] of found.features.entries()) {
      active[f]! += 1;
      sum[f]! += found.magnitudes[i]!;
      square[f]! += found.magnitudes[i]! ** 2;
    }
  }
  return { active, sum, square, perRow: total / rows };
}

/** Five standard deviations of a count; with small ones a little more, as they are Poisson-like. */
function most(rows: number, p: number): number {
  return 5 * Math.sqrt(rows * p * (1 - p)) + 3;
}

/** How often each child is the one that wins, given the parent: over all sets of those that would be active. */
function winRates(drawn: readonly number[]): number[] {
  const rates = drawn.map(() => 0);
  for (let set = 1; set < 2 ** drawn.length; set++) {
    const members = drawn.map((_, i) => (set >> i) % 2 === 1);
    const probability = drawn.reduce((product, p, i) => product * (members[i] ? p : 1 - p), 1);
    const size = members.filter(Boolean).length;
    for (const [i, is] of members.entries()) if (is) rates[i]! += probability / size;
  }
  return rates;
}

describe("active features", () => {
  it("have the published means: 34 to a row of synthsaebench-16k, 25 of them in the first quarter", () => {
    const { sampler } = samplerOf(bench);
    const rows = 6000;
    const { active, perRow } = count(sampler, 16_384, rows);
    // SAELens 6.54 with the same options, 20,000 rows: 34.49, 25.15, and 8.20, 7.32, 7.32, 7.12, 4.53 by level.
    expect(Math.abs(perRow - 34.49)).toBeLessThan(0.8);
    const share = (from: number, to: number): number =>
      active.subarray(from, to).reduce((sum, n) => sum + n, 0) / rows;
    expect(Math.abs(share(0, 4096) - 25.15)).toBeLessThan(0.6);
    const levels = [0, 128, 640, 2688, 10_880, 16_384];
    const found = levels.slice(1).map((to, i) => share(levels[i]!, to));
    for (const [i, expected] of [8.2, 7.32, 7.32, 7.12, 4.53].entries()) {
      expect(Math.abs(found[i]! - expected)).toBeLessThan(0.25);
    }
  });

  it("are as frequent as the model says, with and without correlation", () => {
    const rows = 30_000;
    const { correlation, ...uncorrelated } = { ...featureModelPreset("synthsaebench-16k:1/16").options };
    for (const options of [uncorrelated, { ...uncorrelated, correlation: { rank: 3, scale: 0.4 } }]) {
      const { model, sampler } = samplerOf(options);
      const { active } = count(sampler, options.features, rows);
      for (const [f, n] of active.entries()) {
        if (model.parent[f] !== -1) continue;
        const p = model.probability[f]!;
        expect(Math.abs(n - rows * p)).toBeLessThan(most(rows, p));
      }
    }
    expect(correlation).toEqual({ rank: 25, scale: 0.1 });
  });

  it("of one parent exclude each other, need it, and win as often as their probabilities say", () => {
    const rows = 40_000;
    const options = { ...featureModelPreset("synthsaebench-16k:1/16").options, correlation: undefined };
    const { model, sampler } = samplerOf(options);
    const { parent, drawnProbability, parents } = model;
    const active = new Float64Array(options.features);
    for (let row = 0; row < rows; row++) {
      const { features } = sampler.activeFeatures(row);
      const seen = new Set(features);
      expect(seen.size).toBe(features.length);
      const withChild = new Set<number>();
      for (const f of features) {
        active[f]! += 1;
        const up = parent[f]!;
        if (up === -1) continue;
        if (!seen.has(up) || withChild.has(up)) throw new Error(`row ${row}: feature ${f} of parent ${up}`);
        withChild.add(up);
      }
    }
    const { roots, branching } = options.hierarchy!;
    for (let up = 0; up < parents; up++) {
      const first = roots + up * branching;
      const drawn = [...drawnProbability.subarray(first, first + branching)];
      for (const [i, rate] of winRates(drawn).entries()) {
        expect(Math.abs(active[first + i]! - active[up]! * rate)).toBeLessThan(most(active[up]!, rate));
      }
    }
  });

  it("of one parent are independent where they do not exclude each other: toy-2 has 0.68 to a row", () => {
    const rows = 40_000;
    const { options } = featureModelPreset("toy-2");
    const { model, sampler } = samplerOf(options);
    const { active, perRow } = count(sampler, 32, rows);
    // The mean over magnitudes of N(1, 0.3) above 0 is left out: it takes 0.04 %.
    expect(Math.abs(perRow - 0.68)).toBeLessThan(0.02);
    for (let f = 1; f < 8; f++) {
      const p = 0.25 * model.probability[f]!;
      expect(Math.abs(active[f]! - rows * p)).toBeLessThan(most(rows, p));
    }
  });

  it("go together as their correlation says", () => {
    const rows = 60_000;
    const { model, sampler } = samplerOf({
      ...featureModelPreset("toy-2").options,
      features: 12,
      hierarchy: undefined,
      probability: { kind: "constant", value: 0.2 },
      magnitudeSd: { kind: "constant", value: 0 },
      correlation: { rank: 1, scale: 0.7 },
    });
    const together = new Float64Array(144);
    for (let row = 0; row < rows; row++) {
      const { features } = sampler.activeFeatures(row);
      for (const f of features) for (const g of features) together[f * 12 + g]! += 1;
    }
    const chance = (f: number, normal: number): number =>
      normalCdf(model.factor[f]! * normal - model.threshold[f]!);
    let strongest = 0;
    for (let f = 0; f < 12; f++) {
      for (let g = 0; g < f; g++) {
        // Both, over the normal number that they share.
        let both = 0;
        for (let normal = -8; normal < 8; normal += 0.02) {
          both +=
            (0.02 / Math.sqrt(2 * Math.PI)) *
            Math.exp(-0.5 * normal * normal) *
            chance(f, normal) *
            chance(g, normal);
        }
        expect(Math.abs(together[f * 12 + g]! - rows * both)).toBeLessThan(most(rows, both));
        strongest = Math.max(strongest, Math.abs(both - 0.04));
      }
    }
    expect(strongest).toBeGreaterThan(0.05);
  });

  it("have the magnitudes of the model, scaled by their parent's", () => {
    const rows = 40_000;
    const options = featureModelPreset("synthsaebench-16k:1/16").options;
    const { model, sampler } = samplerOf(options);
    const { active, sum, square } = count(sampler, options.features, rows);
    for (let f = 0; f < options.hierarchy!.roots; f++) {
      const mean = sum[f]! / active[f]!;
      const sd = Math.sqrt(square[f]! / active[f]! - mean * mean);
      expect(Math.abs(mean - model.magnitude[f]!)).toBeLessThan(
        (5 * model.magnitudeSd[f]!) / Math.sqrt(active[f]!),
      );
      expect(Math.abs(sd / model.magnitudeSd[f]! - 1)).toBeLessThan(0.1);
    }
    // A parent's relative variance is inherited: the square means multiply.
    const [root, child] = [0, options.hierarchy!.roots];
    const relative = (f: number): number => 1 + (model.magnitudeSd[f]! / model.magnitude[f]!) ** 2;
    const expected = model.magnitude[child]! ** 2 * relative(child) * relative(root);
    expect(Math.abs(square[child]! / active[child]! / expected - 1)).toBeLessThan(0.05);
  });
});

describe("rows", () => {
  it("are the bias and the active features' directions, summed in float32 in their order", async () => {
    for (const name of ["toy-1", "toy-2", "synthsaebench-16k:1/64"]) {
      const { model, directions, fill, activeFeatures } = await openKnownFeatures(name);
      const { dIn } = model.options;
      const rows = new Float32Array(50 * dIn);
      fill(rows, 1000, 50);
      for (let row = 0; row < 50; row++) {
        const expected = model.bias.slice();
        const { features, magnitudes } = activeFeatures(1000 + row);
        expect([...features]).toEqual([...features].toSorted((a, b) => a - b));
        for (const [i, f] of features.entries()) {
          for (let j = 0; j < dIn; j++)
            expected[j]! += Math.fround(magnitudes[i]! * directions[f * dIn + j]!);
        }
        expect(rows.subarray(row * dIn, (row + 1) * dIn)).toEqual(expected);
      }
    }
  });

  it("are pure functions of the row index, for any order, number and thread", async () => {
    const known = await openKnownFeatures("synthsaebench-16k:1/64", { threads: 3 });
    const { dIn } = known.model.options;
    const samplers = [1, 2, 3].map((thread) => new RowSampler(known.model, known.tables, thread));
    const property = fc.property(
      fc.maxSafeNat().map((row) => row % 2 ** 40),
      fc.integer({ min: 1, max: 11 }),
      fc.infiniteStream(fc.nat({ max: 2 })),
      (firstRow, rows, threads) => {
        const whole = new Float32Array(rows * dIn);
        known.fill(whole, firstRow, rows);
        for (let row = rows - 1; row >= 0; row--) {
          const single = new Float32Array(dIn);
          samplers[threads.next().value]!.fill(single, firstRow + row, 1);
          expect(single).toEqual(whole.slice(row * dIn, (row + 1) * dIn));
        }
      },
    );
    fc.assert(property);
  });

  it("differ between seeds", async () => {
    const { options } = featureModelPreset("toy-1");
    const rows = [42, 43].map(async (seed) => {
      const into = new Float32Array(32);
      (await openKnownFeatures({ ...options, seed })).fill(into, 0, 1);
      return into;
    });
    expect(await rows[0]).not.toEqual(await rows[1]);
  });

  it("want room", async () => {
    const { fill } = await openKnownFeatures("toy-1");
    expect(() => fill(new Float32Array(63), 0, 2)).toThrow(RangeError);
  });
});
