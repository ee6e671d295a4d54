import { describe, expect, it } from "vitest";
import { bits, normals, randomSparseArena, setBatch, setupOf, sparseModel } from "../test/support.ts";
import {
  bestKernelVariant,
  createProgram,
  defaultInitialRate,
  referenceKernels,
  runStep,
  setInitialBias,
  type SparseArena,
  type SparseModelSetup,
} from "./index.ts";

const D = 7;
const ROWS = 600;
const rows = normals(ROWS * D, 3, 2);
const jump = {
  bandwidth: 0.01,
  initialThreshold: 0.4,
  penalty: "step",
  tanhScale: 4,
  targetL0: 3,
  gradientToInput: false,
} as const;
const CASES: [string, SparseModelSetup][] = [
  ["ReLU", sparseModel({ architecture: "relu", k: 0, decoder: "free", latents: 300 })],
  ["ReLU that sees x itself", sparseModel({ architecture: "relu", k: 0, applyBDecToInput: false })],
  ["JumpReLU, above its threshold", sparseModel({ architecture: "jumprelu", k: 0, jump })],
];

/** Share of rows on which each latent is active, by steps that train nothing. */
function activeShares(arena: SparseArena, of: Float32Array): number[] {
  const { latents } = arena.model;
  const counts = new Float64Array(latents);
  const program = createProgram(arena, referenceKernels(), 0);
  for (let from = 0; from < of.length; from += 16 * D) {
    setBatch(arena, of.subarray(from, from + 16 * D), 0, false);
    runStep(program, 0);
    for (let row = 0; row < arena.batches[1]; row++) {
      const begin = arena.rowOffset[row];
      for (let record = begin; record < begin + arena.rowCount[row]; record++)
        if (arena.recordValue[record] > 0) counts[arena.recordLatent[record]]++;
    }
  }
  return [...counts].map((count) => count / (of.length / D));
}

describe.each(CASES)("a sparse start of %s", (_, model) => {
  it.each([0.02, 0.1, 0.5])("has each latent active on %d of the rows, and about that of others", (rate) => {
    const arena = randomSparseArena(setupOf(model), 5);
    setInitialBias(arena, rows, rate, "reference");
    for (const share of activeShares(arena, rows))
      expect(Math.abs(share - rate) * ROWS).toBeLessThanOrEqual(1);
    const others = activeShares(arena, normals(ROWS * D, 4, 2));
    const mean = others.reduce((sum, share) => sum + share, 0) / others.length;
    expect(Math.abs(mean / rate - 1)).toBeLessThan(0.25);
  });

  it("has the same bits whether it is computed in WebAssembly or not", () => {
    const found = (["reference", bestKernelVariant()] as const).map((kernels) => {
      const arena = randomSparseArena(setupOf(model), 5);
      setInitialBias(arena, rows, 0.05, kernels);
      return bits(arena.b_enc.value as Float32Array);
    });
    expect(found[1]).toBe(found[0]);
  });
});

it("a sparse start is that of the averages that training keeps, too", () => {
  const arena = randomSparseArena(setupOf(CASES[0]![1], { ema: 0.9 }), 5);
  setInitialBias(arena, rows, 0.1, "reference");
  expect(arena.b_enc.average).toEqual(arena.b_enc.value);
});

it("the default share is the target's where there is one, else 10,000 of all latents, at most a half", () => {
  expect(defaultInitialRate(sparseModel({ latents: 40_000 }))).toBe(0.25);
  expect(defaultInitialRate(sparseModel({ latents: 512 }))).toBe(0.5);
  const aimed = { ...jump, penalty: "quadratic" } as const;
  expect(defaultInitialRate(sparseModel({ architecture: "jumprelu", latents: 300, jump: aimed }))).toBe(0.01);
});

it.each([
  [rows, 0, "rate must be above 0 and below 1, got 0"],
  [rows, 1, "rate must be above 0 and below 1, got 1"],
  [rows.subarray(0, D), 0.1, "rows must be at least two whole rows of 7, got 7 values"],
  [rows.subarray(0, 2 * D + 1), 0.1, "rows must be at least two whole rows of 7, got 15 values"],
])("refuses %#", (sample, rate, message) => {
  const arena = randomSparseArena(setupOf(CASES[0]![1]), 5);
  expect(() => setInitialBias(arena, sample, rate, "reference")).toThrow(message);
});
