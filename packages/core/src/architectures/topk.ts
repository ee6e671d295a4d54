/**
 * TopK autoencoder: f = ReLU of the k largest pre-activations of each row, ties to the lower latent; decoder
 * rows kept at norm 1; loss = mean over rows of ‖x − x̂‖² (Gao et al. 2024).
 */
import type { SparseArchitecture } from "./architecture.ts";

export const topk: SparseArchitecture = {
  selection: "topk",
  decoders: ["unit"],
  source: "Gao et al. 2024, Scaling and evaluating sparse autoencoders",
};
