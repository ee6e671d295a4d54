/**
 * The seam between the training step and the code that does the arithmetic. One function is one stage over a
 * range of work, so that a faster implementation replaces functions and not their callers. Kernels receive
 * views (the arena) and ranges; they never wait, never allocate, never own memory.
 */
import type { DeepArena } from "./arena-deep.ts";
import type { SparseArena } from "./arena-sparse.ts";
import type { AdamStep } from "./optimizers/adam.ts";
import type { UpdateKernels } from "./optimizers/optimizer.ts";
import type { UpdateStep } from "./optimizers/step.ts";

/** What is constant during one step, computed by every thread for itself from the mini-batch's description. */
export interface StepContext {
  /** The calling thread's rank: selects its scratch. */
  rank: number;
  /** Slot of the ring that holds the mini-batch. */
  slot: number;
  /** Rows B of this mini-batch. */
  rows: number;
  /** The step, as the mini-batch's description gives it. */
  step: number;
  /** Whether gradients are wanted. */
  train: boolean;
  /** Whether BatchTopK selects by its moving threshold. */
  byThreshold: boolean;
  /** Whether rows are screened in this step. */
  screened: boolean;
  /** Active latents per row, or per row on average, in this step; 0 where the architecture has no k. */
  k: number;
  /** Records that TopK selects of a row: k, or with multi-TopK more. */
  selected: number;
  /** Power of the activations in the L1 penalty; 1 but for p-annealing. */
  p: number;
  /** The power that follows it, where the penalty is to be known with that, too; else 0. */
  nextP: number;
  /** 2/B, the factor of the squared error's gradient, rounded to the arena's precision. */
  gradientScale: number;
  /** λ/B, the factor of the sparsity penalty's gradient, rounded to the arena's precision. 0 without penalty. */
  penaltyScale: number;
  /** Examples trained on when this step is complete. */
  examplesAfter: number;
  adam: AdamStep;
  update: UpdateStep;
}

/**
 * Which weights of latents are gathered and updated: the decoder's, with what is counted of latents; the encoder's, with their
 * biases; or both.
 */
export type LatentWeights = "decoder" | "encoder" | "both";

/** The stages of a sparse autoencoder. Ranges are half-open. */
export interface SparseKernels {
  /**
   * Encodes rows [first, last) (at most ROW_BLOCK) and selects their active latents into sparse records.
   * Returns false when the records did not fit; the rows must then be encoded again in a smaller chunk.
   */
  encodeRows(arena: SparseArena, step: StepContext, first: number, last: number): boolean;
  /** Decodes rows from their records; residual, row metrics and, when training, ∂loss/∂latent into the records. */
  decodeRows(arena: SparseArena, step: StepContext, first: number, last: number): void;
  /**
   * Adds the contributions of rows [firstRow, lastRow) to the gradients of latents [first, last) (at most
   * LATENT_BLOCK, or `gatheredLatents` where gradients are stored; first is a multiple of LATENT_BLOCK). `fresh`: start from zero. `weights`, as in what follows: both by default.
   */
  gatherLatents(
    arena: SparseArena,
    step: StepContext,
    first: number,
    last: number,
    firstRow: number,
    lastRow: number,
    fresh: boolean,
    weights?: LatentWeights,
  ): void;
  /** Completes the gradients of latents [first, last), which are gathered: penalty, projection, squares. */
  completeGradients(
    arena: SparseArena,
    step: StepContext,
    first: number,
    last: number,
    weights?: LatentWeights,
  ): void;
  /** Optimiser and renormalisation of latents [first, last), whose gradients are complete. */
  updateLatents(
    arena: SparseArena,
    step: StepContext,
    first: number,
    last: number,
    weights?: LatentWeights,
  ): void;
  /** Gradient of b_dec for dimensions [first, last). */
  gatherDecoderBias(arena: SparseArena, step: StepContext, first: number, last: number): void;
  /** Optimiser of b_dec for dimensions [first, last). */
  updateDecoderBias(arena: SparseArena, step: StepContext, first: number, last: number): void;
  /** Adds AuxK's contributions of all rows to the gradients of latents [first, last), after their records'. */
  gatherAuxiliary(arena: SparseArena, step: StepContext, first: number, last: number): void;
  /** Adds multi-TopK's contributions of all rows to the gradients of latents [first, last), after their records'. */
  gatherWide(arena: SparseArena, step: StepContext, first: number, last: number): void;
  /** Adds the pre-activation loss's gradients of dead ones among latents [first, last), after all others'. */
  gatherPreActivations(arena: SparseArena, step: StepContext, first: number, last: number): void;
  /** Gradients of output units [first, last) (at most UNIT_BLOCK, starting at a multiple) of a skip transcoder's W_skip. */
  gatherSkip(arena: SparseArena, step: StepContext, first: number, last: number): void;
  /** Optimiser of output units [first, last) of W_skip. */
  updateSkip(arena: SparseArena, step: StepContext, first: number, last: number): void;
  /** Absent where the plan has no AuxK. */
  readonly auxiliary?: AuxiliaryKernels | undefined;
  /** Absent where rows are never screened. */
  readonly screening?: ScreeningKernels | undefined;
}

/** The stages of AuxK. */
export interface AuxiliaryKernels {
  /** Sums residuals over rows, for dimensions [first, last). */
  sumErrors(arena: SparseArena, step: StepContext, first: number, last: number): void;
  /** Selects dead latents of rows [first, last), rebuilds the errors with them, and their gradients. */
  rebuildErrors(arena: SparseArena, step: StepContext, first: number, last: number): void;
}

/** What screening costs on this machine, as shares of the exact product of all latents. */
export interface ScreeningCosts {
  /** The integer product of all latents. */
  readonly product: number;
  /** A candidate, as a multiple of a latent's share. */
  readonly candidate: number;
}

/** What the screened encoder prepares. */
export interface ScreeningKernels {
  readonly costs: ScreeningCosts;
  /** Quantises latents [first, last). Returns how many of them cannot be screened. */
  quantiseLatents(arena: SparseArena, first: number, last: number): number;
}

/** The stages of a deep autoencoder. */
export interface DeepKernels {
  /** Lays down the weights of output units [first, last) of a layer as what flows back through it takes them, if need be. */
  readonly packUnits?: (arena: DeepArena, layer: number, first: number, last: number) => void;
  /** Forward pass, row metrics and, when training, deltas of all layers for rows [first, last). */
  propagateRows(arena: DeepArena, step: StepContext, first: number, last: number): void;
  /** Gradients of output units [first, last) (at most UNIT_BLOCK, starting at a multiple) of a layer. */
  gatherUnits(arena: DeepArena, step: StepContext, layer: number, first: number, last: number): void;
  /** Optimiser of output units [first, last) of a layer. */
  updateUnits(arena: DeepArena, step: StepContext, layer: number, first: number, last: number): void;
}

/** An implementation of all stages. */
export interface Kernels {
  /** Name of the variant as in `config.json`: runs of different variants need not agree to the bit. */
  readonly variant: string;
  readonly sparse: SparseKernels;
  readonly deep: DeepKernels;
  /** The arithmetic of updates. */
  readonly updates: UpdateKernels;
}
