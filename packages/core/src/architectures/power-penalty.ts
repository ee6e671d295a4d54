/** The penalty of a power of the activations, for p-annealing (../p-annealing.ts): values and gradients of one row. */
import type { SparseArena } from "../arena-sparse.ts";
import type { StepContext } from "../kernels.ts";
import type { Round } from "../precision.ts";

/** Values below count as this one in the penalty's gradient, which has no bound at 0. */
const LEAST_VALUE = 1e-6;

/** L_p of a row's activations, before λ: Σ f^p, or its p-th root. */
export function powerPenalty(arena: SparseArena, row: number, p: number, round: Round): number {
  const end = arena.rowOffset[row] + arena.rowCount[row];
  let sum = 0;
  for (let record = arena.rowOffset[row]; record < end; record++)
    sum = round(sum + (p === 1 ? arena.recordValue[record] : arena.recordValue[record] ** p));
  return arena.plan.setup.training.pAnneal?.norm === "root" && p !== 1 ? round(sum ** (1 / p)) : sum;
}

/** Adds λ·∂L_p/∂f to the gradients of a row's records: p·f^(p−1), or for the root L_p^(1−p)·f^(p−1). */
export function addPowerGradients(arena: SparseArena, step: StepContext, row: number, round: Round): void {
  const { p } = step;
  const end = arena.rowOffset[row] + arena.rowCount[row];
  const root = arena.plan.setup.training.pAnneal?.norm === "root";
  // Without active latents there is no record to give it to.
  const common = round(step.penaltyScale * (root ? arena.rowPenalty[row] ** (1 - p) : p));
  for (let record = arena.rowOffset[row]; record < end; record++) {
    const slope = Math.max(arena.recordValue[record], LEAST_VALUE) ** (p - 1);
    arena.recordGradient[record] = round(arena.recordGradient[record] + round(common * slope));
  }
}
