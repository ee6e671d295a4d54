/** Adam as the stages apply it, against torch.optim.Adam's algorithm written anew in float64. */
import { describe, expect, it } from "vitest";
import { normals, randomSparseArena, setBatch, setupOf, sparseModel } from "../../test/support.ts";
import { emptyAdamStep, setAdamStep } from "./adam.ts";
import type { ParameterViews } from "../views.ts";
import { referenceKernels } from "../reference/index.ts";
import { scheduledValue } from "../schedule.ts";
import { createProgram, runStep } from "../stages.ts";

/** torch.optim.Adam without weight decay: `step` is 1-based. */
class TorchAdam {
  readonly value: Float64Array;
  readonly m: Float64Array;
  readonly v: Float64Array;

  constructor(value: ArrayLike<number>) {
    this.value = Float64Array.from(value);
    this.m = new Float64Array(value.length);
    this.v = new Float64Array(value.length);
  }

  step(gradient: ArrayLike<number>, learningRate: number, step: number): void {
    const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
    for (let i = 0; i < this.value.length; i++) {
      const g = gradient[i]!;
      this.m[i] += (g - this.m[i]) * (1 - beta1);
      this.v[i] = this.v[i] * beta2 + (1 - beta2) * g * g;
      const denominator = Math.sqrt(this.v[i]) / Math.sqrt(1 - beta2 ** step) + epsilon;
      this.value[i] -= ((learningRate / (1 - beta1 ** step)) * this.m[i]) / denominator;
    }
  }
}

describe("ten steps of training in float64", () => {
  const ROWS = 16;
  const learningRate = { peak: 0.01, warmupSteps: 4, decaySteps: 3, totalSteps: 10 };
  // A free decoder is not renormalised: what Adam wrote is what stays.
  const model = sparseModel({ architecture: "relu", decoder: "free", latents: 37 });
  const setup = setupOf(model, { learningRate });
  const arena = randomSparseArena(setup, 1, { precision: "float64", storeGradients: true });
  const { dIn, latents } = model;
  const SILENCED = 5;

  it("move every parameter as torch.optim.Adam does, also of latents that no longer fire", () => {
    const program = createProgram(arena, referenceKernels("float64"), 0);
    const tensors: ParameterViews[] = [arena.W_enc, arena.b_enc, arena.W_dec, arena.b_dec];
    const torch = new Map(tensors.map(({ name, value }) => [name, new TorchAdam(value)]));
    for (let step = 0; step < 10; step++) {
      if (step === 5) {
        // From here on the first latents never fire; Adam's moments still move them.
        for (const value of [arena.b_enc.value, torch.get("b_enc")!.value]) value.fill(-1000, 0, SILENCED);
      }
      const before = arena.W_dec.value.slice(0, SILENCED * dIn);
      setBatch(arena, normals(ROWS * dIn, 100 + step), step);
      runStep(program, 0);
      for (const { name, value, gradient, m, v } of tensors) {
        const expected = torch.get(name)!;
        expected.step(gradient, scheduledValue(learningRate, step), step + 1);
        for (let i = 0; i < value.length; i++) {
          expect(Math.abs(value[i] - expected.value[i])).toBeLessThan(
            1e-12 * Math.max(1, Math.abs(value[i])),
          );
          expect(Math.abs(m[i] - expected.m[i])).toBeLessThan(1e-12);
          expect(Math.abs(v[i] - expected.v[i])).toBeLessThan(1e-12);
        }
      }
      if (step < 5) continue;
      expect(arena.activeCount.slice(0, SILENCED)).toEqual(new Int32Array(SILENCED));
      expect(arena.W_enc.gradient.subarray(0, SILENCED * dIn).every((g) => g === 0)).toBe(true);
      expect(arena.W_dec.value.slice(0, SILENCED * dIn).every((value, i) => value !== before[i])).toBe(true);
    }
    expect(arena.activeCount.subarray(SILENCED, latents).some((count) => count > 0)).toBe(true);
  });
});

describe("setAdamStep", () => {
  const { training } = setupOf(sparseModel());

  it("rounds every constant to the arena's precision, once", () => {
    const single = emptyAdamStep();
    const double = emptyAdamStep();
    setAdamStep(single, training, 2, "float32");
    setAdamStep(double, training, 2, "float64");
    expect(double).toEqual({
      beta1: 0.9,
      complement1: 1 - 0.9,
      beta2: 0.999,
      complement2: 1 - 0.999,
      epsilon: 1e-8,
      stepSize: 0.01 / (1 - 0.9 ** 3),
      inverseRootCorrection2: 1 / Math.sqrt(1 - 0.999 ** 3),
    });
    for (const [name, value] of Object.entries(double))
      expect(single).toHaveProperty(name, Math.fround(value));
  });

  it("corrects the first step fully: the parameter moves by the learning rate", () => {
    const adam = emptyAdamStep();
    setAdamStep(adam, training, 0, "float64");
    const m = adam.complement1 * 3;
    const v = adam.complement2 * 9;
    const moved = (adam.stepSize * m) / (Math.sqrt(v) * adam.inverseRootCorrection2 + adam.epsilon);
    expect(moved).toBeCloseTo(0.01, 9);
  });
});
