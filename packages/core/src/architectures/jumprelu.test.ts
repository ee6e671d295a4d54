import { describe, expect, it } from "vitest";
import { normals, randomSparseArena, setBatch, setupOf, sparseModel } from "../../test/support.ts";
import { createProgram, foldedModel, IDENTITY_TRANSFORM, referenceKernels, runStep } from "../index.ts";

const jump = {
  bandwidth: 0.6,
  initialThreshold: 0.2,
  penalty: "step",
  tanhScale: 4,
  targetL0: 3,
  gradientToInput: false,
} as const;
const model = sparseModel({ architecture: "jumprelu", k: 0, jump });

describe("a JumpReLU step", () => {
  it("records what is above the window's lower end, and counts only what is above its threshold as active", () => {
    const arena = randomSparseArena(setupOf(model), 3);
    setBatch(arena, normals(16 * 7, 4), 0);
    runStep(createProgram(arena, referenceKernels(), 0), 0);
    let active = 0;
    let silent = 0;
    for (let row = 0; row < 16; row++) {
      const begin = arena.rowOffset[row];
      for (let record = begin; record < begin + arena.rowCount[row]; record++) {
        if (arena.recordValue[record] === 0) silent++;
        else active++;
        expect(arena.recordValue[record] === 0 || arena.recordValue[record] > 0.2).toBe(true);
      }
    }
    expect(arena.summaries[3]).toBe(active);
    expect(silent).toBeGreaterThan(10);
    expect(arena.fireCount.reduce((sum, count) => sum + count, 0)).toBe(active);
  });

  it("moves thresholds that reached 0 again, and never below", () => {
    const setup = setupOf({ ...model, jump: { ...jump, initialThreshold: 0 } });
    const l1Coefficient = { peak: 5, warmupSteps: 0, decaySteps: 0, totalSteps: 1000 };
    const arena = randomSparseArena({ ...setup, training: { ...setup.training, l1Coefficient } }, 3);
    const program = createProgram(arena, referenceKernels(), 0);
    for (let step = 0; step < 20; step++) {
      setBatch(arena, normals(16 * 7, step), step);
      runStep(program, 0);
      expect(Math.min(...arena.threshold.value)).toBeGreaterThanOrEqual(0);
    }
    // At λ = 5 the penalty wins: a threshold stuck at 0 would be the bug.
    expect(Math.min(...arena.threshold.value)).toBeGreaterThan(0.05);
  });

  it("has an effect of λ that does not saturate at once: L0 falls with it", () => {
    const l0 = [0, 0.03, 0.3, 3].map((peak) => {
      const setup = setupOf(model);
      const l1Coefficient = { peak, warmupSteps: 0, decaySteps: 0, totalSteps: 1000 };
      const arena = randomSparseArena({ ...setup, training: { ...setup.training, l1Coefficient } }, 3);
      const program = createProgram(arena, referenceKernels(), 0);
      for (let step = 0; step < 150; step++) {
        setBatch(arena, normals(16 * 7, step), step);
        runStep(program, 0);
      }
      return arena.summaries[3] / 16;
    });
    expect(l0).toEqual(l0.toSorted((a, b) => b - a));
    expect(new Set(l0).size).toBe(4);
  });
});

describe("a folded JumpReLU model", () => {
  it("has its thresholds multiplied by the decoder norms that are divided out", () => {
    const arena = randomSparseArena(setupOf(model), 3);
    for (let i = 0; i < arena.W_dec.value.length; i++) arena.W_dec.value[i] *= 1 + Math.floor(i / 7);
    const scaled = foldedModel(arena, { mean: undefined, scale: 2 }, "scale");
    const unit = foldedModel(arena, { mean: undefined, scale: 2 }, "unit");
    const raw = foldedModel(arena, IDENTITY_TRANSFORM, "scale");
    const x = normals(50 * 7, 9);
    const thresholdsOf = ({ parts: { activation } }: typeof unit) =>
      activation.kind === "jumprelu" ? Array.from(activation.threshold) : [];
    expect(thresholdsOf(scaled)).toEqual(thresholdsOf(raw));
    thresholdsOf(unit).forEach((threshold, i) => expect(threshold).toBeCloseTo((0.2 * (i + 1)) / 2, 5));
    // The same latents are active, and the reconstruction is the same.
    expect(unit.encode(x).offsets).toEqual(scaled.encode(x).offsets);
    const [a, b] = [unit.reconstruct(x), scaled.reconstruct(x)];
    a.forEach((value, i) => expect(value).toBeCloseTo(b[i], 3));
  });
});
