/**
 * What skips the latents of a skip transcoder, in plain TypeScript: x̂ has W_skip·x beside b_dec and the decoder. Rows are
 * decoded against y − W_skip·x, and ∂/∂W_skip = Σ_rows r ⊗ x for what b_dec sees of the errors, r.
 */
import type { SparseArena } from "../arena-sparse.ts";
import type { FloatArray, Round } from "../precision.ts";
import type { StepContext } from "../kernels.ts";
import { outputDimension } from "../setup.ts";
import { chainLink, chainProduct } from "./chains.ts";

/** What the decoder is to rebuild [B, dOut]: the target, without what skips the latents. */
export function decoderTarget(arena: SparseArena, step: StepContext): FloatArray {
  return arena.model.skip === true ? arena.unskipped : arena.targets[step.slot];
}

/** Writes y − W_skip·x of rows [first, last). */
export function subtractSkipped(
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  round: Round,
): void {
  const { dIn } = arena.model;
  const dOut = outputDimension(arena.model);
  const { unskipped, skipZeros, W_skip } = arena;
  const at = first * dOut;
  const x = arena.slots[step.slot];
  chainProduct(unskipped, at, skipZeros, x, first * dIn, last - first, W_skip.value, dOut, dIn, round);
  const y = arena.targets[step.slot];
  for (let i = at; i < last * dOut; i++) unskipped[i] = y[i] - unskipped[i];
}

/** Gradients of output units [first, last) of W_skip, from the errors that begin at `errors`, one set after the other. */
export function gatherSkipped(
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  errors: readonly FloatArray[],
): void {
  const { dIn } = arena.model;
  const dOut = outputDimension(arena.model);
  const { gradient } = arena.W_skip;
  gradient.fill(0, first * dIn, last * dIn);
  for (const of of errors)
    for (let row = 0; row < step.rows; row++)
      for (let unit = first; unit < last; unit++)
        chainLink(gradient, unit * dIn, of[row * dOut + unit], arena.slots[step.slot], row * dIn, dIn);
}
