import { type ModelSetup, scheduledValue } from "@sparseloom/core";
import { describe, expect, it } from "vitest";
import { checkTrainRequest, type TrainRequest } from "../options.ts";
import { describeRate, learningRateOf } from "./learning-rate.ts";

const topk: ModelSetup = {
  kind: "sparse",
  architecture: "topk",
  dIn: 8,
  latents: 16384,
  k: 4,
  decoder: "unit",
  applyBDecToInput: true,
};

function ratesOf(request: TrainRequest, steps = 10): number[] {
  const schedule = learningRateOf(checkTrainRequest(request), topk, steps);
  return Array.from({ length: steps }, (_, step) => Number(scheduledValue(schedule, step).toPrecision(6)));
}

describe("the learning rate", () => {
  it("is constant, then decays linearly in the last fifth of the steps", () => {
    expect(ratesOf({ lr: 1 })).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5]);
    expect(ratesOf({ lr: 1, lrSchedule: "linear", lrDecay: 4, lrEnd: 0.2 }).slice(5)).toEqual([
      1, 1, 0.8, 0.6, 0.4,
    ]);
  });

  it("stays constant where asked to, in either way", () => {
    expect(new Set(ratesOf({ lr: 1, lrSchedule: "constant" }))).toEqual(new Set([1]));
    expect(new Set(ratesOf({ lr: 1, lrDecay: 0 }))).toEqual(new Set([1]));
  });

  it("follows a cosine over all steps after the warm-up, or over the last ones", () => {
    const cosine = (share: number): number => Number((0.5 + 0.5 * Math.cos(Math.PI * share)).toPrecision(6));
    expect(ratesOf({ lr: 1, lrSchedule: "cosine", lrWarmup: 2 })).toEqual([
      0.5,
      1,
      ...[0, 1, 2, 3, 4, 5, 6, 7].map((step) => cosine(step / 8)),
    ]);
    expect(ratesOf({ lr: 1, lrSchedule: "cosine", lrDecay: 2 }).slice(7)).toEqual([1, 1, 0.5]);
  });

  it("warms up from a share that is given, also along a cosine", () => {
    expect(ratesOf({ lr: 1, lrWarmup: 4, lrWarmupStart: 0.2 }).slice(0, 5)).toEqual([0.2, 0.4, 0.6, 0.8, 1]);
    const cosine = ratesOf({ lr: 1, lrWarmup: 2, lrWarmupStart: 0.1, lrWarmupShape: "cosine" });
    expect(cosine.slice(0, 3)).toEqual([0.1, 0.55, 1]);
  });
});

describe("options that belong to a schedule that is not there", () => {
  it.each([
    [{ lrWarmupStart: 0.1 }, "--lr-warmup-start needs --lr-warmup, the steps of warm-up"],
    [{ lrWarmupShape: "cosine" }, "--lr-warmup-shape needs --lr-warmup, the steps of warm-up"],
    [
      { lrSchedule: "constant", lrDecay: 3 },
      "--lr-decay is for --lr-schedule linear or cosine, not for constant",
    ],
    [
      { lrSchedule: "constant", lrEnd: 1e-5 },
      "--lr-end is for --lr-schedule linear or cosine, not for constant",
    ],
    [
      { lrSchedule: "cosine", lrDecay: 0 },
      "--lr-decay 0 leaves no step for --lr-schedule cosine: leave one of them out",
    ],
    [{ lrDecay: 0, lrEnd: 1e-5 }, "--lr-decay 0 leaves no step for --lr-end 0.00001: leave one of them out"],
    [{ lr: 1e-4, lrEnd: 1e-3 }, "--lr-end must be at most --lr 0.0001, got 0.001"],
    [{ lrWarmup: 2, lrWarmupStart: 2 }, "--lr-warmup-start must be at most 1, got 2"],
  ] as const)("are refused: %o", (request, message) => {
    expect(() => checkTrainRequest(request)).toThrow(message);
  });

  it("are refused where the automatic rate is below the end", () => {
    expect(() => ratesOf({ lrEnd: 1 })).toThrow("--lr-end must be at most the learning rate 0.000200, got 1");
  });
});

it.each<[string, ModelSetup, string]>([
  [
    "TopK, for which it was found",
    topk,
    "0.00200 (auto; found for TopK at mini-batches of 65,000 rows and more)",
  ],
  [
    "ReLU, for which it is a start",
    { ...topk, architecture: "relu", k: 0 },
    "0.00200 (auto; a start: found for TopK at mini-batches of 65,000 rows and more)",
  ],
  [
    "a deep autoencoder, for which it is a start",
    { kind: "deep", architecture: "autoencoder", widths: [8, 2, 8], outputActivation: "linear" },
    "0.00200 (auto; a start: found for TopK at mini-batches of 65,000 rows and more)",
  ],
])("Muon's automatic rate is told with %s", (_, model, expected) => {
  const options = checkTrainRequest({ optimizer: "muon" });
  expect(describeRate(options, model, learningRateOf(options, model, 10))).toBe(expected);
});
