/**
 * What a run trains and how: the resolved description that the plan, the stages and the kernels read.
 * Plain data, so that it can be sent to worker threads and written into `config.json`.
 */
import { ARCHITECTURES, hasThresholds, type SparseArchitectureName } from "./architectures/index.ts";
import { OptionError } from "./errors.ts";
import type { Schedule } from "./schedule.ts";

/** A sparse autoencoder's shape and rules. */
export interface SparseModelSetup {
  readonly kind: "sparse";
  readonly architecture: SparseArchitectureName;
  /** Dimension of an activation. */
  readonly dIn: number;
  /** Number of dictionary units. */
  readonly latents: number;
  /** Active latents per row (TopK), or per row on average (BatchTopK); 0 where the architecture has none. */
  readonly k: number;
  /** `unit`: decoder rows are kept at norm 1; `free`: no constraint, and the L1 penalty is weighted by the norms. */
  readonly decoder: "unit" | "free";
  /** Whether the encoder sees x − b_dec (as most systems) or x. */
  readonly applyBDecToInput: boolean;
  /** Of a transcoder: dimension of the vectors that it rebuilds, which are others than those it reads. Absent: the same. */
  readonly dOut?: number;
  /** Of a transcoder: whether a linear map of the input, W_skip [dOut, dIn], is added to what it rebuilds. */
  readonly skip?: boolean;
  /** Of a crosscoder: widths of the vectors that make an activation, side by side; their sum is dIn. Absent: one vector. */
  readonly columns?: readonly number[];
  /** Widths of the nested prefixes, ascending, the last all latents; Matryoshka only. */
  readonly prefixes?: readonly number[];
  /** How thresholds are trained; JumpReLU only. */
  readonly jump?: JumpSetup;
}

/** A JumpReLU autoencoder's thresholds and penalty; formulas in architectures/jumprelu.ts. */
export interface JumpSetup {
  /** ε, the width of the window about a threshold in which it has a gradient; 0 only in a model that is not trained. */
  readonly bandwidth: number;
  /** θ of all latents at the start. */
  readonly initialThreshold: number;
  /** `step`: L0; `tanh`: Σ tanh(c·f); `quadratic`: (2/target)·(L0 − target)². */
  readonly penalty: "step" | "tanh" | "quadratic";
  /** c of the tanh penalty. */
  readonly tanhScale: number;
  /** Target of the quadratic penalty, active latents per row. */
  readonly targetL0: number;
  /** Whether the straight-through gradient also goes to the pre-activation, and so to the encoder. */
  readonly gradientToInput: boolean;
}

/** A deep autoencoder: fully connected layers with ReLU, trained by backpropagation on the squared error. */
export interface DeepModelSetup {
  readonly kind: "deep";
  readonly architecture: "autoencoder";
  /** Widths of all layers, the input's first, e.g. [4, 3, 2, 3, 4]; first and last are dIn. */
  readonly widths: readonly number[];
  /** Activation function of the last layer; all others have ReLU. */
  readonly outputActivation: "relu" | "linear";
  /** Whether decoder weights are the transposes of the encoder's; widths are then mirrored about the middle. Default false. */
  readonly tied?: boolean;
}

export type ModelSetup = SparseModelSetup | DeepModelSetup;

