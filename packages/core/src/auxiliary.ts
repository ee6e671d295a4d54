/**
 * AuxK against dead latents (Gao et al. 2024): what the reconstruction left, e = x − x̂, is rebuilt by the k_aux dead
 * latents of largest pre-activation in each row, ê = Σ z·W_dec without b_dec. Its squared error joins the loss,
 *
 *   variance:    α·V·mean‖e − ê‖² / mean‖e − ē‖²    with V the total variance of the rows, ē the mini-batch's mean of e
 *   same-units:  α·min(dead/k_aux, 1)·mean‖e − ê‖²
 *
 * with e and the denominator held fixed, so that gradients reach the dead latents alone. Pre-activations are taken as
 * they are, negative ones too. A term that is not finite counts as 0.
 */
import type { SparseArena } from "./arena-sparse.ts";
import { AUXILIARY } from "./fields.ts";
import { CONTROL } from "./control.ts";
import type { StepContext } from "./kernels.ts";
import type { AuxKSetup } from "./setup.ts";

/** k_aux by default: the power of two nearest to half the dimension. */
export function defaultAuxK(dIn: number): number {
  return Math.max(1, 2 ** Math.round(Math.log2(dIn / 2)));
}

/** Whether the step has an auxiliary loss: dead latents are listed, in ascending order. Runs on one thread. */
export function listDead(arena: SparseArena, context: StepContext): boolean {
  const { control, deadLatents, lastFired, plan } = arena;
  const before = context.examplesAfter - context.rows;
  const { deadWindow } = plan.setup.training;
  let dead = 0;
  for (let latent = 0; latent < lastFired.length; latent++)
    if (before - lastFired[latent] >= deadWindow) deadLatents[dead++] = latent;
  control[CONTROL.deadLatents] = dead;
  return dead > 0;
}

/**
 * Decides the term's factor, when the errors' sums over rows are there. Returns whether there is a term. Runs on one
 * thread.
 */
export function scaleAuxiliary(arena: SparseArena, context: StepContext, setup: AuxKSetup): boolean {
  const { control, auxiliary, errorSum, rowSquaredError } = arena;
  let factor = setup.coefficient;
  if (setup.mode === "same-units") {
    factor *= Math.min(control[CONTROL.deadLatents] / setup.k, 1);
  } else {
    let squares = 0;
    for (let row = 0; row < context.rows; row++) squares += rowSquaredError[row];
    // Residuals are (2/B)·(x̂ − x): half of their sum is −ē.
    let ofMean = 0;
    for (let j = 0; j < errorSum.length; j++) ofMean += (errorSum[j] / 2) ** 2;
    factor *= setup.totalVariance / (squares / context.rows - ofMean);
  }
  const usable = Number.isFinite(factor) && factor > 0;
  auxiliary[AUXILIARY.factor] = usable ? factor : 0;
  return usable;
}

/** Adds the rows' auxiliary errors to the loss's sum: factor·Σ‖e − ê‖². Runs on one thread. */
export function auxiliaryLoss(arena: SparseArena, rows: number): number {
  const factor = arena.auxiliary[AUXILIARY.factor];
  if (!(factor > 0)) return 0;
  let sum = 0;
  for (let row = 0; row < rows; row++) sum += arena.rowAuxiliary[row];
  return factor * sum;
}
