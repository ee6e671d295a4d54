/**
 * The stages of a sparse autoencoder in plain TypeScript: this file defines what every other implementation
 * must compute, to the bit. Loops are over rows, then latents, then dimensions; sums are canonical (chains.ts).
 */
import { ARCHITECTURES, type RowRules } from "../architectures/index.ts";
import type { SparseArena } from "../arena-sparse.ts";
import type { FloatArray, Round } from "../precision.ts";
import type { UpdateKernels } from "../optimizers/optimizer.ts";
import type { SparseKernels, StepContext } from "../kernels.ts";
import { LATENT_BLOCK, ROW_BLOCK } from "../block-sizes.ts";
import {
  completeGradients,
  gradientRow,
  completeSkip,
  updateDecoderBias,
  updateSkip,
  updateLatents,
} from "../latent-update.ts";
import { outputDimension, type SparseModelSetup } from "../setup.ts";
import { CONTROL } from "../control.ts";
import { decoderNormOf } from "../decoder-parts.ts";
import { referenceAuxiliary } from "./auxiliary.ts";
import { chainDot, chainLink, chainProduct, LANES, laneDot } from "./chains.ts";
import { decodeGate } from "./gate.ts";
import { partWide } from "../multi-topk.ts";
import { decodePrefixes, prefixGradients, prefixRow } from "./prefixes.ts";
import { gatherPreActivations } from "../pre-act-loss.ts";
import { decoderTarget, gatherSkipped, subtractSkipped } from "./skip.ts";
import { selectLargest, sortByLatent } from "./select.ts";
import { decodeWide } from "./wide.ts";

/** What the encoder sees: x − b_dec where the architecture subtracts it, else the mini-batch itself. */
function encoderInput(arena: SparseArena, step: StepContext): FloatArray {
  return arena.centredInput ?? arena.slots[step.slot];
}