/** Adam's constants, as in torch.optim.Adam. */
export interface AdamSetup {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** An optimiser other than Adam; formulas in optimizers/. */
export interface OptimizerSetup {
  readonly name: "signum" | "signum-schedule-free" | "muon";
  /** β of the momentum. */
  readonly momentum: number;
  /** Decoupled weight decay of matrices; Muon only. Default 0. */
  readonly weightDecay?: number;
}

/** AuxK; formulas in auxiliary.ts. */
export interface AuxKSetup {
  /** α. */
  readonly coefficient: number;
  /** k_aux, the dead latents that rebuild a row's error. */
  readonly k: number;
  readonly mode: "variance" | "same-units";
  /** V, the total variance of the rows as they are trained on; for `variance`. */
  readonly totalVariance: number;
}

/** How k comes down to the model's own; formulas in selection.ts. TopK and BatchTopK only. */
export interface KAnnealSetup {
  /** Steps until k is the model's. */
  readonly steps: number;
  readonly shape: "linear" | "exponential";
  /** k of the first step. */
  readonly from: number;
}

/** How the L1 penalty's power comes down; formulas in p-annealing.ts. ReLU with a unit decoder only. */
export interface PAnnealSetup {
  /** First step with a power below 1. */
  readonly from: number;
  /** Steps of the whole run, over which the rest of the updates is spread. */
  readonly totalSteps: number;
  /** The last power, above 0 and below 1. */
  readonly end: number;
  /** The penalty of a row: Σ f^p, or its p-th root. */
  readonly norm: "sum" | "root";
}

/** How the model is trained. */
export interface TrainingSetup {
  /** Rows of a mini-batch; only a run's last mini-batch may be shorter. */
  readonly batchRows: number;
  readonly learningRate: Schedule;
  /** λ of the sparsity penalty (L1, or JumpReLU's) over steps; peak 0 where the architecture has none. */
  readonly l1Coefficient: Schedule;
  readonly adam: AdamSetup;
  /** What turns gradients into updates. Absent: Adam. */
  readonly optimizer?: OptimizerSetup;
  /** The norm of all gradients together above which they are scaled down to it. Absent: none. */
  readonly clipNorm?: number;
  /**
   * How many times as long rows are as those that `clipNorm` was meant for; the norm that is reported and clipped is that
   * of the gradients on those. Default 1.
   */
  readonly clipUnits?: number;
  /**
   * Decay d, below 1, of an exponential moving average of the parameters, which a finished model has in their place.
   * Absent: none.
   */
  readonly ema?: number;
  /** The auxiliary loss against dead latents, see auxiliary.ts; absent: none. TopK and BatchTopK only. */
  readonly auxK?: AuxKSetup;
  /** Coefficient of the pre-activation loss of dead latents, see pre-act-loss.ts; absent: none. JumpReLU only. */
  readonly preActCoefficient?: number;
  /** Absent: the penalty is of the first power in all steps. */
  readonly pAnneal?: PAnnealSetup;
  /** Absent: k is the model's in all steps. */
  readonly kAnneal?: KAnnealSetup;
  /** Whether rows are also reconstructed by their 4k largest latents, see multi-topk.ts. TopK only. */
  readonly multiTopK?: boolean;
  /** A latent is dead when it has not been active in this many of the latest examples. */
  readonly deadWindow: number;
}

/** Everything a run's stages need to know; equal on every thread. */
export interface Setup {
  readonly model: ModelSetup;
  readonly training: TrainingSetup;
}

/** Dimension of the vectors that a sparse model rebuilds. */
export function outputDimension({ dIn, dOut = dIn }: SparseModelSetup): number {
  return dOut;
}

/** Numbers of a mini-batch's row: a transcoder has what it reads and what it is to rebuild. */
export function rowDimension(model: ModelSetup): number {
  return inputDimension(model) + (model.kind === "sparse" ? (model.dOut ?? 0) : 0);
}

/** Dimension of the activations that a model reads. */
export function inputDimension(model: ModelSetup): number {
  return model.kind === "sparse" ? model.dIn : (model.widths[0] as number);
}

/**
 * The dead window of conventions: min(10,000,000, max(20 mini-batches, 5 % of the run)), in examples.
 */
export function defaultDeadWindow(batchRows: number, totalExamples: number): number {
  return Math.min(10_000_000, Math.max(20 * batchRows, Math.round(0.05 * totalExamples)));
}

function requireWhole(option: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) {
    throw new OptionError(option, `${option} must be a whole number of at least ${least}, got ${value}`);
  }
}

function requireRange(option: string, value: number, right: boolean, range: string): void {
  if (!right) throw new OptionError(option, `${option} must be ${range}, got ${value}`);
}

/** Checks how a model is to be trained. Throws {@link OptionError} naming the option and what would be right. */
export function checkTraining(training: TrainingSetup): void {
  const { batchRows, learningRate, l1Coefficient, adam, deadWindow } = training;
  requireWhole("batchRows", batchRows, 1);
  for (const [option, { peak }] of Object.entries({ learningRate, l1Coefficient })) {
    requireRange(option, peak, Number.isFinite(peak) && peak >= 0, "a number of at least 0");
  }
  for (const option of ["beta1", "beta2"] as const) {
    const value = adam[option];
    requireRange(option, value, value >= 0 && value < 1, "at least 0 and below 1");
  }
  const { epsilon } = adam;
  requireRange("epsilon", epsilon, Number.isFinite(epsilon) && epsilon >= 0, "a number of at least 0");
  checkUpdates(training);
  const { preActCoefficient } = training;
  if (preActCoefficient !== undefined)
    requireRange("preActCoefficient", preActCoefficient, preActCoefficient > 0, "above 0");
  if (training.auxK !== undefined) {
    const { coefficient, k, mode, totalVariance } = training.auxK;
    requireRange("auxK.coefficient", coefficient, coefficient > 0, "above 0");
    requireWhole("auxK.k", k, 1);
    if (mode === "variance") requireRange("auxK.totalVariance", totalVariance, totalVariance > 0, "above 0");
  }
  requireRange("deadWindow", deadWindow, deadWindow > 0, "above 0");
}

