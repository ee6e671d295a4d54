/**
 * The options of `train`, checked by one schema, whether they come as flags or from `--config file.json`.
 * A key's description and its place in the schema are what `--help` prints.
 */
import { availableParallelism } from "node:os";
import { ARCHITECTURES } from "@sparseloom/core";
import { z } from "zod";
import { RequestError } from "./errors.ts";
import { PRESET_NAMES, withPreset } from "./presets.ts";
import { filterShape } from "./row-filters.ts";

const whole = (least: number) => z.number().int().min(least);
const list = z.array(whole(1)).min(3);

/** Threads beyond this only take memory, some 10 MB each; a thousand of them take the machine. */
export const MOST_WORKERS: number = Math.max(64, 4 * availableParallelism());

/** Megabytes of a shuffle window: two of them must fit beside a small model in 250 MB. */
export const DEFAULT_WINDOW_MB = 12;

/** All options of a training run. Names are the flags in camelCase. */
export const trainSchema = z.strictObject({
  preset: z
    .enum(PRESET_NAMES)
    .optional()
    .describe(
      "a published recipe: its options instead of the defaults; what is given beside it overrides it",
    ),
  arch: z
    .enum(["topk", "batch-topk", "matryoshka", "jumprelu", "relu", "gated", "autoencoder"])
    .default("topk")
    .describe("architecture"),
  latents: whole(1).optional().describe("number of dictionary units (sparse architectures)"),
  expansion: z
    .number()
    .positive()
    .optional()
    .describe("instead of --latents: latents as a multiple of the dimension (default 8)"),
  k: whole(1)
    .optional()
    .describe("active latents per row (topk; batch-topk and matryoshka: on average; default 32)"),
  threshold: z
    .enum(["calibrated", "ema"])
    .optional()
    .describe(
      "the finished model's threshold: so that mean L0 is k on held-out rows (default), or training's moving average (batch-topk, matryoshka)",
    ),
  prefixes: z
    .array(whole(1))
    .min(2)
    .optional()
    .describe(
      "widths of the nested prefixes, ascending, the last all latents (matryoshka; default 1/16, 1/8, 1/4, 1/2 and all of them)",
    ),
  auxK: z
    .union([whole(1), z.literal("auto")])
    .optional()
    .describe(
      "dead latents that rebuild a row's error, as an auxiliary loss that revives them; auto: the power of two nearest to half the dimension (topk, batch-topk, matryoshka; default none)",
    ),
  auxMode: z
    .enum(["variance", "same-units"])
    .optional()
    .describe(
      "auxiliary error relative to the error's variance, in units of the rows' (default), or as it is (as SAELens)",
    ),
  auxCoefficient: z
    .number()
    .positive()
    .optional()
    .describe("α of the auxiliary loss (default 1/32; same-units: 1)"),
  kAnnealSteps: whole(1)
    .optional()
    .describe(
      "steps in which k comes down from the dimension (at most all latents) to --k (topk, batch-topk, matryoshka; default none)",
    ),
  kAnneal: z
    .enum(["linear", "exponential"])
    .optional()
    .describe("how k comes down: as in dictionary_learning (default), or as in sparsify"),
  multiTopk: z
    .boolean()
    .optional()
    .describe("rows are also rebuilt by their 4·k largest latents, with weight 1/8 (topk; default false)"),
  l0Penalty: z
    .enum(["step", "tanh", "quadratic"])
    .optional()
    .describe("λ·L0, λ·Σ tanh(c·f), or λ·(2/target)·(L0 − target)² (jumprelu; default step)"),
  l0: z
    .number()
    .min(0)
    .optional()
    .describe("λ of the sparsity penalty (jumprelu; default 1, with a quadratic penalty 10)"),
  l0Warmup: whole(0).optional().describe("steps of linear warm-up of λ (jumprelu; default 5 % of the steps)"),
  targetL0: z.number().positive().optional().describe("target of --l0-penalty quadratic (default 20)"),
  tanhScale: z.number().positive().optional().describe("c of --l0-penalty tanh (default 4)"),
  bandwidth: z
    .number()
    .positive()
    .optional()
    .describe("width of the window about a threshold in which it has a gradient (jumprelu; default 0.05)"),
  initThreshold: z.number().min(0).optional().describe("thresholds at the start (jumprelu; default 0.01)"),
  preActLoss: z
    .number()
    .positive()
    .optional()
    .describe(
      "coefficient of a loss that draws dead latents to their thresholds, Σ ‖W_dec‖·ReLU(θ − z) over them (jumprelu; default none, Anthropic's 3e-6)",
    ),
  gradientToInput: z
    .boolean()
    .optional()
    .describe("the thresholds' straight-through gradient also goes to the encoder (jumprelu; default false)"),
  l1: z.number().min(0).optional().describe("λ of the L1 penalty (relu; gated: on the gates; default 1)"),
  l1Warmup: whole(0)
    .optional()
    .describe("steps of linear warm-up of λ (relu, gated; default 5 % of the steps)"),
  pAnnealStart: whole(1)
    .optional()
    .describe(
      "step from which on the penalty is of a power of the activations that falls from 1 in ten updates, λ adapted at each (relu with --decoder unit; default never)",
    ),
  pEnd: z.number().positive().lt(1).optional().describe("the last power (default 0.2)"),
  pNorm: z
    .enum(["sum", "root"])
    .optional()
    .describe("penalty λ·Σ f^p (default), or λ·(Σ f^p)^(1/p), with p-annealing"),
  decoder: z
    .enum(["unit", "free"])
    .optional()
    .describe(
      "decoder rows of norm 1, or free with the penalty weighted by their norms (relu; default free; others have unit only)",
    ),
  applyBDecToInput: z.boolean().default(true).describe("subtract b_dec from the encoder's input"),
  widths: list.optional().describe("layer widths, e.g. 768,256,64,256,768 (autoencoder)"),
  tied: z
    .boolean()
    .optional()
    .describe(
      "decoder weights are the transposes of the encoder's; widths mirrored (autoencoder; default false)",
    ),
  bottleneckL1: z
    .number()
    .min(0)
    .optional()
    .describe("λ of an L1 penalty on the narrowest hidden layer's activations (autoencoder; default 0)"),
  outputActivation: z
    .enum(["relu", "linear"])
    .default("relu")
    .describe("activation function of the last layer (autoencoder)"),

  batch: whole(1).default(4096).describe("rows of a mini-batch"),
  epochs: whole(1).optional().describe("passes over the corpus (default 1)"),
  examples: whole(1).optional().describe("instead of --epochs: rows to train on in all"),
  lr: z
    .union([z.number().positive(), z.literal("auto")])
    .default("auto")
    .describe(
      "learning rate; auto: 2e-4/√(latents/16384) for topk, batch-topk and matryoshka, found at batches of 65,000 rows and more; 3e-4 for relu, gated and jumprelu, 1e-3 for autoencoder; other optimizers: see the start message",
    ),
  lrWarmup: whole(0).default(0).describe("steps of warm-up of the learning rate"),
  lrWarmupStart: z
    .number()
    .positive()
    .max(1)
    .optional()
    .describe("share of the learning rate that the warm-up's first step takes (default 1/--lr-warmup)"),
  lrWarmupShape: z
    .enum(["linear", "cosine"])
    .optional()
    .describe("how the learning rate warms up (default linear)"),
  lrSchedule: z
    .enum(["constant", "linear", "cosine"])
    .optional()
    .describe("how the learning rate decays at the end (default linear)"),
  lrDecay: whole(0)
    .optional()
    .describe(
      "steps of decay at the end (default: linear 20 % of the steps; cosine, and muon, all after the warm-up)",
    ),
  lrEnd: z.number().min(0).optional().describe("learning rate that the decay leads to (default 0)"),
  optimizer: z
    .enum(["adam", "signum", "signum-schedule-free", "muon"])
    .default("adam")
    .describe(
      "what turns gradients into updates; signum: against the sign of their running mean; signum-schedule-free: sign descent whose average is the model (sparsify's default); muon: matrices by their orthogonalised momentum, at a cost that the start message tells",
    ),
  momentum: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe("β of the momentum (signum: default 0.9; signum-schedule-free and muon: 0.95)"),
  weightDecay: z
    .number()
    .min(0)
    .optional()
    .describe("decoupled weight decay of matrices (muon; default 0.1)"),
  beta1: z.number().min(0).lt(1).default(0.9).describe("Adam's β1"),
  beta2: z.number().min(0).lt(1).default(0.999).describe("Adam's β2"),
  epsilon: z.number().positive().default(1e-8).describe("Adam's ε"),
  resampleAt: z
    .array(whole(1))
    .min(1)
    .optional()
    .describe(
      "steps at which dead latents are made anew from rows that are rebuilt badly (relu with --decoder unit; Towards Monosemanticity: 25000,50000,75000,100000)",
    ),
  resampleEvery: whole(1).optional().describe("instead of --resample-at: every so many steps"),
  resampleUntil: whole(1).optional().describe("last step of --resample-every (default half of the steps)"),
  resampleWindow: whole(1)
    .optional()
    .describe(
      "examples without activation after which a latent is resampled (default half of those since the resampling before)",
    ),
  resampleRows: whole(1)
    .optional()
    .describe(
      "training rows of which dead latents are made, by the squares of their losses (default 819200)",
    ),
  ema: z
    .number()
    .positive()
    .lt(1)
    .optional()
    .describe("decay of a moving average of the parameters, which the finished model has (default none)"),
  clipNorm: z
    .number()
    .positive()
    .optional()
    .describe("norm of all gradients together above which they are scaled down to it (default none)"),
  deadWindow: whole(1).optional().describe("examples without activation after which a latent is dead"),

  normalize: z
    .enum(["none", "sqrt-d", "unit-mean-square"])
    .default("sqrt-d")
    .describe("scalar that rows are multiplied by"),
  units: z
    .enum(["none", "sqrt-d", "unit-mean-square"])
    .optional()
    .describe(
      "scaling in whose units --l1, --l0, --bandwidth, --init-threshold and --tanh-scale are meant (default: that of --normalize)",
    ),
  center: z.boolean().default(true).describe("subtract the corpus's mean from rows"),
  init: z
    .enum(["random", "uniform", "data"])
    .default("random")
    .describe(
      "decoder from random directions, from entries uniform in ±1/√d (Anthropic, January 2025), or from rows of the corpus",
    ),
  decoderNorm: z
    .number()
    .positive()
    .optional()
    .describe("norm of a free decoder's rows at the start (default 0.1, with --init uniform about 1/√3)"),
  initEncoder: z
    .enum(["tied", "scaled", "random"])
    .optional()
    .describe(
      "encoder at the start: the decoder's transpose (default), d/latents times it (Anthropic, January 2025), or random directions of its norms",
    ),
  initEncoderBias: z
    .enum(["zero", "sparse"])
    .optional()
    .describe(
      "encoder bias at the start: zero (default), or so that each latent is active on --init-rate of the rows",
    ),
  initRate: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe(
      "share of rows for --init-encoder-bias sparse (default 10000/latents, with --target-l0 target/latents; at most 0.5)",
    ),
  initBias: z
    .enum(["mean", "median", "zero"])
    .default("median")
    .describe("initial b_dec: the corpus's mean, its geometric median, or zero"),
  fold: z
    .enum(["scale", "unit"])
    .optional()
    .describe("what export divides out of the decoder (default: unit for a free decoder, else scale)"),

  column: z.string().optional().describe("vector column (default: the only one there is)"),
  columns: z
    .array(z.string())
    .min(2)
    .optional()
    .describe(
      "instead of --column: several vector columns, which one dictionary encodes together and rebuilds each (a crosscoder); each has a mean and a scale of its own",
    ),
  target: z
    .string()
    .optional()
    .describe(
      "vector column that is rebuilt from --column instead of that itself (a transcoder); has a mean and a scale of its own",
    ),
  skip: z
    .boolean()
    .optional()
    .describe("also learn a linear map from --column to --target, past the latents (a skip transcoder)"),
  documentColumn: z
    .string()
    .optional()
    .describe(
      "label column by whose value rows are held out together (default: document, else sequence, where there is one)",
    ),
  heldOut: z
    .number()
    .min(0)
    .max(0.5)
    .default(0.01)
    .describe("share of documents (or rows) held out for evaluation"),
  ...filterShape,
  shuffle: z
    .enum(["window", "full", "none"])
    .default("window")
    .describe(
      "order of rows: blocks from anywhere, their rows mixed in windows; full: each row from anywhere, read by itself; none: as in the files",
    ),
  windowMb: z
    .number()
    .positive()
    .default(DEFAULT_WINDOW_MB)
    .describe("megabytes of raw rows shuffled together; two windows are held"),
  evalRows: whole(1)
    .optional()
    .describe(
      "rows of training and of held-out data on which the result is measured (default a tenth of the examples, at most 100000)",
    ),

  workers: whole(1)
    .max(MOST_WORKERS)
    .default(availableParallelism())
    .describe("worker threads; changes no bit of the result"),
  kernels: z
    .enum(["auto", "reference"])
    .default("auto")
    .describe("auto: the fastest that this machine runs; reference: plain TypeScript"),
  encoder: z
    .enum(["auto", "exact", "screened"])
    .default("auto")
    .describe(
      "exact: one float32 product; screened: integer bounds first, float32 where they leave it open; same bits; auto: the faster one",
    ),
  audit: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("share of rows whose screening is checked against the exact product"),
  experimentalWideSimd: z
    .boolean()
    .default(false)
    .describe("256-bit vectors by an experimental flag of V8: same bits, up to twice as fast"),
  allowDifferentKernels: z
    .boolean()
    .default(false)
    .describe("resume under kernels that may give other last bits than those the run was made with"),
  seed: whole(0)
    .max(2 ** 32 - 1)
    .default(0)
    .describe("decides everything random"),
  dataSeed: whole(0)
    .max(2 ** 32 - 1)
    .optional()
    .describe(
      "instead of the seed, decides who is held out, which rows samples take and the order of rows: runs with other seeds then see the same data (default: the seed)",
    ),
  out: z.string().optional().describe("run directory (default runs/<arch>-<time>)"),
  logEvery: whole(1).default(10).describe("steps between two lines of metrics.jsonl"),
  checkpointEvery: whole(1).default(1000).describe("steps between two checkpoints"),
  keepCheckpoints: whole(1).default(3).describe("newest checkpoints that are kept"),
  stopAt: whole(1).optional().describe("save a checkpoint after this step and stop; continue with --resume"),
  stuckTimeout: z
    .number()
    .positive()
    .default(30)
    .describe("seconds without progress of any worker after which the run fails"),
});