/** The reference stages at one precision. `lanes` is scratch of the calling thread. */
export function referenceSparseKernels(
  round: Round,
  lanes: FloatArray,
  updates: UpdateKernels,
): SparseKernels {
  const made = new Map<SparseModelSetup, RowRules>();
  const rulesOf = ({ model }: SparseArena): RowRules | undefined => {
    const make = ARCHITECTURES[model.architecture].rules;
    if (make === undefined) return undefined;
    const rules = made.get(model) ?? make(model);
    made.set(model, rules);
    return rules;
  };
  return {
    encodeRows(arena, step, first, last) {
      const { dIn, latents } = arena.model;
      if (arena.centredInput !== undefined) centreRows(arena, step, first, last);
      const scratch = step.rank * ROW_BLOCK * latents;
      const input = encoderInput(arena, step);
      chainProduct(
        arena.preActivations,
        scratch,
        arena.b_enc.value,
        input,
        first * dIn,
        last - first,
        arena.W_enc.value,
        latents,
        dIn,
        round,
      );
      for (let row = first; row < last; row++) {
        if (!selectRow(arena, step, row, scratch + (row - first) * latents)) return false;
        rulesOf(arena)?.settle?.(arena, row, round);
      }
      if (step.train && arena.wideValue.length > 0) partWide(arena, step, first, last);
      return true;
    },

    decodeRows(arena, step, first, last) {
      const rules = rulesOf(arena);
      const prefixes = arena.prefixResidual.length > 0;
      if (arena.model.skip === true) subtractSkipped(arena, step, first, last, round);
      for (let row = first; row < last; row++) {
        decodeRow(arena, step, row, lanes, round);
        if (prefixes) decodePrefixes(arena, step, row, lanes, round);
        arena.rowPenalty[row] = rules?.penalty(arena, step, row, round) ?? 0;
        if (!step.train) continue;
        if (prefixes) prefixGradients(arena, row, round);
        else latentGradients(arena, row, round);
        if (arena.wideValue.length > 0) decodeWide(arena, step, row, lanes, round);
        if (arena.recordGate.length > 0) decodeGate(arena, step, row, lanes, round);
        rules?.gradients(arena, step, row, round);
      }
    },

    gatherLatents(arena, step, first, last, firstRow, lastRow, fresh) {
      const { dIn } = arena.model;
      const dOut = outputDimension(arena.model);
      const encoderGradient = arena.W_enc.gradient;
      const decoderGradient = arena.W_dec.gradient;
      const { recordLatent, recordValue, recordGradient } = arena;
      const input = encoderInput(arena, step);
      if (fresh) {
        for (let latent = first; latent < last; latent++) {
          const at = gradientRow(arena, step, latent);
          encoderGradient.fill(0, at * dIn, (at + 1) * dIn);
          decoderGradient.fill(0, at * dOut, (at + 1) * dOut);
        }
        arena.inputGradient.fill(0, first, last);
        arena.activationSum.fill(0, first, last);
        arena.activeCount.fill(0, first, last);
        for (const { sum } of arena.pulls) sum.fill(0, first, last);
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
        const seen = seenBy(arena, latent);
        chainLink(decoderGradient, at * dOut, value, seen.errors, seen.offset + row * dOut, dOut);
        chainLink(encoderGradient, at * dIn, gradient, input, row * dIn, dIn);
        arena.inputGradient[latent] += gradient;
        arena.activationSum[latent] += value;
        if (value > 0) arena.activeCount[latent]++;
        for (const { records: pull, sum } of arena.pulls) sum[latent] += pull[record];
      });
    },

    gatherAuxiliary(arena, step, first, last) {
      const { auxLatent, auxValue, auxGradient, auxResidual, auxOffset, auxCount } = arena;
      const records = { rowOffset: auxOffset, rowCount: auxCount, recordLatent: auxLatent };
      gatherMore(arena, step, first, last, records, auxValue, auxGradient, auxResidual);
    },

    gatherWide(arena, step, first, last) {
      const { wideLatent, wideValue, wideGradient, wideResidual, wideOffset, wideCount } = arena;
      const records = { rowOffset: wideOffset, rowCount: wideCount, recordLatent: wideLatent };
      gatherMore(arena, step, first, last, records, wideValue, wideGradient, wideResidual);
    },

    gatherPreActivations(arena, step, first, last) {
      const input = encoderInput(arena, step);
      const { silentLatents, silentScores, b_enc, W_enc } = arena;
      const { dIn } = arena.model;
      gatherPreActivations(updates, arena, step, first, last, round, input, (row, at, count) => {
        for (let i = at; i < at + count; i++) {
          const latent = silentLatents[i];
          const start = b_enc.value[latent];
          silentScores[i] = chainDot(start, input, row * dIn, W_enc.value, latent * dIn, dIn, round);
        }
      });
    },

    auxiliary: referenceAuxiliary(round, lanes),

    completeGradients: (arena, step, first, last) =>
      completeGradients(updates, arena, step, first, last, round),

    updateLatents: (arena, step, first, last) => updateLatents(updates, arena, step, first, last, round),

    gatherDecoderBias(arena, step, first, last) {
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
    },

    gatherSkip(arena, step, first, last) {
      // As b_dec, in every prefix: what the first latents see.
      const { errors } = seenBy(arena, 0);
      const { wideResidual } = arena;
      gatherSkipped(arena, step, first, last, wideResidual.length > 0 ? [errors, wideResidual] : [errors]);
      completeSkip(updates, arena, first, last);
    },

    updateSkip: (arena, step, first, last) => updateSkip(updates, arena, step, first, last),

    updateDecoderBias: (arena, step, first, last) => updateDecoderBias(updates, arena, step, first, last),
  };
}

/** Brings a decoder row onto its constraint after an update, and refreshes its norm. */
export function finishDecoderRow(arena: SparseArena, latent: number, lanes: FloatArray, round: Round): void {
  const { decoder } = arena.model;
  const dOut = outputDimension(arena.model);
  const weights = arena.W_dec.value;
  const at = latent * dOut;
  const normOf = (values: FloatArray, offset: number, length: number): number =>
    round(Math.sqrt(laneDot(lanes, values, offset, values, offset, length)));
  if (decoder === "free") {
    arena.decoderNorm[latent] = decoderNormOf(arena.model, weights, at, round, normOf);
    return;
  }
  const norm = normOf(weights, at, dOut);
  arena.decoderNorm[latent] = 1;
  if (norm > 0) for (let j = at; j < at + dOut; j++) weights[j] = weights[j] / norm;
}

/** LANES elements of scratch for {@link referenceSparseKernels} and {@link finishDecoderRow}. */
export function laneScratch(precision: "float32" | "float64"): FloatArray {
  return precision === "float32" ? new Float32Array(LANES) : new Float64Array(LANES);
}

function centreRows(arena: SparseArena, step: StepContext, first: number, last: number): void {
  const { dIn } = arena.model;
  const x = arena.slots[step.slot];
  const centred = arena.centredInput as FloatArray;
  for (let row = first; row < last; row++) {
    for (let j = 0; j < dIn; j++) centred[row * dIn + j] = x[row * dIn + j] - arena.b_dec.value[j];
  }
}