function checkUpdates({ optimizer, clipNorm, clipUnits, ema, learningRate }: TrainingSetup): void {
  const { warmupStart = 1, end = 0, peak } = learningRate;
  requireRange("learningRate.warmupStart", warmupStart, warmupStart >= 0 && warmupStart <= 1, "from 0 to 1");
  requireRange("learningRate.end", end, end >= 0 && end <= peak, `from 0 to the peak of ${peak}`);
  if (clipNorm !== undefined) requireRange("clipNorm", clipNorm, clipNorm > 0, "above 0");
  if (clipUnits !== undefined) requireRange("clipUnits", clipUnits, clipUnits > 0, "above 0");
  if (ema !== undefined) requireRange("ema", ema, ema >= 0 && ema < 1, "at least 0 and below 1");
  if (optimizer === undefined) return;
  const { name, momentum, weightDecay = 0 } = optimizer;
  requireRange("momentum", momentum, momentum >= 0 && momentum < 1, "at least 0 and below 1");
  const atLeast0 = Number.isFinite(weightDecay) && weightDecay >= 0;
  requireRange("weightDecay", weightDecay, atLeast0, "a number of at least 0");
  if (name === "signum-schedule-free" && ema !== undefined)
    throw new OptionError("ema", "signum-schedule-free averages the parameters itself: leave ema out");
}

/** Checks a model's shape. Throws {@link OptionError} naming the option and what would be right. */
export function checkModel(model: ModelSetup): void {
  if (model.kind === "deep") {
    if (model.widths.length < 3) {
      throw new OptionError(
        "widths",
        `widths must list at least input, one hidden layer and output, got ${model.widths.join("-")}`,
      );
    }
    for (const width of model.widths) requireWhole("widths", width, 1);
    if (model.widths[0] !== model.widths.at(-1)) {
      throw new OptionError(
        "widths",
        `widths must end as they begin (the output rebuilds the input), got ${model.widths.join("-")}`,
      );
    }
    const mirrored = model.widths.every((width, i) => width === model.widths.at(-1 - i));
    if (model.tied === true && (!mirrored || model.widths.length % 2 === 0)) {
      throw new OptionError(
        "widths",
        `widths of tied layers must be mirrored about a middle one, such as 8-4-2-4-8, got ${model.widths.join("-")}`,
      );
    }
    return;
  }
  requireWhole("dIn", model.dIn, 1);
  requireWhole("latents", model.latents, 1);
  if (!Object.hasOwn(ARCHITECTURES, model.architecture)) {
    const known = Object.keys(ARCHITECTURES).join(" or ");
    throw new OptionError("architecture", `architecture must be ${known}, got ${String(model.architecture)}`);
  }
  const { selection } = ARCHITECTURES[model.architecture];
  if (selection !== "positive") {
    requireWhole("k", model.k, 1);
    if (model.k > model.latents) {
      throw new OptionError(
        "k",
        `k must be at most the number of latents (${model.latents}), got ${model.k}`,
      );
    }
  }
  checkColumns(model);
  if (ARCHITECTURES[model.architecture].prefixes === true) checkPrefixes(model);
  if (hasThresholds(ARCHITECTURES[model.architecture])) checkJump(model.jump);
  if (!ARCHITECTURES[model.architecture].decoders.includes(model.decoder)) {
    throw new OptionError(
      "decoder",
      `decoder of ${model.architecture} must be ${ARCHITECTURES[model.architecture].decoders.join(" or ")}, got ${model.decoder}`,
    );
  }
}

function checkColumns({ columns, dIn, dOut, skip, applyBDecToInput }: SparseModelSetup): void {
  if (skip === true && dOut === undefined)
    throw new OptionError("skip", "skip is for a transcoder, whose dOut is missing");
  if (dOut !== undefined) {
    requireWhole("dOut", dOut, 1);
    if (applyBDecToInput)
      throw new OptionError(
        "applyBDecToInput",
        "applyBDecToInput must be false in a transcoder: b_dec is of its output",
      );
    if (columns !== undefined) throw new OptionError("columns", "columns and dOut contradict each other");
  }
  if (columns === undefined) return;
  for (const width of columns) requireWhole("columns", width, 1);
  if (columns.reduce((sum, width) => sum + width, 0) !== dIn)
    throw new OptionError(
      "columns",
      `columns must sum to dIn (${dIn}), got ${columns.join(" + ") || "none"}`,
    );
}

function checkPrefixes({ prefixes = [], latents }: SparseModelSetup): void {
  const ascending = prefixes.every(
    (width, i) => Number.isInteger(width) && width > (i === 0 ? 0 : (prefixes[i - 1] as number)),
  );
  if (!ascending || prefixes.at(-1) !== latents)
    throw new OptionError(
      "prefixes",
      `prefixes must be ascending whole numbers that end with the number of latents (${latents}), got ${prefixes.join(",") || "none"}`,
    );
}

function checkJump(jump: JumpSetup | undefined): void {
  if (jump === undefined)
    throw new OptionError("jump", "jump must say how a jumprelu model's thresholds are trained");
  const { bandwidth, initialThreshold, tanhScale, targetL0 } = jump;
  const atLeast0 = (value: number): boolean => Number.isFinite(value) && value >= 0;
  requireRange("bandwidth", bandwidth, atLeast0(bandwidth), "a number of at least 0");
  requireRange("initialThreshold", initialThreshold, atLeast0(initialThreshold), "a number of at least 0");
  if (jump.penalty === "tanh") requireRange("tanhScale", tanhScale, tanhScale > 0, "above 0");
  if (jump.penalty === "quadratic") requireRange("targetL0", targetL0, targetL0 > 0, "above 0");
}
