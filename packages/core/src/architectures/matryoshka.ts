/**
 * Matryoshka BatchTopK autoencoder: BatchTopK over the whole dictionary, whose nested prefixes each reconstruct on their
 * own; loss = Σ_g w_g·mean over rows of ‖x − x̂_g‖², where x̂_g uses b_dec and the active latents below the g-th width,
 * and all w_g = 1/G (Bussmann et al. 2025). A latent sees the errors of the prefixes that hold it.
 */
import type { SparseArchitecture } from "./architecture.ts";

/** Widths by default, as shares of the dictionary. */
const SHARES = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1] as const;

/** The default widths of prefixes for a number of latents, ascending, the last all of them. */
export function defaultPrefixes(latents: number): number[] {
  return [...new Set(SHARES.map((share) => Math.max(1, Math.round(share * latents))))];
}

export const matryoshka: SparseArchitecture = {
  selection: "batch",
  decoders: ["unit"],
  prefixes: true,
  source: "Bussmann et al. 2025, Learning Multi-Level Features with Matryoshka Sparse Autoencoders",
};
