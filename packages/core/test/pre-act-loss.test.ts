/** The pre-activation loss of JumpReLU autoencoders against its definition, written anew and densely, in float64. */
import { describe, expect, it } from "vitest";
import {
  createProgram,
  parametersOf,
  referenceKernels,
  runStep,
  type SparseArena,
  type SparseModelSetup,
  SUMMARY,
  type TrainingSetup,
} from "../src/index.ts";
import { normals, randomSparseArena, setBatch, setupOf, sparseModel } from "./support.ts";

const D = 7;
const F = 60;
const ROWS = 16;
const COEFFICIENT = 0.7;
const jump = {
  bandwidth: 0.5,
  initialThreshold: 0.8,
  penalty: "step",
  tanhScale: 4,
  targetL0: 3,
  gradientToInput: false,
} as const;
// Of a transcoder the targets come after them, of which the loss knows nothing.
const DOUT = 5;
const rows = normals(ROWS * (D + DOUT), 8);
type Tensors = Record<string, Float64Array>;

/** One step of learning rate 0, in which every third latent is dead. */
function stepped(shape: Partial<SparseModelSetup>, part: Partial<TrainingSetup>): SparseArena {
  const model = sparseModel({ architecture: "jumprelu", k: 0, latents: F, jump, ...shape });
  const constant = { peak: 0, warmupSteps: 0, decaySteps: 0, totalSteps: 10 };
  const setup = setupOf(model, { learningRate: constant, ...part });
  const arena = randomSparseArena(setup, 3, { precision: "float64", storeGradients: true });
  arena.threshold.value.forEach((_, i) => {
    arena.threshold.value[i] = 0.4 + 0.01 * i;
  });
  arena.lastFired.forEach((_, i) => {
    if (i % 3 === 0) arena.lastFired[i] = -1000;
  });
  setBatch(arena, rows.subarray(0, ROWS * D), 0);
  arena.slots[0].set(rows.subarray(0, arena.slots[0].length));
  runStep(createProgram(arena, referenceKernels("float64"), 0), 0);
  return arena;
}

/** Its definition; some of the dead latents are active in some rows. */
function definition(p: Tensors, { applyBDecToInput, dOut = D }: Partial<SparseModelSetup>): number {
  let sum = 0;
  for (let row = 0; row < ROWS; row++) {
    for (let i = 0; i < F; i += 3) {
      let z = p["b_enc"]![i]!;
      let square = 0;
      for (let j = 0; j < D; j++)
        z +=
          p["W_enc"]![i * D + j]! * (rows[row * D + j]! - (applyBDecToInput === true ? p["b_dec"]![j]! : 0));
      for (let j = 0; j < dOut; j++) square += p["W_dec"]![i * dOut + j]! ** 2;
      sum += Math.sqrt(square) * Math.max(0, p["threshold"]![i]! - z);
    }
  }
  return (COEFFICIENT * sum) / ROWS;
}

describe.each<[string, Partial<SparseModelSetup>]>([
  ["of an autoencoder", { applyBDecToInput: true }],
  ["of an autoencoder whose encoder does not subtract b_dec", { applyBDecToInput: false }],
  ["of a transcoder", { applyBDecToInput: false, dOut: DOUT }],
  ["of a skip transcoder", { applyBDecToInput: false, dOut: DOUT, skip: true }],
])("the pre-activation loss %s", (_of, shape) => {
  it.each([
    ["gradients of one block", {}],
    ["gradients that are all there before any update", { clipNorm: 1e9 }],
  ] as const)("adds its value to the loss and its central differences to the gradients: %s", (_, part) => {
    const without = stepped(shape, part);
    const withLoss = stepped(shape, { ...part, preActCoefficient: COEFFICIENT });
    const p: Tensors = Object.fromEntries(
      parametersOf(without).map(({ name, value }) => [name, Float64Array.from(value)]),
    );
    const added = withLoss.summaries[SUMMARY.loss]! - without.summaries[SUMMARY.loss]!;
    expect(added).toBeCloseTo(definition(p, shape), 10);
    expect(added).toBeGreaterThan(0.1);
    const before = parametersOf(without);
    for (const [index, { name, gradient }] of parametersOf(withLoss).entries()) {
      // The pull on a unit decoder's rows is along them, and removed.
      const expected = p[name]!.map((value, i) => {
        if (name === "W_dec") return 0;
        p[name]![i] = value + 1e-6;
        const up = definition(p, shape);
        p[name]![i] = value - 1e-6;
        const down = definition(p, shape);
        p[name]![i] = value;
        return (up - down) / 2e-6;
      });
      expected.forEach((slope, i) =>
        expect(gradient[i]! - before[index]!.gradient[i]!, name).toBeCloseTo(slope, 7),
      );
    }
  });
});

it("without dead latents there is none", () => {
  const [without, withLoss] = [{}, { preActCoefficient: COEFFICIENT }].map((part) => {
    const constant = { peak: 0.01, warmupSteps: 0, decaySteps: 0, totalSteps: 10 };
    const model = sparseModel({ architecture: "jumprelu", k: 0, latents: F, jump });
    const arena = randomSparseArena(setupOf(model, { learningRate: constant, ...part }), 3);
    setBatch(arena, rows.subarray(0, ROWS * D), 0);
    runStep(createProgram(arena, referenceKernels(), 0), 0);
    return arena.W_enc.value;
  });
  expect(withLoss).toEqual(without);
});

it("draws silent latents up to their thresholds", () => {
  const dead = [0, 1].map((coefficient) => {
    const silent = { ...jump, initialThreshold: 6 };
    const model = sparseModel({ architecture: "jumprelu", k: 0, latents: F, jump: silent });
    const part = coefficient === 0 ? {} : { preActCoefficient: coefficient };
    const arena = randomSparseArena(setupOf(model, { deadWindow: 5 * ROWS, ...part }), 3);
    const program = createProgram(arena, referenceKernels(), 0);
    for (let step = 0; step < 300; step++) {
      setBatch(arena, normals(ROWS * D, step), step);
      runStep(program, 0);
    }
    return arena.summaries[SUMMARY.dead]!;
  });
  expect(dead[0]).toBe(F);
  expect(dead[1]).toBeLessThan(F / 4);
});
