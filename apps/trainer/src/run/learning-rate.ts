/** The learning rate of a run over its steps, from its options. */
import { ARCHITECTURES, automaticLearningRate, type ModelSetup, type Schedule } from "@sparseloom/core";
import { RequestError } from "../errors.ts";
import type { TrainOptions } from "../options.ts";

/** Share of the steps in which the learning rate decays linearly (Anthropic, April 2024). */
const DECAY_SHARE = 0.2;

/**
 * The schedule that the options ask for. A cosine decay takes all steps after the warm-up, as SAELens's
 * `cosineannealing` does; `--lr-decay` shortens it to the last steps.
 *
 * @throws RequestError where the automatic rate is below --lr-end
 */
export function learningRateOf(options: TrainOptions, model: ModelSetup, totalSteps: number): Schedule {
  const {
    lr,
    lrWarmup: warmupSteps,
    lrWarmupStart,
    lrWarmupShape,
    lrSchedule = "linear",
    lrEnd = 0,
  } = options;
  const peak = lr === "auto" ? automaticRate(model) : lr;
  if (lrEnd > peak)
    throw new RequestError(`--lr-end must be at most the learning rate ${peak.toPrecision(3)}, got ${lrEnd}`);
  const decaySteps = {
    constant: 0,
    linear: options.lrDecay ?? Math.round(DECAY_SHARE * totalSteps),
    cosine: options.lrDecay ?? Math.max(0, totalSteps - warmupSteps),
  }[lrSchedule];
  return {
    peak,
    warmupSteps,
    decaySteps,
    totalSteps,
    ...(lrWarmupStart === undefined ? {} : { warmupStart: lrWarmupStart }),
    ...(lrWarmupShape === "cosine" ? { warmupShape: "cosine" } : {}),
    ...(lrSchedule === "cosine" ? { decayShape: "cosine" } : {}),
    ...(lrEnd > 0 ? { end: lrEnd } : {}),
  };
}

function automaticRate(model: ModelSetup): number {
  if (model.kind === "deep") return 1e-3;
  return ARCHITECTURES[model.architecture].selection !== "positive"
    ? automaticLearningRate(model.latents)
    : 3e-4;
}
