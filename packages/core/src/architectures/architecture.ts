/** What distinguishes one sparse architecture from another, as data that every kernel implementation reads. */
export interface SparseArchitecture {
  /** Which pre-activations become active latents: all positive ones, or the k largest that are positive. */
  readonly selection: "positive" | "topk";
  /** Decoder constraints the architecture allows, its default first. */
  readonly decoders: readonly ("unit" | "free")[];
  /** Whether the loss has λ·Σ f (unit decoder) or λ·Σ f·‖W_dec,i‖ (free decoder). */
  readonly l1Penalty: boolean;
  /** Source of the formulas. */
  readonly source: string;
}
