import { describe, expect, it } from "vitest";
import { normals, randomSparseArena, setBatch, setupOf, sparseModel } from "../test/support.ts";
import { SUMMARY } from "./fields.ts";
import type { SparseModelSetup } from "./setup.ts";
import { createProgram, referenceKernels, runStep } from "./index.ts";
import { convertUnits } from "./units.ts";

const jump = {
  bandwidth: 0.6,
  initialThreshold: 0.2,
  tanhScale: 4,
  targetL0: 3,
  gradientToInput: false,
} as const;
const MODELS: [string, SparseModelSetup][] = [
  ["ReLU, free decoder", sparseModel({ architecture: "relu", decoder: "free", k: 0 })],
  ["ReLU, unit decoder", sparseModel({ architecture: "relu", k: 0 })],
  ["Gated", sparseModel({ architecture: "gated", k: 0 })],
  ["JumpReLU, step", sparseModel({ architecture: "jumprelu", k: 0, jump: { ...jump, penalty: "step" } })],
  ["JumpReLU, tanh", sparseModel({ architecture: "jumprelu", k: 0, jump: { ...jump, penalty: "tanh" } })],
  [
    "JumpReLU, quadratic",
    sparseModel({ architecture: "jumprelu", k: 0, jump: { ...jump, penalty: "quadratic" } }),
  ],
];

/** Loss, norm, active latents and gradients of the encoder's bias of one mini-batch, everything in units of `scale`. */
function oneStep(model: SparseModelSetup, scale: number) {
  const setup = convertUnits(setupOf(model, { clipNorm: 1e9 }), scale);
  const arena = randomSparseArena(setup, 3, { precision: "float64" });
  for (const parameter of [arena.b_enc, arena.b_dec, arena.b_mag])
    for (let i = 0; i < parameter.value.length; i++) parameter.value[i] *= scale;
  setBatch(
    arena,
    normals(16 * 7, 4).map((value) => value * scale),
    0,
  );
  runStep(createProgram(arena, referenceKernels("float64"), 0), 0);
  const gradients = [...arena.b_enc.gradient, ...arena.threshold.gradient];
  const norm = arena.summaries[SUMMARY.gradientNorm]!;
  return { loss: arena.summaries[SUMMARY.loss]!, active: arena.summaries[SUMMARY.active], norm, gradients };
}

describe("convertUnits", () => {
  it.each(MODELS)("keeps what a loss weighs against what, and which latents are active: %s", (_, model) => {
    // A power of two: the rows are float32.
    const scale = 4;
    const [one, other] = [oneStep(model, 1), oneStep(model, scale)];
    expect(other.active).toBe(one.active);
    expect(other.loss / one.loss).toBeCloseTo(scale ** 2, 6);
    expect(other.norm).toBeCloseTo(one.norm, 6);
    expect(one.norm).toBeGreaterThan(0.1);
    other.gradients.forEach((gradient, i) => expect(gradient).toBeCloseTo(scale * one.gradients[i]!, 6));
  });

  it("leaves what has no units: TopK, and the learning rate", () => {
    const setup = setupOf(sparseModel(), {
      l1Coefficient: { peak: 0, warmupSteps: 0, decaySteps: 0, totalSteps: 9 },
    });
    expect(convertUnits(setup, 3)).toEqual(setup);
  });
});
