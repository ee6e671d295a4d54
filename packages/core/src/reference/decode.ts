/** The decoder of a sparse autoencoder in plain TypeScript, and what rows' records rebuild for any other term of the loss. */
import type { SparseArena } from "../arena-sparse.ts";
import type { StepContext } from "../kernels.ts";
import type { FloatArray, Round } from "../precision.ts";
import { outputDimension } from "../setup.ts";
import { chainDot, chainLink, laneDot, squaredDistance } from "./chains.ts";
import { decoderTarget } from "./skip.ts";

/** out[at …] += Σ value_i·W_dec,latent_i over records [begin, end): dOut chains, in the records' order. */
export function addDecoderRows(
  arena: SparseArena,
  out: FloatArray,
  at: number,
  latents: Int32Array,
  values: FloatArray,
  begin: number,
  end: number,
): void {
  const dOut = outputDimension(arena.model);
  const weights = arena.W_dec.value;
  for (let record = begin; record < end; record++)
    chainLink(out, at, values[record], weights, latents[record] * dOut, dOut);
}

/** gradients_i = errors[at …]·W_dec,latent_i for records [begin, end): how the errors' squares change with each value. */
export function alongDecoderRows(
  arena: SparseArena,
  errors: FloatArray,
  at: number,
  latents: Int32Array,
  gradients: FloatArray,
  begin: number,
  end: number,
  round: Round,
): void {
  const dOut = outputDimension(arena.model);
  const weights = arena.W_dec.value;
  for (let record = begin; record < end; record++)
    gradients[record] = chainDot(0, errors, at, weights, latents[record] * dOut, dOut, round);
}

/** x̂ = b_dec + Σ f_i·W_dec,i in ascending latent order; then the residual, scaled once, and the row's metrics. */
export function decodeRow(
  arena: SparseArena,
  step: StepContext,
  row: number,
  lanes: FloatArray,
  round: Round,
): void {
  const dOut = outputDimension(arena.model);
  const { residual, recordLatent, recordValue } = arena;
  const y = arena.targets[step.slot];
  const target = decoderTarget(arena, step);
  const at = row * dOut;
  const begin = arena.rowOffset[row];
  residual.set(arena.b_dec.value, at);
  addDecoderRows(arena, residual, at, recordLatent, recordValue, begin, begin + arena.rowCount[row]);
  for (let j = at; j < at + dOut; j++) residual[j] = residual[j] - target[j];
  // Added to what selection left there: 0, or NaN for a row whose pre-activations were not numbers.
  arena.rowSquaredError[row] += laneDot(lanes, residual, at, residual, at, dOut);
  arena.rowSquares[row] = squaredDistance(lanes, y, at, arena.mean, dOut, round);
  if (step.train) {
    for (let j = at; j < at + dOut; j++) residual[j] = step.gradientScale * residual[j];
  }
}

/** ∂(squared error)/∂f of each record: the residual along the latent's decoder row. */
export function latentGradients(arena: SparseArena, row: number, round: Round): void {
  const { residual, recordLatent, recordGradient } = arena;
  const at = row * outputDimension(arena.model);
  const begin = arena.rowOffset[row];
  const end = begin + arena.rowCount[row];
  alongDecoderRows(arena, residual, at, recordLatent, recordGradient, begin, end, round);
}
