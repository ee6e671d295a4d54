/** Clipping by the gradients' norm, against torch's clip_grad_norm_ followed by Adam, written anew in float64. */
import { describe, expect, it } from "vitest";
import { normals, randomArena, setBatch, setupOf, sparseModel } from "../test/support.ts";
import { type Arena, parametersOf } from "./arena.ts";
import { GRADIENT_NORM } from "./fields.ts";
import { referenceKernels } from "./reference/index.ts";
import type { DeepModelSetup, ModelSetup, TrainingSetup } from "./setup.ts";
import { createProgram, runStep } from "./stages.ts";

const ROWS = 16;
const deep: DeepModelSetup = {
  kind: "deep",
  architecture: "autoencoder",
  widths: [7, 60, 3, 7],
  outputActivation: "linear",
};

/** The arena after one step in float64, in which every other latent is dead, and its parameters before. */
function stepOf(model: ModelSetup, part: Partial<TrainingSetup>, storeGradients = false) {
  const arena = randomArena(setupOf(model, part), 1, { precision: "float64", storeGradients });
  const before = parametersOf(arena).map(({ value }) => value.slice());
  setBatch(arena, normals(ROWS * 7, 5), 0);
  arena.slots[0].set(normals(arena.slots[0].length, 5));
  if (arena.kind === "sparse")
    arena.lastFired.forEach((_, i) => {
      if (i % 2 === 0) arena.lastFired[i] = -1e6;
    });
  runStep(createProgram(arena, referenceKernels("float64"), 0), 0);
  return { arena, before };
}

function normOf(arena: Arena): number {
  return Math.hypot(...parametersOf(arena).flatMap(({ gradient }) => [...gradient]));
}

const AUX_K = { auxK: { coefficient: 0.5, k: 4, mode: "variance", totalVariance: 5 } } as const;

describe.each<[string, ModelSetup, Partial<TrainingSetup>?]>([
  ["a TopK autoencoder", sparseModel()],
  ["a TopK autoencoder with AuxK and multi-TopK", sparseModel({ k: 2 }), { ...AUX_K, multiTopK: true }],
  [
    "a Matryoshka autoencoder with AuxK",
    sparseModel({ architecture: "matryoshka", prefixes: [5, 19] }),
    AUX_K,
  ],
  [
    "a skip transcoder with AuxK and multi-TopK",
    sparseModel({ k: 2, dOut: 5, skip: true, applyBDecToInput: false }),
    { ...AUX_K, multiTopK: true },
  ],
  ["a Gated autoencoder", sparseModel({ architecture: "gated", k: 0 })],
  [
    "a JumpReLU autoencoder with thresholds",
    sparseModel({
      architecture: "jumprelu",
      k: 0,
      jump: {
        bandwidth: 0.7,
        initialThreshold: 0.3,
        penalty: "step",
        tanhScale: 4,
        targetL0: 3,
        gradientToInput: false,
      },
    }),
  ],
  ["a ReLU autoencoder with free decoder", sparseModel({ architecture: "relu", k: 0, decoder: "free" })],
  ["a deep autoencoder", deep],
])("%s", (_, model, part = {}) => {
  // Not clipped, gradients are what they are, projected where decoder rows have norm 1.
  const plain = stepOf(model, part, true).arena;
  const norm = normOf(plain);

  it("measures the norm over all parameters, after the component along unit rows was removed", () => {
    const { arena } = stepOf(model, { ...part, clipNorm: 1e9 });
    expect(arena.gradientNorm[GRADIENT_NORM.norm]).toBeCloseTo(norm, 10);
    expect(arena.gradientNorm[GRADIENT_NORM.factor]).toBe(1);
    parametersOf(arena).forEach(({ value }, i) => expect(value).toEqual(parametersOf(plain)[i]!.value));
  });

  it("scales all gradients to the limit where the norm is above it", () => {
    const limit = norm / 3;
    const { arena, before } = stepOf(model, { ...part, clipNorm: limit });
    expect(arena.gradientNorm[GRADIENT_NORM.factor]).toBeCloseTo(limit / (norm + 1e-6), 12);
    parametersOf(arena).forEach(({ name, shape, value, m, gradient }, at) => {
      const unclipped = parametersOf(plain)[at]!.gradient;
      for (let i = 0; i < value.length; i++) {
        const g = (unclipped[i]! * limit) / (norm + 1e-6);
        expect(Math.abs(gradient[i]! - g)).toBeLessThan(1e-12);
        expect(Math.abs(m[i]! - 0.1 * g)).toBeLessThan(1e-12);
        // Adam's first step; unit rows are renormalised, thresholds stay at least 0.
        if (name === "W_dec" && model.kind === "sparse" && model.decoder === "unit") continue;
        const expected = before[at]![i]! - (0.01 * g) / (Math.abs(g) + 1e-8);
        expect(Math.abs(value[i]! - expected), `${name} of ${shape.join("×")}`).toBeLessThan(1e-9);
      }
    });
  });
});

it("a norm that is not a number makes the parameters none, so that the run stops", () => {
  const arena = randomArena(setupOf(deep, { clipNorm: 1 }), 1);
  const rows = normals(ROWS * 7, 5);
  rows[3] = Number.NaN;
  setBatch(arena, rows, 0);
  runStep(createProgram(arena, referenceKernels(), 0), 0);
  expect(parametersOf(arena).every(({ value }) => value.every(Number.isNaN))).toBe(true);
});
