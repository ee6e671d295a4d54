/** How a model is trained, from the options: the penalty, what is annealed, auxiliary losses, with the defaults. */
import {
  ARCHITECTURES,
  type AuxKSetup,
  defaultAuxK,
  defaultDeadWindow,
  inputDimension,
  type KAnnealSetup,
  type ModelSetup,
  outputDimension,
  type PAnnealSetup,
  type TrainingSetup,
} from "@sparseloom/core";
import { RequestError } from "../errors.ts";
import type { TrainOptions } from "../options.ts";
import { counted } from "../progress.ts";
import { learningRateOf, updatesOf } from "./learning-rate.ts";

/** Default λ (SAELens's default; its scaling sqrt-d and loss convention are ours, too). */
const DEFAULT_L1 = 1;
/**
 * Default λ of JumpReLU's penalties: SAELens's 1, but 10 for `quadratic`: at 1 the reconstruction's pull keeps L0 10 to
 * 27 % above targets of 40 and 10 on the demo's corpus, at 10 it ends within 5 % of 20 and 40 after 774 steps.
 */
const DEFAULT_L0 = { step: 1, tanh: 1, quadratic: 10 } as const;
/** Share of the steps in which λ warms up (Anthropic, April 2024). */
const L1_WARMUP_SHARE = 0.05;

/** How long a run is. */
export interface RunLength {
  readonly batchRows: number;
  readonly totalExamples: number;
  readonly totalSteps: number;
}

/**
 * The training of a run, in the units of the rows that the options are meant for.
 *
 * @param totalVariance of what is rebuilt, as rows are trained on
 * @throws RequestError where an option does not go with the run's length
 */
export function trainingSetup(
  options: TrainOptions,
  model: ModelSetup,
  { batchRows, totalExamples, totalSteps }: RunLength,
  totalVariance: number,
): TrainingSetup {
  return {
    batchRows,
    learningRate: learningRateOf(options, model, totalSteps),
    l1Coefficient: {
      peak: penaltyPeak(model, options),
      warmupSteps: options.l1Warmup ?? options.l0Warmup ?? Math.round(L1_WARMUP_SHARE * totalSteps),
      decaySteps: 0,
      totalSteps,
    },
    adam: { beta1: options.beta1, beta2: options.beta2, epsilon: options.epsilon },
    ...updatesOf(options),
    deadWindow: options.deadWindow ?? defaultDeadWindow(batchRows, totalExamples),
    ...(options.preActLoss === undefined ? {} : { preActCoefficient: options.preActLoss }),
    ...kAnnealing(options, model, totalSteps),
    ...pAnnealing(options, totalSteps),
    ...(options.multiTopk === true ? { multiTopK: true } : {}),
    ...auxiliary(options, model, totalVariance),
  };
}

function pAnnealing(
  { pAnnealStart: from, pEnd: end = 0.2, pNorm: norm = "sum" }: TrainOptions,
  totalSteps: number,
): { pAnneal?: PAnnealSetup } {
  if (from === undefined) return {};
  if (from > totalSteps - 10)
    throw new RequestError(
      `--p-anneal-start must leave 10 of the run's ${counted(totalSteps, "step")} for its updates, got ${from}`,
    );
  return { pAnneal: { from, totalSteps, end, norm } };
}

/** From the dimension on, as dictionary_learning and sparsify do, or from all latents where they are fewer. */
function kAnnealing(
  { kAnnealSteps: steps, kAnneal: shape = "linear" }: TrainOptions,
  model: ModelSetup,
  totalSteps: number,
): { kAnneal?: KAnnealSetup } {
  if (steps === undefined || model.kind === "deep") return {};
  const from = Math.min(model.dIn, model.latents);
  if (from <= model.k)
    throw new RequestError(
      `--k-anneal-steps brings k down from ${from}, the dimension or all latents, which must be above --k ${model.k}`,
    );
  if (steps > totalSteps)
    throw new RequestError(
      `--k-anneal-steps must be at most the run's ${counted(totalSteps, "step")}, got ${steps}`,
    );
  return { kAnneal: { steps, shape, from } };
}

function auxiliary(options: TrainOptions, model: ModelSetup, totalVariance: number): { auxK?: AuxKSetup } {
  const { auxK, auxMode: mode = "variance", auxCoefficient } = options;
  if (auxK === undefined) return {};
  // OpenAI's and SAELens's.
  const coefficient = auxCoefficient ?? (mode === "variance" ? 1 / 32 : 1);
  const [dimension, latents] =
    model.kind === "sparse" ? [outputDimension(model), model.latents] : [inputDimension(model), Infinity];
  if (auxK !== "auto" && auxK > latents)
    throw new RequestError(`--aux-k must be at most the ${latents} latents, got ${auxK}`);
  const k = auxK === "auto" ? Math.min(defaultAuxK(dimension), latents) : auxK;
  return { auxK: { coefficient, k, mode, totalVariance } };
}

function penaltyPeak(model: ModelSetup, options: TrainOptions): number {
  if (model.kind === "deep") return options.bottleneckL1 ?? 0;
  const { penalty } = ARCHITECTURES[model.architecture];
  if (penalty === undefined) return 0;
  return penalty === "l1"
    ? (options.l1 ?? DEFAULT_L1)
    : (options.l0 ?? DEFAULT_L0[options.l0Penalty ?? "step"]);
}