/** Appends the records of one row; false when they do not fit. A NaN among the pre-activations poisons the row's error. */
function selectRow(arena: SparseArena, step: StepContext, row: number, z: number): boolean {
  const { latents, architecture } = arena.model;
  const { preActivations, floors } = arena;
  const { selection } = ARCHITECTURES[architecture];
  const topk = selection === "topk";
  // BatchTopK has one floor for all latents.
  const stride = selection === "batch" ? 0 : 1;
  let count = 0;
  let finite = true;
  const selected = step.rank * (arena.selectedValue.length / arena.plan.workers);
  if (topk) {
    const found = selectLargest(
      preActivations,
      z,
      latents,
      step.selected,
      arena.selectedValue,
      arena.selectedLatent,
      selected,
    );
    finite = found >= 0;
    // Values are in descending order: the positive ones come first.
    while (count < found && arena.selectedValue[selected + count] > 0) count++;
    sortByLatent(arena.selectedLatent, arena.selectedValue, selected, count);
  } else {
    for (let i = 0; i < latents; i++) {
      if (preActivations[z + i] > floors[stride * i]) count++;
      else if (Number.isNaN(preActivations[z + i])) finite = false;
    }
  }
  arena.rowSquaredError[row] = finite ? 0 : Number.NaN;

  const offset = Atomics.add(arena.control, CONTROL.recordsUsed, count);
  if (offset + count > arena.plan.recordCapacity) return false;
  arena.rowOffset[row] = offset;
  arena.rowCount[row] = count;
  arena.rowActive[row] = count;
  if (topk) {
    for (let i = 0; i < count; i++) {
      arena.recordLatent[offset + i] = arena.selectedLatent[selected + i];
      arena.recordValue[offset + i] = arena.selectedValue[selected + i];
    }
  } else {
    let at = offset;
    for (let i = 0; i < latents; i++) {
      const value = preActivations[z + i];
      if (value > floors[stride * i]) {
        arena.recordLatent[at] = i;
        arena.recordValue[at++] = value;
      }
    }
  }
  return true;
}

/** x̂ = b_dec + Σ f_i·W_dec,i in ascending latent order; then the residual, scaled once, and the row's metrics. */
function decodeRow(
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
  const end = begin + arena.rowCount[row];
  for (let j = 0; j < dOut; j++) residual[at + j] = arena.b_dec.value[j];
  for (let record = begin; record < end; record++) {
    chainLink(residual, at, recordValue[record], arena.W_dec.value, recordLatent[record] * dOut, dOut);
  }
  for (let j = at; j < at + dOut; j++) residual[j] = residual[j] - target[j];
  // Added to what selection left there: 0, or NaN for a row whose pre-activations were not numbers.
  arena.rowSquaredError[row] += laneDot(lanes, residual, at, residual, at, dOut);
  arena.rowSquares[row] = squaredDistance(y, at, arena.mean, dOut, lanes, round);
  if (step.train) {
    for (let j = at; j < at + dOut; j++) residual[j] = step.gradientScale * residual[j];
  }
}

/** ∂(squared error)/∂f of each record: the residual along the latent's decoder row. */
function latentGradients(arena: SparseArena, row: number, round: Round): void {
  const dOut = outputDimension(arena.model);
  const begin = arena.rowOffset[row];
  const end = begin + arena.rowCount[row];
  for (let record = begin; record < end; record++) {
    const latent = arena.recordLatent[record];
    arena.recordGradient[record] = chainDot(
      0,
      arena.residual,
      row * dOut,
      arena.W_dec.value,
      latent * dOut,
      dOut,
      round,
    );
  }
}

/** Σ (x_j − mean_j)² over a row, in lane order. */
export function squaredDistance(
  x: FloatArray,
  at: number,
  mean: FloatArray,
  length: number,
  lanes: FloatArray,
  round: Round,
): number {
  lanes.fill(0);
  for (let j = 0; j < length; j++) {
    const difference = round(x[at + j] - mean[j]);
    lanes[j % LANES] += difference * difference;
  }
  let sum = 0;
  for (let lane = 0; lane < LANES; lane++) sum += lanes[lane];
  return sum;
}

/** The errors that a latent's gradient comes from, and where those of row 0 begin. */
function seenBy(arena: SparseArena, latent: number): { errors: FloatArray; offset: number } {
  const { prefixes } = arena.model;
  if (prefixes === undefined) return { errors: arena.residual, offset: 0 };
  const prefix = prefixes.findIndex((width) => latent < width);
  return { errors: arena.prefixResidual, offset: prefixRow(arena, prefix, 0) };
}

/** Adds the contributions of further records, all rows', to the weights' gradients of latents [first, last). */
function gatherMore(
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
