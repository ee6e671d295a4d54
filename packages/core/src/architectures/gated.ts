/**
 * Gated autoencoder (Rajamanoharan et al. 2024): which latents are active and how active they are is decided apart, by
 * one product a = W_enc·(x − b_dec) with two biases and a gain per latent:
 *
 *   π = a + b_gate        m = exp(r_mag)·a + b_mag        f = 1[π > 0]·ReLU(m)
 *
 *   loss = mean over rows of (‖x − x̂‖² + λ·Σ ReLU(π_i) + ‖x − x̂_gate‖²),  x̂_gate = ReLU(π)·W_dec + b_dec
 *
 * with W_dec and b_dec held fixed in x̂_gate: its error trains the gate alone, as the step 1[π > 0] has no gradient.
 * b_gate is the arena's `b_enc`, so that π is its pre-activation; m follows from the rounded π. Records are all latents
 * with π > 0, those whose magnitude is 0 included, since they have the gate's gradient. Decoder rows are kept at norm 1:
 * a free decoder that the gate's error cannot hold would shrink under a penalty weighted by its norms (decision 018).
 */
import type { Round } from "../precision.ts";
import type { SparseArchitecture } from "./architecture.ts";

/** ReLU(gain·(π − b_gate) + b_mag), each operation rounded once; gain is exp(r_mag). */
export function magnitude(
  gate: number,
  gateBias: number,
  gain: number,
  magnitudeBias: number,
  round: Round,
): number {
  return Math.max(0, round(round(gain * round(gate - gateBias)) + magnitudeBias));
}

export const gated: SparseArchitecture = {
  selection: "positive",
  decoders: ["unit"],
  penalty: "l1",
  scalars: ["r_mag", "b_mag"],
  gate: true,
  rules: () => ({
    settle(arena, row, round) {
      const { recordLatent, recordValue, recordGate, b_enc, b_mag, magnitudeGain } = arena;
      const kept = recordGate.length > 0;
      const end = arena.rowOffset[row] + arena.rowCount[row];
      let active = 0;
      for (let record = arena.rowOffset[row]; record < end; record++) {
        const latent = recordLatent[record];
        const gate = recordValue[record];
        if (kept) recordGate[record] = gate;
        const value = magnitude(gate, b_enc.value[latent], magnitudeGain[latent], b_mag.value[latent], round);
        recordValue[record] = value;
        if (value > 0) active++;
      }
      arena.rowActive[row] = active;
    },
    penalty(arena, _step, row, round) {
      // A plan that only evaluates keeps no gates, and its λ is 0.
      if (arena.recordGate.length === 0) return 0;
      const end = arena.rowOffset[row] + arena.rowCount[row];
      let penalty = 0;
      for (let record = arena.rowOffset[row]; record < end; record++)
        penalty = round(penalty + arena.recordGate[record]);
      return penalty;
    },
    gradients(arena, step, row, round) {
      const { recordLatent, recordValue, recordGate, recordGradient, recordPull, magnitudeGain } = arena;
      const end = arena.rowOffset[row] + arena.rowCount[row];
      for (let record = arena.rowOffset[row]; record < end; record++) {
        const latent = recordLatent[record];
        const gain = magnitudeGain[latent];
        const ofGate = round(recordPull.b_enc[record] + step.penaltyScale);
        const ofMagnitude = recordValue[record] > 0 ? recordGradient[record] : 0;
        const scaled = round(gain * ofMagnitude);
        recordPull.b_enc[record] = ofGate;
        recordPull.b_mag[record] = ofMagnitude;
        recordPull.r_mag[record] = round(scaled * round(recordGate[record] - arena.b_enc.value[latent]));
        recordGradient[record] = round(ofGate + scaled);
      }
    },
  }),
  finish(arena, latent, round) {
    arena.magnitudeGain[latent] = round(Math.exp(arena.r_mag.value[latent]));
  },
  source: "Rajamanoharan et al. 2024, Improving Dictionary Learning with Gated Sparse Autoencoders",
};
