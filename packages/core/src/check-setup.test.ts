import { describe, expect, it } from "vitest";
import { setupOf, sparseModel } from "../test/support.ts";
import { OptionError } from "./errors.ts";
import { checkModel, checkTraining } from "./check-setup.ts";
import { planRun } from "./plan.ts";
import {
  type DeepModelSetup,
  defaultDeadWindow,
  inputDimension,
  outputDimension,
  rowDimension,
  type ModelSetup,
  type SparseModelSetup,
  type TrainingSetup,
} from "./setup.ts";

const deep = (widths: number[]): DeepModelSetup => ({
  kind: "deep",
  architecture: "autoencoder",
  widths,
  outputActivation: "relu",
});

describe("checkModel", () => {
  it.each<[string, ModelSetup]>([
    ["a TopK autoencoder", sparseModel()],
    ["k equal to the number of latents", sparseModel({ k: 19 })],
    [
      "a ReLU autoencoder, whose k means nothing",
      sparseModel({ architecture: "relu", k: 0, decoder: "free" }),
    ],
    ["one hidden layer", deep([4, 2, 4])],
    ["a crosscoder", sparseModel({ columns: [3, 4] })],
    ["a skip transcoder", sparseModel({ dOut: 9, applyBDecToInput: false, skip: true })],
  ])("accepts %s", (_, model) => {
    expect(() => checkModel(model)).not.toThrow();
  });

  it.each<[ModelSetup, string, string]>([
    [sparseModel({ dIn: 0 }), "dIn", "dIn must be a whole number of at least 1, got 0"],
    [sparseModel({ latents: 1.5 }), "latents", "latents must be a whole number of at least 1, got 1.5"],
    [sparseModel({ k: 0 }), "k", "k must be a whole number of at least 1, got 0"],
    [sparseModel({ k: Number.NaN }), "k", "k must be a whole number of at least 1, got NaN"],
    [sparseModel({ k: 20 }), "k", "k must be at most the number of latents (19), got 20"],
    [sparseModel({ decoder: "free" }), "decoder", "decoder of topk must be unit, got free"],
    [
      sparseModel({ architecture: "top-k" as SparseModelSetup["architecture"] }),
      "architecture",
      "architecture must be relu or topk or batch-topk or matryoshka or jumprelu or gated, got top-k",
    ],
    [sparseModel({ columns: [3, 3] }), "columns", "columns must sum to dIn (7), got 3 + 3"],
    [
      sparseModel({ dOut: 9 }),
      "applyBDecToInput",
      "applyBDecToInput must be false in a transcoder: b_dec is of its output",
    ],
    [
      sparseModel({ dOut: 0, applyBDecToInput: false }),
      "dOut",
      "dOut must be a whole number of at least 1, got 0",
    ],
    [
      sparseModel({ dOut: 9, columns: [3, 4], applyBDecToInput: false }),
      "columns",
      "columns and dOut contradict each other",
    ],
    [sparseModel({ skip: true }), "skip", "skip is for a transcoder, whose dOut is missing"],
    [deep([4, 4]), "widths", "widths must list at least input, one hidden layer and output, got 4-4"],
    [deep([4, 0, 4]), "widths", "widths must be a whole number of at least 1, got 0"],
    [deep([4, 2, 5]), "widths", "widths must end as they begin (the output rebuilds the input), got 4-2-5"],
  ])("refuses %o, naming %s", (model, option, message) => {
    expect(() => checkModel(model)).toThrow(new OptionError(option, message));
  });
});

