/** Which options go together: checks beyond what a single option may be. */
import { ARCHITECTURES } from "@sparseloom/core";
import { RequestError } from "../errors.ts";
import type { TrainOptions } from "../options.ts";
import { flagOf } from "./describe-issue.ts";

/** Options that not every architecture has, with those that do. */
const SPARSE = ["topk", "batch-topk", "matryoshka", "jumprelu", "relu", "gated"] as const;
const TOPK_FAMILY = ["topk", "batch-topk", "matryoshka"] as const;
const JUMP = ["jumprelu"] as const;
/** Whose latents are active above a floor of their own, whatever the others do. */
const OWN_FLOOR = ["jumprelu", "gated", "relu"] as const;
const ONLY_FOR: Readonly<Partial<Record<keyof TrainOptions, readonly TrainOptions["arch"][]>>> = {
  latents: SPARSE,
  expansion: SPARSE,
  k: TOPK_FAMILY,
  threshold: ["batch-topk", "matryoshka"],
  prefixes: ["matryoshka"],
  auxK: TOPK_FAMILY,
  auxMode: TOPK_FAMILY,
  auxCoefficient: TOPK_FAMILY,
  kAnnealSteps: TOPK_FAMILY,
  kAnneal: TOPK_FAMILY,
  multiTopk: ["topk"],
  l0Penalty: JUMP,
  l0: JUMP,
  l0Warmup: JUMP,
  targetL0: JUMP,
  tanhScale: JUMP,
  bandwidth: JUMP,
  initThreshold: JUMP,
  preActLoss: JUMP,
  gradientToInput: JUMP,
  l1: ["relu", "gated"],
  l1Warmup: ["relu", "gated", "autoencoder"],
  pAnnealStart: ["relu"],
  pEnd: ["relu"],
  pNorm: ["relu"],
  modelName: SPARSE,
  hookName: SPARSE,
  decoder: SPARSE,
  applyBDecToInput: SPARSE,
  encoder: SPARSE,
  audit: SPARSE,
  initFrom: SPARSE,
  init: SPARSE,
  decoderNorm: ["relu"],
  initEncoder: SPARSE,
  initEncoderBias: OWN_FLOOR,
  initRate: OWN_FLOOR,
  initBias: SPARSE,
  fold: SPARSE,
  deadWindow: SPARSE,
  columns: SPARSE,
  target: SPARSE,
  skip: SPARSE,
  widths: ["autoencoder"],
  tied: ["autoencoder"],
  bottleneckL1: ["autoencoder"],
  outputActivation: ["autoencoder"],
};

/** Whether models of this architecture have the option. */
export function isOptionOf(architecture: string, key: string): boolean {
  const architectures: readonly string[] | undefined = ONLY_FOR[key as keyof TrainOptions];
  return architectures === undefined || architectures.includes(architecture);
}

/** Whether a model has numbers in units of the rows, which `--units` is about: those of TopK have limits of gradient norms alone. */
export function hasUnits({
  arch,
  clipNorm,
}: {
  readonly arch: string;
  readonly clipNorm?: unknown;
}): boolean {
  return clipNorm !== undefined || !(TOPK_FAMILY as readonly string[]).includes(arch);
}

/**
 * Checks options against each other; what follows from others is not set yet.
 *
 * @param options with defaults filled in
 * @param given options as they were given, a preset's among them
 * @throws RequestError naming the first option at fault and what would be right
 */
