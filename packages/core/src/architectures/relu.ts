/**
 * ReLU autoencoder with an L1 penalty: f = ReLU(W_enc·x + b_enc), loss = mean over rows of (‖x − x̂‖² + penalty).
 * Free decoder: penalty λ·Σ f_i·‖W_dec,i‖, decoder unconstrained (Anthropic, April 2024 update).
 * Unit decoder: penalty λ·Σ f_i, decoder rows kept at norm 1 (Towards Monosemanticity, 2023).
 */
import type { SparseArchitecture } from "./architecture.ts";

export const relu: SparseArchitecture = {
  selection: "positive",
  decoders: ["free", "unit"],
  l1Penalty: true,
  source: "Anthropic, Circuits Updates April 2024 (free decoder); Bricken et al. 2023 (unit decoder)",
};
