/**
 * BatchTopK autoencoder: the k·B largest positive pre-activations of the mini-batch are active, ties by (value, row,
 * latent); decoder rows kept at norm 1; loss = mean over rows of ‖x − x̂‖² (Bussmann et al. 2024). A finished model
 * has no mini-batch: it is used with one threshold for all latents, f_i = z_i where z_i > θ.
 */
import type { SparseArchitecture } from "./architecture.ts";

/** Weight of a step's threshold in the moving one: SAELens's `topk_threshold_lr`. */
export const THRESHOLD_RATE = 0.01;

export const batchTopK: SparseArchitecture = {
  selection: "batch",
  decoders: ["unit"],
  source: "Bussmann et al. 2024, BatchTopK Sparse Autoencoders",
};