export function checkCombinations(
  options: Readonly<TrainOptions>,
  given: Readonly<Record<string, unknown>>,
): void {
  for (const [key, architectures] of Object.entries(ONLY_FOR)) {
    if (given[key] !== undefined && !architectures.includes(options.arch)) {
      throw new RequestError(
        `${flagOf(key)} is for --arch ${architectures.join(" or ")}, not for ${options.arch}`,
      );
    }
  }
  const both = (first: keyof TrainOptions, second: keyof TrainOptions): void => {
    if (options[first] !== undefined && options[second] !== undefined) {
      throw new RequestError(
        `${flagOf(first)} and ${flagOf(second)} contradict each other: give one of them`,
      );
    }
  };
  both("latents", "expansion");
  both("epochs", "examples");
  both("resampleAt", "resampleEvery");
  checkResampling(options);
  if (options.evalSample !== undefined && options.evalEvery === undefined)
    throw new RequestError("--eval-sample needs --eval-every, the steps between two measurements");
  if (options.evalEvery !== undefined && options.heldOut === 0)
    throw new RequestError(
      "--eval-every needs held-out rows, and --held-out is 0: give the share of them, e.g. --held-out 0.01",
    );
  both("column", "columns");
  if (options.columns !== undefined && options.units !== undefined)
    throw new RequestError("--units does not go with --columns: it is for rows of one vector");
  checkTarget(options, given);
  checkLayerNorm(options, given);
  const onlyWith = (key: "targetL0" | "tanhScale", penalty: "quadratic" | "tanh"): void => {
    if (options[key] !== undefined && options.l0Penalty !== penalty)
      throw new RequestError(`${flagOf(key)} is for --l0-penalty ${penalty}`);
  };
  for (const key of ["auxMode", "auxCoefficient"] as const) {
    if (options[key] !== undefined && options.auxK === undefined)
      throw new RequestError(`${flagOf(key)} needs --aux-k`);
  }
  if (options.decoderNorm !== undefined && options.decoder === "unit")
    throw new RequestError("--decoder-norm is for a free decoder: rows of --decoder unit have norm 1");
  if (options.initFrom !== undefined) {
    const other = INITIAL.find((key) => given[key] !== undefined);
    if (other !== undefined)
      throw new RequestError(`--init-from gives all first parameters: leave out ${flagOf(other)}`);
  }
  if (options.initRate !== undefined && options.initEncoderBias !== "sparse")
    throw new RequestError("--init-rate is for --init-encoder-bias sparse");
  checkSchedule(options);
  checkOptimizer(options, given);
  if (options.pAnnealStart !== undefined && options.decoder !== "unit")
    throw new RequestError("--p-anneal-start needs --decoder unit");
  for (const key of ["pEnd", "pNorm"] as const) {
    if (options[key] !== undefined && options.pAnnealStart === undefined)
      throw new RequestError(`${flagOf(key)} needs --p-anneal-start`);
  }
  if (options.kAnneal !== undefined && options.kAnnealSteps === undefined)
    throw new RequestError("--k-anneal needs --k-anneal-steps");
  if (options.audit > 0 && options.encoder === "exact")
    throw new RequestError("--audit is for the screened encoder, not for --encoder exact");
  onlyWith("targetL0", "quadratic");
  onlyWith("tanhScale", "tanh");
  if (options.arch === "autoencoder" && options.l1Warmup !== undefined && options.bottleneckL1 === undefined)
    throw new RequestError("--l1-warmup needs --bottleneck-l1 with --arch autoencoder");
  if (options.arch === "autoencoder" && options.widths === undefined) {
    throw new RequestError("--arch autoencoder needs --widths, e.g. 768,256,64,256,768");
  }
  if (
    options.decoder !== undefined &&
    options.arch !== "autoencoder" &&
    !ARCHITECTURES[options.arch].decoders.includes(options.decoder)
  ) {
    throw new RequestError(
      `--decoder ${options.decoder} does not go with --arch ${options.arch}: it has ${ARCHITECTURES[options.arch].decoders.join(" or ")}`,
    );
  }
  if (options.units !== undefined && !hasUnits(options))
    throw new RequestError(
      `--units is for --clip-norm, λ, thresholds and slopes: --arch ${options.arch} has the first alone, and it is not given`,
    );
}

/** LayerNorm is by each row's own statistics: nothing of the corpus's goes with it, and no other scale converts to it. */
function checkLayerNorm(options: Readonly<TrainOptions>, given: Readonly<Record<string, unknown>>): void {
  if (options.normalize !== "layer-norm") return;
  if (given["center"] === true)
    throw new RequestError(
      "--center does not go with --normalize layer-norm, which takes each row's own mean: leave it out, or take another --normalize, such as sqrt-d",
    );
  if (options.target !== undefined)
    throw new RequestError(
      "--normalize layer-norm does not go with --target: a target's mean and deviation are not known where it is rebuilt; take another --normalize, such as sqrt-d",
    );
  if (options.units !== undefined && hasUnits(options))
    throw new RequestError(
      `what is meant for rows scaled by ${options.units} (by --units or --preset: λ, thresholds, --clip-norm) cannot be converted for --normalize layer-norm, whose rows have no scale in common`,
    );
}

/** What a transcoder needs, and cannot have. */
function checkTarget(options: Readonly<TrainOptions>, given: Readonly<Record<string, unknown>>): void {
  if (options.skip === true && options.target === undefined)
    throw new RequestError("--skip needs --target: it is a map from one column to another");
  if (options.target === undefined) return;
  if (options.column === undefined)
    throw new RequestError("--target needs --column, the vectors it is rebuilt from");
  if (options.column === options.target)
    throw new RequestError(
      `--target and --column are both ${options.target}: leave out --target to rebuild it from itself`,
    );
  for (const key of ["columns", "units", "resampleAt", "resampleEvery"] as const)
    if (options[key] !== undefined) throw new RequestError(`${flagOf(key)} does not go with --target`);
  if (options.initEncoder !== undefined && options.initEncoder !== "random")
    throw new RequestError(`--init-encoder of a --target must be random, got ${options.initEncoder}`);
  if (given["applyBDecToInput"] === true)
    throw new RequestError("--apply-b-dec-to-input does not go with --target: b_dec is of the target");
}

