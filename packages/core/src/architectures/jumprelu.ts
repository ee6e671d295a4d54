/**
 * JumpReLU autoencoder: f_i = z_i where z_i > θ_i, else 0, with a threshold θ_i ≥ 0 per latent that is trained itself
 * (Rajamanoharan et al. 2024). Neither f nor L0 has a useful derivative by θ: with the window K = 1 for
 * |z − θ| < ε/2, else 0, straight-through gradients take its place,
 *
 *   ∂f/∂z = 1[z > θ]        ∂f/∂θ = −(θ/ε)·K        ∂L0/∂z = 0        ∂L0/∂θ = −(1/ε)·K
 *
 * and with `gradientToInput` the negative of each ∂/∂θ is also added to ∂/∂z (Anthropic, January 2025).
 * Records hold all latents with z above the window's lower end: those that are active, and those that move θ alone.
 */
import type { SparseArena } from "../arena-sparse.ts";
import type { JumpSetup, SparseModelSetup } from "../setup.ts";
import type { Round } from "../precision.ts";
import type { SparseArchitecture } from "./architecture.ts";

/** The sparsity penalty of one row, before λ, as a function of its active latents. */
interface JumpPenalty {
  /** From L0 alone. */
  readonly ofCount: (active: number, jump: JumpSetup) => number;
  /** ∂/∂L0 of it. */
  readonly slope: (active: number, jump: JumpSetup) => number;
  /** A further part for each active latent, and its ∂/∂f. */
  readonly ofValue?: (value: number, jump: JumpSetup) => number;
  readonly valueSlope?: (value: number, jump: JumpSetup) => number;
}

/** Penalties by name: L0; tanh(c·f) summed; (2/target)·(L0 − target)², as in Gemma Scope 2 and SAELens. */
const JUMP_PENALTIES: Readonly<Record<JumpSetup["penalty"], JumpPenalty>> = {
  step: { ofCount: (active) => active, slope: () => 1 },
  tanh: {
    ofCount: () => 0,
    slope: () => 0,
    ofValue: (value, { tanhScale }) => Math.tanh(tanhScale * value),
    valueSlope: (value, { tanhScale }) => tanhScale * (1 - Math.tanh(tanhScale * value) ** 2),
  },
  quadratic: {
    ofCount: (active, { targetL0 }) => (2 / targetL0) * (active - targetL0) ** 2,
    slope: (active, { targetL0 }) => (4 / targetL0) * (active - targetL0),
  },
};

/** The lower end of a latent's window: what a pre-activation must exceed to be in the records. */
function windowFloor(threshold: number, jump: JumpSetup, round: Round): number {
  return round(threshold - jump.bandwidth / 2);
}

function jumpOf(model: SparseModelSetup): JumpSetup {
  if (model.jump === undefined) throw new Error("internal: a JumpReLU model without its jump");
  return model.jump;
}

export const jumpReLU: SparseArchitecture = {
  selection: "positive",
  decoders: ["unit"],
  penalty: "l0",
  scalars: ["threshold"],
  rules(model) {
    const jump = jumpOf(model);
    const { ofCount, slope, ofValue, valueSlope } = JUMP_PENALTIES[jump.penalty];
    return {
      settle(arena, row) {
        const { rowOffset, rowCount, recordLatent, recordValue, threshold } = arena;
        const end = rowOffset[row] + rowCount[row];
        let active = 0;
        for (let record = rowOffset[row]; record < end; record++) {
          if (recordValue[record] > threshold.value[recordLatent[record]]) active++;
          else recordValue[record] = 0;
        }
        arena.rowActive[row] = active;
      },
      penalty(arena, _step, row, round) {
        let penalty = round(ofCount(arena.rowActive[row], jump));
        if (ofValue === undefined) return penalty;
        const end = arena.rowOffset[row] + arena.rowCount[row];
        for (let record = arena.rowOffset[row]; record < end; record++)
          penalty = round(penalty + ofValue(arena.recordValue[record], jump));
        return penalty;
      },
      gradients(arena, step, row, round) {
        const { recordLatent, recordValue, recordGradient, recordPull, threshold } = arena;
        const end = arena.rowOffset[row] + arena.rowCount[row];
        const inverse = round(1 / jump.bandwidth);
        const countPull = round(step.penaltyScale * slope(arena.rowActive[row], jump));
        for (let record = arena.rowOffset[row]; record < end; record++) {
          const theta = threshold.value[recordLatent[record]];
          const value = recordValue[record];
          let gradient = recordGradient[record];
          if (valueSlope !== undefined)
            gradient = round(gradient + round(step.penaltyScale * valueSlope(value, jump)));
          // Inactive records are below θ, so inside the window; their value 0 is below its upper end, too.
          const inside = value < round(theta + jump.bandwidth / 2);
          const pull = inside ? round(round(round(theta * gradient) + countPull) * inverse) : 0;
          recordPull.threshold[record] = -pull;
          const direct = value > 0 ? gradient : 0;
          recordGradient[record] = jump.gradientToInput ? round(direct + pull) : direct;
        }
      },
    };
  },
  finish: finishThreshold,
  source:
    "Rajamanoharan et al. 2024, Jumping Ahead; Anthropic, January 2025 update (tanh, gradient to the input)",
};

/** Refreshes a latent's floor from its threshold, which is brought back to 0 where it fell below. */
function finishThreshold(arena: SparseArena, latent: number, round: Round): void {
  const { value } = arena.threshold;
  // A projection, not a clamp inside the loss: at 0 the threshold still has a gradient.
  if (value[latent] < 0) value[latent] = 0;
  arena.floors[latent] = windowFloor(value[latent], jumpOf(arena.model), round);
}
