/**
 * What a run trains and how: the resolved description that the plan, the stages and the kernels read.
 * Plain data, so that it can be sent to worker threads and written into `config.json`.
 */
import type { SparseArchitectureName } from "./architectures/index.ts";
import { constantSchedule, type Schedule } from "./schedule.ts";

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

/** The model of a run, told by `kind`. */
export type ModelSetup = SparseModelSetup | DeepModelSetup;

/** Adam's constants, as in torch.optim.Adam. */
export interface AdamSetup {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** torch.optim.Adam's defaults. */
export const DEFAULT_ADAM: AdamSetup = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

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

/** The training of a model that is only evaluated, on mini-batches of so many rows: none. */
export function evaluationTraining(batchRows: number): TrainingSetup {
  const none = constantSchedule(0, 1);
  return { batchRows, learningRate: none, l1Coefficient: none, adam: DEFAULT_ADAM, deadWindow: 1 };
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
