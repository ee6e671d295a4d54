/**
 * ReLU autoencoder with an L1 penalty: f = ReLU(W_enc·x + b_enc), loss = mean over rows of (‖x − x̂‖² + penalty).
 * Free decoder: penalty λ·Σ f_i·‖W_dec,i‖, decoder unconstrained (Anthropic, April 2024 update).
 * Of a crosscoder ‖W_dec,i‖ is Σ_c ‖W_dec,i^c‖ over its columns (Anthropic, October 2024, Sparse Crosscoders).
 * Unit decoder: penalty λ·Σ f_i, decoder rows kept at norm 1 (Towards Monosemanticity, 2023); with p-annealing a power
 * of f_i, see p-annealing.ts.
 */
import type { SparseArena } from "../arena-sparse.ts";
import type { SparseArchitecture } from "./architecture.ts";
import { addPowerGradients, powerPenalty } from "./power-penalty.ts";

/** Norms of a unit decoder are 1 by definition, whatever rounding left of them. */
function normOf(arena: SparseArena, record: number): number {
  return arena.model.decoder === "free" ? arena.decoderNorm[arena.recordLatent[record]] : 1;
}

export const relu: SparseArchitecture = {
  selection: "positive",
  decoders: ["free", "unit"],
  penalty: "l1",
  annealsP: true,
  rules: () => ({
    penalty(arena, step, row, round) {
      if (step.nextP > 0) arena.rowNextPenalty[row] = powerPenalty(arena, row, step.nextP, round);
      if (step.p !== 1) return powerPenalty(arena, row, step.p, round);
      const end = arena.rowOffset[row] + arena.rowCount[row];
      let penalty = 0;
      for (let record = arena.rowOffset[row]; record < end; record++)
        penalty = round(penalty + arena.recordValue[record] * normOf(arena, record));
      return penalty;
    },
    gradients(arena, step, row, round) {
      if (step.penaltyScale === 0) return;
      if (step.p !== 1) return addPowerGradients(arena, step, row, round);
      const end = arena.rowOffset[row] + arena.rowCount[row];
      for (let record = arena.rowOffset[row]; record < end; record++) {
        const pull = step.penaltyScale * normOf(arena, record);
        arena.recordGradient[record] = round(arena.recordGradient[record] + pull);
      }
    },
  }),
  source: "Anthropic, Circuits Updates April 2024 (free decoder); Bricken et al. 2023 (unit decoder)",
};
