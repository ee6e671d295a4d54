/** Which options give way to a flag: those that it would be refused for, and no others. */
import { describe, expect, it } from "vitest";
import { checkTrainRequest, type TrainRequest } from "../options.ts";
import { overridden } from "./replaced.ts";

const after = (options: TrainRequest, given: TrainRequest): Record<string, unknown> => {
  const left = overridden(options, given);
  checkTrainRequest(left);
  return left;
};

describe("a default that is named changes nothing", () => {
  it.each<[TrainRequest, TrainRequest]>([
    [{ beta1: 0.5, beta2: 0.9, epsilon: 1e-6 }, { optimizer: "adam" }],
    [{ k: 3, auxK: 4, auxCoefficient: 0.1 }, { auxMode: "variance" }],
    [{ arch: "relu", decoderNorm: 0.2 }, { decoder: "free" }],
    [{ arch: "relu", decoderNorm: 0.2, initFrom: "a" }, { decoder: "free" }],
    [{ lrDecay: 100, lrEnd: 1e-6 }, { lrSchedule: "linear" }],
  ])("%o with %o", (options, given) => {
    expect(overridden(options, given)).toEqual({ ...options, ...given });
  });

  it("but what is an alternative by being given at all still is one", () => {
    expect(after({ initFrom: "a" }, { init: "random" })).toEqual({ init: "random" });
    expect(after({ initFrom: "a", arch: "relu" }, { initEncoderBias: "zero" })).toEqual({
      arch: "relu",
      initEncoderBias: "zero",
    });
  });

  it("and does not hide what was wrong in the options themselves", () => {
    expect(() => after({ momentum: 0.5 }, { optimizer: "adam" })).toThrow("--momentum is for the other");
    expect(() => after({ l1: 1 }, { arch: "topk" })).toThrow("--l1 is for --arch relu");
  });
});