/** Options as given: everything optional. */
export type TrainRequest = z.input<typeof trainSchema>;
/** Options with defaults filled in; those that depend on the corpus may still be missing. */
export type TrainOptions = z.output<typeof trainSchema>;

/** Options that may be given again when a run is resumed: none of them changes a bit of the result. */
export const RESUME_OPTIONS = [
  "workers",
  "stopAt",
  "stuckTimeout",
  "checkpointEvery",
  "keepCheckpoints",
  "kernels",
  "encoder",
  "audit",
  "experimentalWideSimd",
  "allowDifferentKernels",
] as const;

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
  kAnnealSteps: TOPK_FAMILY,
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
  decoder: SPARSE,
  applyBDecToInput: SPARSE,
  encoder: SPARSE,
  audit: SPARSE,
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

/** The flag of an option: camelCase to kebab-case. */
export function flagOf(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/**
 * Checks a request and fills in defaults.
 *
 * @throws RequestError naming the first option at fault and what would be right
 */
export function checkTrainRequest(request: unknown): TrainOptions {
  const given = withPreset(request as Readonly<Record<string, unknown>>);
  const parsed = trainSchema.safeParse(given);
  if (!parsed.success) throw new RequestError(describeIssue(parsed.error, given));
  const options = parsed.data;
  for (const [key, architectures] of Object.entries(ONLY_FOR)) {
    if (given[key] !== undefined && !architectures.includes(options.arch)) {
      throw new RequestError(
        `${flagOf(key)} is for --arch ${architectures.join(" and ")}, not for ${options.arch}`,
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
  both("column", "columns");
  both("columns", "units");
  checkTarget(options, given);
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
  // A preset may give units as well, whether it has numbers in them or not.
  if (
    (request as TrainRequest).units !== undefined &&
    (TOPK_FAMILY as readonly string[]).includes(options.arch)
  )
    throw new RequestError(`--units is for λ, thresholds and slopes, which --arch ${options.arch} has not`);
  return options;
}

/** What a transcoder needs, and cannot have; its b_dec begins at its target's mean, as sparsify's does. */
function checkTarget(options: TrainOptions, given: Readonly<Record<string, unknown>>): void {
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
  options.applyBDecToInput = false;
  if (given["initBias"] === undefined) options.initBias = "mean";
}

const RESAMPLING = [
  "resampleAt",
  "resampleEvery",
  "resampleUntil",
  "resampleWindow",
  "resampleRows",
] as const;

/** The procedure is for plain L1 with unit decoder rows; elsewhere there is something else against dead latents. */
function checkResampling(options: TrainOptions): void {
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
}

/** What belongs to a warm-up or a decay needs one. */
function checkSchedule(options: TrainOptions): void {
  const { lr, lrWarmup, lrSchedule, lrEnd } = options;
  for (const key of ["lrWarmupStart", "lrWarmupShape"] as const) {
    if (options[key] !== undefined && lrWarmup === 0)
      throw new RequestError(`${flagOf(key)} needs --lr-warmup, the steps of warm-up`);
  }
  for (const key of ["lrDecay", "lrEnd"] as const) {
    if (options[key] !== undefined && options[key] !== 0 && lrSchedule === "constant")
      throw new RequestError(`${flagOf(key)} is for --lr-schedule linear or cosine, not for constant`);
  }
  if (lrEnd !== undefined && lr !== "auto" && lrEnd > lr)
    throw new RequestError(`--lr-end must be at most --lr ${lr}, got ${lrEnd}`);
}

/** What belongs to one optimiser is not for another. */
function checkOptimizer(options: TrainOptions, given: Readonly<Record<string, unknown>>): void {
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

/** One line: the option, what would be right, and what was given. */
export function describeIssue(error: z.ZodError, request: unknown): string {
  const [issue] = error.issues;
  if (issue === undefined) return error.message;
  if (issue.code === "unrecognized_keys") return `unknown option ${issue.keys.map(flagOf).join(", ")}`;
  const [key, entry] = issue.path;
  const given = issue.path.reduce<unknown>(
    (value, name) => (value as Record<PropertyKey, unknown> | undefined)?.[name],
    request,
  );
  const option = key === undefined ? "options" : flagOf(String(key));
  const place = entry === undefined ? option : `${option}, entry ${Number(entry) + 1},`;
  return `${place} must be ${expectationOf(issue)}, got ${JSON.stringify(given)}`;
}

function expectationOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "too_small":
      if (issue.origin === "array") return `a list of at least ${issue.minimum}`;
      return `${issue.inclusive === false ? "above" : "at least"} ${issue.minimum}`;
    case "too_big":
      return `${issue.inclusive === false ? "below" : "at most"} ${issue.maximum}`;
    case "invalid_type":
      return issue.expected === "int" ? "a whole number" : `a ${issue.expected}`;
    case "invalid_value":
      return issue.values.map(String).join(" or ");
    case "invalid_union":
      // The options that may be of two kinds.
      if (issue.path[0] === "auxK") return "a whole number of at least 1, or auto";
      return issue.path[0] === "lr" ? "a number above 0, or auto" : "a token's id or text";
    case "unrecognized_keys":
    case "custom":
    case "invalid_element":
    case "invalid_format":
    case "invalid_key":
    case "not_multiple_of":
      // No option has such a rule; should one get it, zod's own words are better than none.
      return `something else (${issue.message})`;
  }
}
