/**
 * What is likely to disappoint in a new run, though it is what was asked for. Numbers that published recipes give for
 * long runs (warm-ups, dead windows) come to nothing in short ones.
 */
import { canScreen, defaultInitialRate, type KernelVariant, type Plan } from "@sparseloom/core";
import type { TrainOptions } from "../options.ts";
import { counted, formatCount } from "../progress.ts";
import { idleFilterWarnings } from "../row-filters.ts";
import { sinkWarnings } from "../sink-warnings.ts";
import type { RunConfig } from "./config.ts";

/** Rows held out below which a mean over them is off by more than about a tenth. */
const FEW_ROWS = 100;

/** One line for each reason to be careful, of the run `config`. */
export function warningsOf(config: RunConfig): string[] {
  return [
    ...ofSchedules(config),
    ...ofModel(config),
    ...ofStart(config),
    ...ofHeldOut(config),
    // LayerNorm takes the size from every row.
    ...(config.options.normalize === "layer-norm" ? [] : sinkWarnings(config.statistics)),
    ...ofThreshold(config),
    ...idleFilterWarnings(config.options, config.corpus.filteredRows),
  ].map((line) => `warning: ${line}`);
}

/**
 * One line if an audit of screening was asked for and no row will be screened: what would make it so, if anything.
 *
 * @param options those of the session, which may be a resumption
 */
export function auditWarnings(
  { encoder, setup: { model } }: Plan,
  { audit, encoder: asked }: Pick<TrainOptions, "audit" | "encoder">,
  kernels: KernelVariant,
): string[] {
  if (audit === 0 || encoder === "screened" || model.kind === "deep") return [];
  const why = !canScreen(model, kernels)
    ? `kernels ${kernels} cannot screen rows`
    : asked === "exact"
      ? "rows are encoded exactly, by --encoder exact; --encoder screened can be audited"
      : `--encoder auto takes the exact product for ${model.dIn} dimensions, ${counted(model.latents, "latent")}` +
        `${model.k > 0 ? ` and k ${model.k}` : ""}; --encoder screened can be audited`;
  return [`warning: --audit does nothing: ${why}`];
}

/** Parts of the training that the run is too short for. */
function ofSchedules({ setup: { training }, options, totalSteps, totalExamples }: RunConfig): string[] {
  const one = totalSteps === 1;
  const steps = `the run's ${counted(totalSteps, "step")}`;
  const { learningRate, l1Coefficient, deadWindow, auxK, preActCoefficient } = training;
  const reviving =
    auxK !== undefined ? "--aux-k" : preActCoefficient !== undefined ? "--pre-act-loss" : undefined;
  const tooLong = (what: string, warmupSteps: number): string[] =>
    warmupSteps > totalSteps
      ? [`${what} warms up for ${formatCount(warmupSteps)} steps, ${steps} ${one ? "ends" : "end"} before`]
      : [];
  return [
    ...tooLong("the learning rate", learningRate.warmupSteps),
    ...(l1Coefficient.peak > 0 ? tooLong("λ", l1Coefficient.warmupSteps) : []),
    ...(learningRate.decaySteps > totalSteps
      ? [
          `the learning rate decays over ${formatCount(learningRate.decaySteps)} steps, more than ${steps}: it begins below --lr`,
        ]
      : []),
    ...((options.stopAt ?? 0) > totalSteps
      ? [`--stop-at ${options.stopAt} does nothing: ${steps} ${one ? "ends" : "end"} before`]
      : []),
    ...(reviving !== undefined && deadWindow >= totalExamples
      ? [
          `${reviving} does nothing: a latent is dead after ${counted(deadWindow, "example")} without activation (--dead-window), ` +
            `and the run has ${formatCount(totalExamples)}`,
        ]
      : []),
  ];
}

function negativeRows({ center, normalize }: RunConfig["options"]): string[] {
  const cannot =
    "have negative values, which the last layer's ReLU cannot give: take --output-activation linear";
  if (normalize === "layer-norm") return [`rows after LayerNorm ${cannot}`];
  return center ? [`centred rows ${cannot}, or --no-center`] : [];
}

function ofModel({ setup: { model }, options }: RunConfig): string[] {
  if (model.kind === "deep") return model.outputActivation === "relu" ? negativeRows(options) : [];
  const [smallest] = model.prefixes ?? [];
  const least = Math.floor(model.latents / 16);
  return smallest === undefined || smallest >= least
    ? []
    : [
        `the smallest prefix of ${counted(smallest, "latent")} is below 1/16 of all (${least}): prefixes so narrow mix correlated features into one latent (hedging, arXiv 2505.11756)`,
      ];
}

/** A sparse start that, for so few latents, is the usual one: half of them active. */
function ofStart({ setup: { model }, options }: RunConfig): string[] {
  if (model.kind === "deep" || options.initEncoderBias !== "sparse" || options.initRate !== undefined)
    return [];
  return defaultInitialRate(model) < 0.5
    ? []
    : [
        `--init-encoder-bias sparse does nothing for ${counted(model.latents, "latent")}, of which half are to be active by default: give --init-rate`,
      ];
}

/** Rows held out of the training split, filtered ones included. */
function heldOutRows({ corpus }: RunConfig): number {
  return corpus.rows - corpus.trainRows - corpus.filteredRows;
}

function ofHeldOut(config: RunConfig): string[] {
  const { heldOut } = config.options;
  return heldOut === 0 || heldOutRows(config) > 0
    ? []
    : [
        `no row is held out: ${Number((100 * heldOut).toPrecision(3))} % of so few documents are none; the result is of training rows alone; hold out more (--held-out)`,
      ];
}

/** A threshold calibrated on few rows gives another L0 on others. */
function ofThreshold(config: RunConfig): string[] {
  const { setup, options } = config;
  const { model } = setup;
  const heldOut = heldOutRows(config);
  if (model.kind === "deep" || options.threshold === "ema") return [];
  if (model.architecture !== "batch-topk" && model.architecture !== "matryoshka") return [];
  return heldOut === 0 || heldOut >= FEW_ROWS
    ? []
    : [
        `the threshold will be calibrated on ${counted(heldOut, "held-out row")}: on others L0 may be far from k; hold out more (--held-out), or take --threshold ema`,
      ];
}