describe("checkTraining", () => {
  const { training } = setupOf(sparseModel());
  const peak = (value: number) => ({ ...training.learningRate, peak: value });

  it("accepts a learning rate and a penalty of 0", () => {
    expect(() => checkTraining({ ...training, learningRate: peak(0), l1Coefficient: peak(0) })).not.toThrow();
  });

  it.each<[Partial<TrainingSetup>, string]>([
    [{ batchRows: 0 }, "batchRows must be a whole number of at least 1, got 0"],
    [{ batchRows: 2.5 }, "batchRows must be a whole number of at least 1, got 2.5"],
    [{ learningRate: peak(-1) }, "learningRate must be a number of at least 0, got -1"],
    [{ l1Coefficient: peak(Number.NaN) }, "l1Coefficient must be a number of at least 0, got NaN"],
    [
      { learningRate: { ...peak(1), warmupSteps: -5 } },
      "learningRate.warmupSteps must be a whole number of at least 0, got -5",
    ],
    [
      { l1Coefficient: { ...peak(1), totalSteps: Number.NaN } },
      "l1Coefficient.totalSteps must be a whole number of at least 0, got NaN",
    ],
    [{ adam: { ...training.adam, beta1: 1 } }, "beta1 must be at least 0 and below 1, got 1"],
    [{ adam: { ...training.adam, beta2: -0.1 } }, "beta2 must be at least 0 and below 1, got -0.1"],
    [{ adam: { ...training.adam, epsilon: -1 } }, "epsilon must be a number of at least 0, got -1"],
    [{ deadWindow: 0 }, "deadWindow must be above 0, got 0"],
  ])("refuses %o", (part, message) => {
    const option = message.split(" ", 1)[0]!;
    expect(() => checkTraining({ ...training, ...part })).toThrow(new OptionError(option, message));
  });
});

describe("what only training asks for", () => {
  const jumprelu = (bandwidth: number): SparseModelSetup =>
    sparseModel({
      architecture: "jumprelu",
      jump: {
        bandwidth,
        initialThreshold: 0.1,
        penalty: "step",
        tanhScale: 1,
        targetL0: 3,
        gradientToInput: false,
      },
    });
  const auxK = { coefficient: 1, k: 5, mode: "same-units", totalVariance: 1 } as const;

  it.each<[ModelSetup, Partial<TrainingSetup>, string]>([
    [jumprelu(0), {}, "bandwidth must be above 0: thresholds have no gradient else, got 0"],
    [sparseModel(), { preActCoefficient: 1 }, "preActCoefficient is for jumprelu, not for topk"],
    [sparseModel({ architecture: "relu" }), { auxK }, "auxK is for architectures with k, not for relu"],
    [deep([4, 2, 4]), { auxK }, "auxK is for architectures with k, not for autoencoder"],
    [
      sparseModel(),
      { auxK: { ...auxK, k: 20 } },
      "auxK.k must be at most the number of latents (19), got 20",
    ],
  ])("is refused of %o with %o", (model, training, message) => {
    const setup = setupOf(model, training);
    const option = message.split(" ", 1)[0]!;
    expect(() => planRun({ setup, workers: 1 })).toThrow(new OptionError(option, message));
    expect(() => planRun({ setup, workers: 1, purpose: "evaluate" })).not.toThrow();
  });

  it("is that workers and slots are whole numbers, in evaluation, too", () => {
    const setup = setupOf(sparseModel());
    for (const option of ["workers", "slots"] as const)
      expect(() => planRun({ setup, workers: 1, [option]: 0 })).toThrow(
        new OptionError(option, `${option} must be a whole number of at least 1, got 0`),
      );
  });
});

describe("defaultDeadWindow", () => {
  it("is 5 % of the run, at least 20 mini-batches, at most ten million examples", () => {
    expect(defaultDeadWindow(100, 1_000_000)).toBe(50_000);
    expect(defaultDeadWindow(4096, 100_000)).toBe(81_920);
    expect(defaultDeadWindow(4096, 1e9)).toBe(10_000_000);
  });
});

describe("outputDimension and rowDimension", () => {
  it("are dIn, or a transcoder's target, and both together", () => {
    expect([outputDimension(sparseModel()), rowDimension(sparseModel())]).toEqual([7, 7]);
    const transcoder = sparseModel({ dOut: 9, applyBDecToInput: false });
    expect([outputDimension(transcoder), rowDimension(transcoder)]).toEqual([9, 16]);
    expect(rowDimension(deep([6, 2, 6]))).toBe(6);
  });
});

describe("inputDimension", () => {
  it("is dIn, or the first width", () => {
    expect(inputDimension(sparseModel({ dIn: 5 }))).toBe(5);
    expect(inputDimension(deep([6, 2, 6]))).toBe(6);
  });
});
