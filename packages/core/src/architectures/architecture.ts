/** What distinguishes one sparse architecture from another: data and small functions that every kernel implementation reads. */
import type { SparseArena } from "../arena-sparse.ts";
import type { StepContext } from "../kernels.ts";
import type { Round } from "../precision.ts";
import type { SparseModelSetup } from "../setup.ts";

/**
 * What an architecture does to a row's sparse records beside decoding them. Sums are in record order, each operation
 * rounded once, so that every implementation of the stages has the same bits.
 */
export interface RowRules {
  /** Turns the selected pre-activations into activations, and counts the active ones. Absent: all are active as they are. */
  readonly settle?: (arena: SparseArena, row: number, round: Round) => void;
  /** The row's penalty, before λ. */
  penalty(arena: SparseArena, step: StepContext, row: number, round: Round): number;
  /** Turns `recordGradient` from the squared error's ∂/∂f into the loss's ∂/∂z. */
  gradients(arena: SparseArena, step: StepContext, row: number, round: Round): void;
}

/** Parameters that some architectures have one of per latent, beside b_enc: θ; a gate's r_mag and b_mag. */
export type LatentScalar = "threshold" | "r_mag" | "b_mag";

/** One sparse architecture. */
export interface SparseArchitecture {
  /**
   * Which pre-activations become records: those above the latent's floor (0, or the lower end of a threshold's window),
   * the k largest positive ones of each row, or the k·B largest positive ones of the mini-batch.
   */
  readonly selection: "positive" | "topk" | "batch";
  /** Decoder constraints the architecture allows, its default first. */
  readonly decoders: readonly ("unit" | "free")[];
  /** The penalty that λ weighs, if any. */
  readonly penalty?: "l1" | "l0";
  /** Whether the penalty can be of a power of the activations that falls in training, see p-annealing.ts. */
  readonly annealsP?: boolean;
  /** Further parameters of each latent, with gradients that {@link RowRules.gradients} writes to `recordPull`. */
  readonly scalars?: readonly LatentScalar[];
  /** Whether a gate with a reconstruction and a penalty of its own decides which latents are active. */
  readonly gate?: boolean;
  /** Whether nested prefixes of the dictionary reconstruct, too. */
  readonly prefixes?: boolean;
  /** Made once per thread. Absent: nothing is added to the squared error, and every record is an active latent. */
  readonly rules?: (model: SparseModelSetup) => RowRules;
  /**
   * Brings a latent's own parameters back into their range after they were set or updated, and refreshes what follows
   * from them.
   */
  readonly finish?: (arena: SparseArena, latent: number, round: Round) => void;
  /** Source of the formulas. */
  readonly source: string;
}

/** Whether latents have thresholds, which are trained. */
export function hasThresholds({ scalars }: SparseArchitecture): boolean {
  return scalars?.includes("threshold") ?? false;
}

/**
 * Parameters whose gradients are sums of `recordPull`: a latent's scalars, and a gate's bias, since what flows back to
 * the encoder then also comes from the magnitudes.
 */
export function pulledBy({ scalars = [], gate }: SparseArchitecture): readonly (LatentScalar | "b_enc")[] {
  return gate === true ? ["b_enc", ...scalars] : scalars;
}
