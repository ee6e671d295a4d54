/** Gradients of a sparse autoencoder's latents and of b_dec in plain TypeScript, gathered from the records of all rows. */
import type { SparseArena } from "../arena-sparse.ts";
import { LATENT_BLOCK } from "../block-sizes.ts";
import type { LatentWeights, StepContext } from "../kernels.ts";
import { gradientRow } from "../latent-update.ts";
import type { FloatArray } from "../precision.ts";
import { outputDimension } from "../setup.ts";
import { chainLink } from "./chains.ts";
import { encoderInput } from "./encode.ts";
import { prefixRow } from "./prefixes.ts";

/** Adds rows' contributions to the gradients of latents, and to what is counted of them: SparseKernels.gatherLatents. */
export function gatherLatents(
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  firstRow: number,
  lastRow: number,
  fresh: boolean,
  weights: LatentWeights = "both",
): void {
  const [ofDecoder, ofEncoder] = [weights !== "encoder", weights !== "decoder"];
  const { dIn } = arena.model;
  const dOut = outputDimension(arena.model);
  const encoderGradient = arena.W_enc.gradient;
  const decoderGradient = arena.W_dec.gradient;
  const { recordLatent, recordValue, recordGradient } = arena;
  const input = encoderInput(arena, step);
  if (fresh) {
    for (let latent = first; latent < last; latent++) {
      const at = gradientRow(arena, step, latent);
      if (ofEncoder) encoderGradient.fill(0, at * dIn, (at + 1) * dIn);
      if (ofDecoder) decoderGradient.fill(0, at * dOut, (at + 1) * dOut);
    }
    if (ofEncoder) arena.inputGradient.fill(0, first, last);
    if (ofEncoder) for (const { sum } of arena.pulls) sum.fill(0, first, last);
    if (ofDecoder) arena.activationSum.fill(0, first, last);
    if (ofDecoder) arena.activeCount.fill(0, first, last);
  }
  const records = {
    rowOffset: arena.rowOffset,
    rowCount: arena.rowCount,
    recordLatent,
  };
  forRecords(records, first, last, firstRow, lastRow, (record, row, latent) => {
    const at = gradientRow(arena, step, latent);
    const value = recordValue[record];
    const gradient = recordGradient[record];
    if (ofDecoder) {
      const seen = seenBy(arena, latent);
      chainLink(decoderGradient, at * dOut, value, seen.errors, seen.offset + row * dOut, dOut);
      arena.activationSum[latent] += value;
      if (value > 0) arena.activeCount[latent]++;
    }
    if (ofEncoder) {
      chainLink(encoderGradient, at * dIn, gradient, input, row * dIn, dIn);
      arena.inputGradient[latent] += gradient;
      for (const { records: pull, sum } of arena.pulls) sum[latent] += pull[record];
    }
  });
}

/** Adds the contributions of AuxK's or multi-TopK's records, all rows', to the weights' gradients of latents [first, last). */
export function gatherMore(
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  records: Records,
  values: FloatArray,
  gradients: FloatArray,
  residual: FloatArray,
): void {
  const { dIn } = arena.model;
  const dOut = outputDimension(arena.model);
  const input = encoderInput(arena, step);
  forRecords(records, first, last, 0, step.rows, (record, row, latent) => {
    const at = gradientRow(arena, step, latent);
    const gradient = gradients[record];
    chainLink(arena.W_dec.gradient, at * dOut, values[record], residual, row * dOut, dOut);
    chainLink(arena.W_enc.gradient, at * dIn, gradient, input, row * dIn, dIn);
    arena.inputGradient[latent] += gradient;
  });
}

/** Gradient of b_dec for dimensions [first, last). */
export function gatherDecoderBias(arena: SparseArena, step: StepContext, first: number, last: number): void {
  const { latents, applyBDecToInput } = arena.model;
  const dOut = outputDimension(arena.model);
  const { gradient } = arena.b_dec;
  gradient.fill(0, first, last);
  for (let row = 0; row < step.rows; row++) {
    // b_dec is in every prefix, as the first latents are.
    for (let j = first; j < last; j++) gradient[j] += seenBy(arena, 0).errors[row * dOut + j];
  }
  if (arena.wideResidual.length > 0)
    for (let row = 0; row < step.rows; row++)
      for (let j = first; j < last; j++) gradient[j] += arena.wideResidual[row * dOut + j];
  if (applyBDecToInput) {
    // The encoder sees x − b_dec: b_dec also receives what flows back into it, summed per block of latents.
    const blocks = Math.ceil(latents / LATENT_BLOCK);
    for (let block = 0; block < blocks; block++) {
      for (let j = first; j < last; j++) gradient[j] -= arena.bDecPartials[block * dOut + j];
    }
  }
}

/** The errors that a latent's gradient comes from, and where those of row 0 begin. */
export function seenBy(arena: SparseArena, latent: number): { errors: FloatArray; offset: number } {
  const { prefixes } = arena.model;
  if (prefixes === undefined) return { errors: arena.residual, offset: 0 };
  const prefix = prefixes.findIndex((width) => latent < width);
  return { errors: arena.prefixResidual, offset: prefixRow(arena, prefix, 0) };
}

/** Where records lie; those of a row are in ascending latent order. */
interface Records {
  readonly rowOffset: Int32Array;
  readonly rowCount: Int32Array;
  readonly recordLatent: Int32Array;
}

/** Visits the records of latents [first, last) in rows [firstRow, lastRow), row by row. */
function forRecords(
  { rowOffset, rowCount, recordLatent }: Records,
  first: number,
  last: number,
  firstRow: number,
  lastRow: number,
  visit: (record: number, row: number, latent: number) => void,
): void {
  for (let row = firstRow; row < lastRow; row++) {
    const end = rowOffset[row] + rowCount[row];
    // The first one by bisection.
    let low = rowOffset[row];
    let high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (recordLatent[middle] < first) low = middle + 1;
      else high = middle;
    }
    for (let record = low; record < end && recordLatent[record] < last; record++)
      visit(record, row, recordLatent[record]);
  }
}
