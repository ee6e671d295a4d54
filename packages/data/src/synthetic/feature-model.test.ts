import { describe, expect, it } from "vitest";
import { createFeatureModel } from "./feature-model.ts";
import type { FeatureModelOptions } from "./feature-model.ts";
import { normalCdf } from "./normal-distribution.ts";
import { FEATURE_MODEL_PRESETS, featureModelPreset, parseScale, scaleFeatureModel } from "./presets.ts";

const bench = featureModelPreset("synthsaebench-16k").options;
const model = createFeatureModel(bench);

describe("the model of synthsaebench-16k", () => {
  it("has Zipf-like probabilities from 0.4 to 5e-4", () => {
    const { probability } = model;
    expect(probability).toHaveLength(16_384);
    expect(probability[0]).toBeCloseTo(0.4, 12);
    expect(probability.at(-1)).toBeCloseTo(5e-4, 12);
    // Differences are in the proportion of those of r^-1/2.
    const share = (probability[3]! - probability[99]!) / (probability[0]! - probability[3]!);
    expect(share).toBeCloseTo((0.5 - 0.1) / (1 - 0.5), 10);
  });

  it("has 128 trees of four children to each parent, three levels deep, numbered breadth first", () => {
    const { parent, parents, inTrees } = model;
    expect([parents, inTrees]).toEqual([128 + 512 + 2048, 128 + 512 + 2048 + 8192]);
    const children = new Map<number, number[]>();
    for (const [f, up] of parent.entries()) children.set(up, [...(children.get(up) ?? []), f]);
    expect(children.get(0)).toEqual([128, 129, 130, 131]);
    expect(children.get(127)).toEqual([636, 637, 638, 639]);
    expect(children.get(128)).toEqual([640, 641, 642, 643]);
    expect(children.get(-1)).toHaveLength(128 + 16_384 - inTrees);
    children.delete(-1);
    expect(children.size).toBe(parents);
    for (const list of children.values()) expect(list).toHaveLength(4);
  });

  it("raises the probabilities of children for their parent and their rivals", () => {
    const { probability: p, drawnProbability } = model;
    expect([...drawnProbability.subarray(0, 128)]).toEqual([...p.subarray(0, 128)]);
    expect(drawnProbability.at(-1)).toBe(p.at(-1));
    const rivals = p[129]! + p[130]! + p[131]!;
    expect(drawnProbability[128]).toBeCloseTo(Math.min(1, (p[128]! / p[0]!) * (1 + rivals / p[0]!)), 12);
    expect(drawnProbability.every((drawn, f) => drawn >= p[f]! && drawn <= 1)).toBe(true);
  });

  it("has magnitudes from 5 to 4, with folded normal deviations, and a bias of norm 1/2", () => {
    const { magnitude, magnitudeSd, bias } = model;
    expect([magnitude[0], magnitude.at(-1)]).toEqual([5, 4]);
    expect(magnitude[8192]! + magnitude[8191]!).toBeCloseTo(9, 10);
    const mean = magnitudeSd.reduce((sum, x) => sum + x, 0) / 16_384;
    const square = magnitudeSd.reduce((sum, x) => sum + x * x, 0) / 16_384;
    // Of |N(0.5, 0.5)|: the second moment is 0.5, the mean 0.5 (sqrt(2/pi) e^-1/2 + 1 - 2 cdf(-1)).
    expect(square).toBeCloseTo(0.5, 1);
    const expected = 0.5 * (Math.sqrt(2 / Math.PI) * Math.exp(-0.5) + 1 - 2 * normalCdf(-1));
    expect(Math.abs(mean - expected)).toBeLessThan(0.02);
    expect(Math.min(...magnitudeSd)).toBeGreaterThanOrEqual(0);
    expect(Math.hypot(...bias)).toBeCloseTo(0.5, 6);
  });

  it("has correlations of rank 25 and scale 0.1, and scores of unit variance", () => {
    const { factor, threshold, drawnProbability, rank } = model;
    expect(rank).toBe(25);
    let sum = 0;
    for (let f = 10_880; f < 16_384; f++) {
      const row = factor.subarray(f * 25, (f + 1) * 25);
      const square = row.reduce((total, x) => total + x * x, 0);
      // The factors are divided by the sd of the feature's own share: s^2 / (1 - s^2).
      const ownVariance = 1 / (1 + square);
      expect(normalCdf(-threshold[f]! * Math.sqrt(ownVariance)) / drawnProbability[f]!).toBeCloseTo(1, 4);
      sum += 1 - ownVariance;
    }
    // The mean of 25 squares of N(0, 0.1).
    expect(Math.abs(sum / (16_384 - 10_880) - 0.25)).toBeLessThan(0.005);
  });
});

describe("presets", () => {
  it("are the toys and the benchmark, and each is a valid model", () => {
    expect(Object.keys(FEATURE_MODEL_PRESETS)).toEqual(["toy-1", "toy-2", "synthsaebench-16k"]);
    for (const name of ["toy-1", "toy-2"]) createFeatureModel(featureModelPreset(name).options);
  });

  it("scale features and roots, and dimensions by the square root", () => {
    const quarter = featureModelPreset("synthsaebench-16k:1/4").options;
    expect(quarter).toEqual(scaleFeatureModel(bench, 0.25));
    expect([quarter.features, quarter.dIn, quarter.hierarchy?.roots]).toEqual([4096, 384, 32]);
    expect(quarter.hierarchy?.depth).toBe(3);
    const sixteenth = scaleFeatureModel(bench, parseScale("1/16"));
    expect([sixteenth.features, sixteenth.dIn, sixteenth.hierarchy?.roots]).toEqual([1024, 192, 8]);
    expect(scaleFeatureModel(bench, 1)).toBe(bench);
    expect(parseScale("0.5")).toBe(0.5);
  });

  it("are refused by wrong names and scales", () => {
    expect(() => featureModelPreset("toy-3")).toThrow(/no preset "toy-3"; there are: toy-1, toy-2, synth/);
    expect(() => featureModelPreset("constructor")).toThrow(/no preset/);
    for (const scale of ["0", "2", "x", "", "1/0", "1/", "-1"]) {
      expect(() => parseScale(scale)).toThrow(/such as 1\/4/);
    }
  });
});

it("refuses options that make no sense", () => {
  const toy = featureModelPreset("toy-2").options;
  const cases: readonly Partial<FeatureModelOptions>[] = [
    { features: 0 },
    { dIn: 1.5 },
    { seed: 0.5 },
    { directions: { kind: "orthogonal" } },
    { probability: { kind: "constant", value: 0 } },
    { probability: { kind: "zipf", exponent: 1, max: 0.1, min: 0.2 } },
    { hierarchy: { ...bench.hierarchy!, roots: 0 } },
    { hierarchy: { ...bench.hierarchy!, roots: 99 } },
    { correlation: { rank: 0, scale: 1 } },
    { magnitude: { first: 0, last: 1 } },
    { biasNorm: -1 },
  ];
  for (const change of cases) {
    expect(() => createFeatureModel({ ...toy, ...change })).toThrow(
      expect.objectContaining({ kind: "invalid-option" }),
    );
  }
});