describe("an option takes the place of what would be refused beside it", () => {
  const MUON = { optimizer: "muon", momentum: 0.9, weightDecay: 0.2, beta1: 0.5 } as const;
  const UNIT = { arch: "relu", decoder: "unit" } as const;
  const RESAMPLED = { ...UNIT, resampleEvery: 10, resampleUntil: 30, resampleRows: 100 } as const;
  const TOPK = { k: 4, auxK: 8, auxMode: "same-units", auxCoefficient: 0.1, kAnnealSteps: 9 } as const;
  it.each<[string, TrainRequest, TrainRequest, TrainRequest]>([
    ["Muon's by Adam", MUON, { optimizer: "adam" }, { beta1: 0.5 }],
    ["Muon's by signum", MUON, { optimizer: "signum" }, { momentum: 0.9 }],
    [
      "Adam's are Muon's, too",
      { beta1: 0.5, epsilon: 1e-6 },
      { optimizer: "muon" },
      { beta1: 0.5, epsilon: 1e-6 },
    ],
    [
      "a decay and an average by schedule-free descent",
      { lrSchedule: "cosine", lrDecay: 9, lrEnd: 1e-6, ema: 0.9, beta2: 0.9 },
      { optimizer: "signum-schedule-free" },
      {},
    ],
    [
      "a target by the step penalty",
      { arch: "jumprelu", l0Penalty: "quadratic", targetL0: 9 },
      { l0Penalty: "step" },
      { arch: "jumprelu" },
    ],
    [
      "a slope by the quadratic penalty",
      { arch: "jumprelu", l0Penalty: "tanh", tanhScale: 9 },
      { l0Penalty: "quadratic" },
      { arch: "jumprelu" },
    ],
    ["α by another mode", TOPK, { auxMode: "variance" }, { k: 4, auxK: 8, kAnnealSteps: 9 }],
    [
      "a decay by a constant rate",
      { lrSchedule: "cosine", lrDecay: 9, lrEnd: 1e-6 },
      { lrSchedule: "constant" },
      {},
    ],
    ["no decay by a schedule", { lrDecay: 0 }, { lrSchedule: "cosine" }, {}],
    ["no decay by that schedule which is the default", { lrDecay: 0 }, { lrSchedule: "linear" }, {}],
    ["no decay by its end", { lrDecay: 0 }, { lrEnd: 1e-6 }, {}],
    ["a constant rate by a decay's steps", { lrSchedule: "constant" }, { lrDecay: 9 }, {}],
    ["a constant rate by a decay's end", { lrSchedule: "constant" }, { lrEnd: 1e-6 }, {}],
    ["a schedule by no decay", { lrSchedule: "cosine", lrEnd: 1e-6 }, { lrDecay: 0 }, {}],
    [
      "nothing: steps and end are of either schedule",
      { lrDecay: 9, lrEnd: 1e-6 },
      { lrSchedule: "cosine" },
      { lrDecay: 9, lrEnd: 1e-6 },
    ],
    ["nothing: a cosine has steps", { lrSchedule: "cosine" }, { lrDecay: 9 }, { lrSchedule: "cosine" }],
    [
      "a warm-up's form by none",
      { lrWarmup: 5, lrWarmupStart: 0.1, lrWarmupShape: "cosine" },
      { lrWarmup: 0 },
      {},
    ],
    [
      "norms of a free decoder by unit rows",
      { arch: "relu", decoderNorm: 0.2 },
      { decoder: "unit" },
      { arch: "relu" },
    ],
    ["resampling by a free decoder", RESAMPLED, { decoder: "free" }, { arch: "relu" }],
    [
      "p-annealing by a free decoder",
      { ...UNIT, pAnnealStart: 5, pEnd: 0.5, pNorm: "root" },
      { decoder: "free" },
      { arch: "relu" },
    ],
    ["resampling at intervals by steps", RESAMPLED, { resampleAt: [5] }, { ...UNIT, resampleRows: 100 }],
    [
      "a share of rows by no sparse start",
      { arch: "relu", initEncoderBias: "sparse", initRate: 0.1 },
      { initEncoderBias: "zero" },
      { arch: "relu" },
    ],
    ["first parameters by a model", { initBias: "zero", initEncoder: "scaled" }, { initFrom: "a" }, {}],
    [
      "resampling, columns and a tied encoder by a target",
      { ...RESAMPLED, columns: ["x", "y"], initEncoder: "tied", applyBDecToInput: true },
      { column: "x", target: "y" },
      UNIT,
    ],
    ["a target by columns", { column: "x", target: "y", skip: true }, { columns: ["x", "y"] }, {}],
    ["the corpus's mean by LayerNorm", { center: true }, { normalize: "layer-norm" }, {}],
    ["audits by the exact encoder", { audit: 0.1 }, { encoder: "exact" }, {}],
    ["the exact encoder by audits", { encoder: "exact" }, { audit: 0.1 }, {}],
    ["measurements by no held-out rows", { evalEvery: 5, evalSample: 10 }, { heldOut: 0 }, {}],
    ["TopK's options by JumpReLU", { ...TOPK, kAnneal: "exponential" }, { arch: "jumprelu" }, {}],
    [
      "the L1 recipe by TopK",
      { ...RESAMPLED, units: "none", l1: 3, l1Warmup: 5 },
      { arch: "topk" },
      { decoder: "unit" },
    ],
    [
      "a free decoder by TopK",
      { arch: "relu", decoder: "free", decoderNorm: 1, clipNorm: 1, units: "none" },
      { arch: "topk" },
      { clipNorm: 1, units: "none" },
    ],
    [
      "a sparse architecture's by layers",
      { arch: "relu", latents: 9, l1Warmup: 5 },
      { arch: "autoencoder", widths: [8, 2, 8] },
      {},
    ],
  ])("%s", (_, options, given, left) => {
    expect(after(options, given)).toEqual({ ...left, ...given });
  });

  it("of several architectures, what none of them has", () => {
    expect(overridden({ k: 4, l1: 3, targetL0: 5 }, { arch: ["batch-topk", "relu"] })).toEqual({
      arch: ["batch-topk", "relu"],
      k: 4,
      l1: 3,
    });
  });
});
