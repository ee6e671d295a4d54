/** How a run updates its parameters, from its options: the learning rate over its steps, and the optimiser. */
import {
  automaticRate,
  type ModelSetup,
  muonCost,
  type Schedule,
  type TrainingSetup,
} from "@sparseloom/core";
import { RequestError } from "../errors.ts";
import type { TrainOptions } from "../options.ts";

/** Share of the steps in which the learning rate decays linearly (Anthropic, April 2024). */
const DECAY_SHARE = 0.2;

/**
 * The schedule that the options ask for. Muon's linear decay takes all steps after the warm-up, as sparsify's, and so
 * does a cosine one, as SAELens's `cosineannealing`; `--lr-decay` shortens either to the last steps.
 *
 * @throws RequestError where the automatic rate is below --lr-end
 */
export function learningRateOf(options: TrainOptions, model: ModelSetup, totalSteps: number): Schedule {
  const { lr, optimizer, lrWarmup: warmupSteps, lrWarmupStart, lrWarmupShape, lrEnd = 0 } = options;
  // Schedule-free descent has its average instead.
  const { lrSchedule = optimizer === "signum-schedule-free" ? "constant" : "linear" } = options;
  const peak = lr === "auto" ? automaticRate(model, optimizer).rate : lr;
  if (lrEnd > peak)
    throw new RequestError(`--lr-end must be at most the learning rate ${peak.toPrecision(3)}, got ${lrEnd}`);
  const afterWarmup = Math.max(0, totalSteps - warmupSteps);
  const decaySteps = {
    constant: 0,
    linear: options.lrDecay ?? (optimizer === "muon" ? afterWarmup : Math.round(DECAY_SHARE * totalSteps)),
    cosine: options.lrDecay ?? afterWarmup,
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

/** The learning rate for people: where it is the automatic one, with what it was found for. */
export function describeRate({ lr, optimizer }: TrainOptions, model: ModelSetup, { peak }: Schedule): string {
  if (lr !== "auto") return String(peak);
  return `${peak.toPrecision(3)} (auto; ${automaticRate(model, optimizer).validity})`;
}

/** β of the momentum: Bernstein et al. 2018; sparsify. */
const MOMENTUM = { signum: 0.9, "signum-schedule-free": 0.95, muon: 0.95 } as const;
/** Muon's weight decay: torch.optim.Muon, sparsify. */
const WEIGHT_DECAY = 0.1;

/** The optimiser, clipping and averaging that the options ask for. */
export function updatesOf({
  optimizer: name,
  momentum,
  weightDecay = WEIGHT_DECAY,
  clipNorm,
  ema,
}: Pick<TrainOptions, "optimizer" | "momentum" | "weightDecay" | "clipNorm" | "ema">): Pick<
  TrainingSetup,
  "optimizer" | "clipNorm" | "ema"
> {
  return {
    ...(name === "adam"
      ? {}
      : {
          optimizer: {
            name,
            momentum: momentum ?? MOMENTUM[name],
            ...(name === "muon" ? { weightDecay } : {}),
          },
        }),
    ...(clipNorm === undefined ? {} : { clipNorm }),
    ...(ema === undefined ? {} : { ema }),
  };
}

/** An optimiser's name, and what it costs where that is not little. */
export function describeOptimizer({ optimizer, batchRows }: TrainingSetup, model: ModelSetup): string {
  const name = optimizer?.name ?? "adam";
  if (name !== "muon") return name;
  const { multiplyAdds, share } = muonCost(model, batchRows);
  const of = model.kind === "deep" ? "the forward products" : "the encoder's product";
  return `muon (${((2 * multiplyAdds) / 1e9).toPrecision(3)} GFLOP more per step, ${Number(share.toPrecision(2))} times ${of})`;
}