/** What first parameters otherwise follow from. */
export const INITIAL = [
  "init",
  "decoderNorm",
  "initBias",
  "initEncoder",
  "initEncoderBias",
  "initRate",
  "initThreshold",
] as const;

/** What says when and how dead latents are resampled. */
export const RESAMPLING = [
  "resampleAt",
  "resampleEvery",
  "resampleUntil",
  "resampleWindow",
  "resampleRows",
] as const;

/** The procedure is for plain L1 with unit decoder rows; elsewhere there is something else against dead latents. */
function checkResampling(options: Readonly<TrainOptions>): void {
  const given = RESAMPLING.find((key) => options[key] !== undefined);
  if (given === undefined) return;
  const { arch, decoder } = options;
  if (arch !== "relu" || decoder !== "unit") {
    const instead =
      arch === "relu"
        ? "a free decoder goes without it"
        : (TOPK_FAMILY as readonly string[]).includes(arch)
          ? "take --aux-k"
          : arch === "jumprelu"
            ? "take --pre-act-loss"
            : "it is not for this architecture";
    throw new RequestError(
      `${flagOf(given)} is for --arch relu --decoder unit, for which resampling is defined: ${instead}`,
    );
  }
  if (options.resampleUntil !== undefined && options.resampleEvery === undefined)
    throw new RequestError("--resample-until needs --resample-every");
  if (options.resampleAt === undefined && options.resampleEvery === undefined)
    throw new RequestError(`${flagOf(given)} needs --resample-at or --resample-every`);
  const twice = options.resampleAt?.find((step, index, all) => all.indexOf(step) < index);
  if (twice !== undefined)
    throw new RequestError(`--resample-at must name each step once, got ${twice} twice`);
}

/** What belongs to a warm-up or a decay needs one. */
function checkSchedule(options: Readonly<TrainOptions>): void {
  const { lr, lrWarmup, lrSchedule, lrDecay, lrEnd } = options;
  for (const key of ["lrWarmupStart", "lrWarmupShape"] as const) {
    if (options[key] !== undefined && lrWarmup === 0)
      throw new RequestError(`${flagOf(key)} needs --lr-warmup, the steps of warm-up`);
  }
  for (const key of ["lrDecay", "lrEnd"] as const) {
    if (options[key] !== undefined && options[key] !== 0 && lrSchedule === "constant")
      throw new RequestError(`${flagOf(key)} is for --lr-schedule linear or cosine, not for constant`);
  }
  // By itself it leaves out the decay that there is by default.
  const decay =
    (lrSchedule ?? "constant") !== "constant" ? "lrSchedule" : (lrEnd ?? 0) > 0 ? "lrEnd" : undefined;
  if (lrDecay === 0 && decay !== undefined)
    throw new RequestError(
      `--lr-decay 0 leaves no step for ${flagOf(decay)} ${String(options[decay])}: leave one of them out`,
    );
  if (lrEnd !== undefined && lr !== "auto" && lrEnd > lr)
    throw new RequestError(`--lr-end must be at most --lr ${lr}, got ${lrEnd}`);
}

/** What belongs to one optimiser is not for another. */
function checkOptimizer(options: Readonly<TrainOptions>, given: Readonly<Record<string, unknown>>): void {
  const { optimizer, lrSchedule, ema } = options;
  for (const key of ["beta1", "beta2", "epsilon"] as const) {
    // Muon updates vectors by Adam.
    if (given[key] !== undefined && optimizer !== "adam" && optimizer !== "muon")
      throw new RequestError(`${flagOf(key)} is for --optimizer adam, not for ${optimizer}`);
  }
  if (options.momentum !== undefined && optimizer === "adam")
    throw new RequestError("--momentum is for the other optimizers: adam has --beta1");
  if (options.weightDecay !== undefined && optimizer !== "muon")
    throw new RequestError(`--weight-decay is for --optimizer muon, not for ${optimizer}`);
  if (optimizer !== "signum-schedule-free") return;
  const decays = (["lrDecay", "lrEnd"] as const).find((key) => (options[key] ?? 0) > 0);
  if (decays !== undefined || (lrSchedule ?? "constant") !== "constant")
    throw new RequestError(
      `${flagOf(decays ?? "lrSchedule")} is not for --optimizer signum-schedule-free: averaging takes the place of a decay`,
    );
  if (ema !== undefined)
    throw new RequestError(
      "--ema is not for --optimizer signum-schedule-free: its model is an average already",
    );
}
