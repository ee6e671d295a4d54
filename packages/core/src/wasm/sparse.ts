/** The stages of a sparse autoencoder on the WebAssembly kernels: pointers and loops; the arithmetic is in assembly/. */
import { ARCHITECTURES } from "../architectures/index.ts";
import type { SparseArena } from "../arena-sparse.ts";
import { CONTROL } from "../control.ts";
import type { SparseKernels, StepContext } from "../kernels.ts";
import { LATENT_BLOCK } from "../block-sizes.ts";
import {
  completeGradients,
  gradientRow,
  completeSkip,
  updateDecoderBias,
  updateSkip,
  updateLatents,
} from "../latent-update.ts";
import { partWide } from "../multi-topk.ts";
import type { UpdateKernels } from "../optimizers/optimizer.ts";
import { hasAuxiliary, hasSortedRecords, hasWide, latentSums } from "../plan-sparse.ts";
import { type Plan, regionOf } from "../plan.ts";
import { outputDimension, rowDimension, type SparseModelSetup } from "../setup.ts";
import { wasmAuxiliary } from "./auxiliary.ts";
import type { Tiling } from "./instance.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { blockDecoder } from "./block-decoder.ts";
import { exactEncoder } from "./encode.ts";
import { wasmGate } from "./gate.ts";
import { gatherPreActivations } from "../pre-act-loss.ts";
import { inputGradientPointer, parameterPointers, pointersOf } from "./pointers.ts";
import { wasmPrefixes } from "./prefixes.ts";
import { wasmSkip } from "./skip.ts";
import { screenedEncoder } from "./screen.ts";
import { sortedRecords } from "./sorted-records.ts";
import { wasmWide } from "./wide.ts";

/**
 * Share of active latents from which on gradients are gathered in tiles of columns, where they are stored. Measured at L, see
 * decision 007; no bit depends on it.
 */
const GATHERED_BY_COLUMNS_SHARE = 0.015;

/** The stages over the memory laid out by `plan`. */
export function wasmSparseKernels(
  plan: Plan,
  model: SparseModelSetup,
  wasm: KernelExports,
  tiling: Tiling,
  updates: UpdateKernels,
): SparseKernels {
  const { wide } = tiling;
  const { dIn, latents, applyBDecToInput, architecture } = model;
  const { selection, gate = false, rules: makeRules } = ARCHITECTURES[architecture];
  const rules = makeRules?.(model);
  const settle = rules?.settle;
  const dOut = outputDimension(model);
  const outBytes = 4 * dOut;
  const at = pointersOf(plan);
  const W_enc = parameterPointers(plan, "W_enc");
  const W_dec = parameterPointers(plan, "W_dec");
  const b_dec = parameterPointers(plan, "b_dec");
  const [slots, mean, residual] = [at("slots"), at("mean"), at("residual")];
  const [recordLatent, recordValue, recordGradient] = [
    at("recordLatent"),
    at("recordValue"),
    at("recordGradient"),
  ];
  const [rowOffset, rowCount] = [at("rowOffset"), at("rowCount")];
  const centred = applyBDecToInput ? at("centredInput") : 0;
  const training = plan.purpose === "train";
  const partials = training ? at("b_dec.partials") : 0;
  const pulls = latentSums(plan).map(([records, sum]) => ({ records: at(records), sum: at(sum) }));
  const inputGradient = inputGradientPointer(plan);
  const [activationSum, activeCount] = training ? [at("activationSum"), at("activeCount")] : [0, 0];

  const { batchRows } = plan.setup.training;
  const xOf = (step: StepContext): number => slots + step.slot * batchRows * 4 * rowDimension(model);
  const yOf = (step: StepContext): number => xOf(step) + (model.dOut === undefined ? 0 : batchRows * 4 * dIn);
  const inputOf = (step: StepContext): number => (applyBDecToInput ? centred : xOf(step));
  const waitingBytes = training ? (4 * regionOf(plan, "waitingRecords").length) / plan.workers : 0;
  const exact = exactEncoder(plan, model, wasm, wide);
  const sorted = training && hasSortedRecords(plan.setup) ? sortedRecords(plan, model, wasm) : undefined;
  const screening =
    plan.encoder === "screened" ? screenedEncoder(plan, model, wasm, exact, tiling) : undefined;
  const skip = model.skip === true ? wasmSkip(plan, model, wasm, wide) : undefined;
  const prefixes = model.prefixes === undefined ? undefined : wasmPrefixes(plan, model, wasm);
  const decodeGate = gate && training ? wasmGate(plan, model, wasm) : undefined;
  const wider = hasWide(plan.setup, plan.purpose) ? wasmWide(plan, model, wasm) : undefined;
  const manyRecords = selection === "positive";
  const decoder = manyRecords ? blockDecoder(plan, model, wasm, wide) : undefined;
  const recordColumns = manyRecords ? at("recordColumns") : 0;
  const recordColumnsBytes = manyRecords ? (4 * regionOf(plan, "recordColumns").length) / plan.workers : 0;
  const waitingOf = (step: StepContext): number =>
    training ? at("waitingRecords") + step.rank * waitingBytes : 0;

  /** Adds all rows' contributions of AuxK's or multi-TopK's records to the weights' gradients. */
  const gatherMore = (
    of: "aux" | "wide",
    arena: SparseArena,
    step: StepContext,
    first: number,
    last: number,
  ): void => {
    const row = gradientRow(arena, step, first);
    wasm.gather(
      first,
      last,
      0,
      step.rows,
      dIn,
      dOut,
      at(`${of}Offset`),
      at(`${of}Count`),
      at(`${of}Latent`),
      at(`${of}Value`),
      at(`${of}Gradient`),
      at(`${of}Residual`),
      inputOf(step),
      W_enc.gradient + row * 4 * dIn,
      W_dec.gradient + row * outBytes,
      inputGradient,
      at(`${of}Sum`),
      at(`${of}Active`),
      waitingOf(step),
    );
  };

  return {
    screening,
    encodeRows(arena, step, first, last) {
      const encoder = step.screened && screening !== undefined ? screening : exact;
      if (!encoder.encodeRows(arena, step, first, last)) return false;
      if (wider !== undefined && step.train) partWide(arena, step, first, last);
      if (settle !== undefined) for (let row = first; row < last; row++) settle(arena, row, Math.fround);
      return true;
    },

    decodeRows(arena, step, first, last) {
      const y = yOf(step);
      skip?.subtract(step, first, last, xOf(step), y);
      const decoded = skip?.unskipped ?? y;
      const together = decoder?.paysForRows(arena, first, last) === true ? decoder : undefined;
      together?.decodeRows(arena, step, first, last);
      for (let row = first; row < last; row++) {
        const records = 4 * arena.rowOffset[row];
        const at = residual + row * outBytes;
        const target = decoded + row * outBytes;
        const square = together
          ? wasm.subtractRow(at, target, dOut)
          : wasm.decodeRow(
              at,
              target,
              b_dec.value,
              W_dec.value,
              dOut,
              recordLatent + records,
              recordValue + records,
              arena.rowCount[row],
            );
        // Added to what selection left there: 0, or NaN for a row whose pre-activations were not numbers.
        arena.rowSquaredError[row] += square;
        arena.rowSquares[row] = wasm.rowSquares(y + row * outBytes, mean, dOut);
        arena.rowPenalty[row] = rules?.penalty(arena, step, row, Math.fround) ?? 0;
        prefixes?.decodeRow(arena, step, row, target);
        if (step.train) wider?.decodeRow(arena, step, row, target);
        if (!step.train) continue;
        wasm.scaleRow(at, step.gradientScale, dOut);
        // At once, while the decoder's rows are still in the cache.
        if (prefixes !== undefined) prefixes.gradients(arena, row);
        else if (together === undefined) {
          const count = arena.rowCount[row];
          wasm.chains(recordGradient + records, recordLatent + records, count, at, 0, W_dec.value, dOut);
        }
      }
      if (!step.train) return;
      together?.latentGradients(arena, step, first, last);
      decodeGate?.(arena, step, first, last, decoded + first * outBytes, together);
      if (rules !== undefined)
        for (let row = first; row < last; row++) rules.gradients(arena, step, row, Math.fround);
      sorted?.sort(arena, first, last);
    },

    gatherLatents(arena, step, first, last, firstRow, lastRow, fresh, weights = "both") {
      const [ofDecoder, ofEncoder] = [weights !== "encoder", weights !== "decoder"];
      const row = gradientRow(arena, step, first);
      const share = arena.control[CONTROL.active] / (latents * lastRow);
      // Neither this way nor `wasm.gather` has one kind of weights alone: only sorted records are gathered so (latent-passes.ts).
      const byColumns = manyRecords && plan.storeGradients && share > GATHERED_BY_COLUMNS_SHARE;
      if (fresh && ofDecoder) {
        if (!byColumns) wasm.clear(W_dec.gradient + row * outBytes, (last - first) * outBytes);
        arena.activationSum.fill(0, first, last);
        arena.activeCount.fill(0, first, last);
      }
      if (fresh && ofEncoder) {
        if (!byColumns) wasm.clear(W_enc.gradient + row * 4 * dIn, (last - first) * 4 * dIn);
        arena.inputGradient.fill(0, first, last);
        for (const { sum } of arena.pulls) sum.fill(0, first, last);
      }
      if (ofEncoder) {
        for (const { records, sum } of pulls)
          wasm.gatherPulls(first, last, firstRow, lastRow, rowOffset, rowCount, recordLatent, records, sum);
      }
      const gatherPart = (from: number, to: number, seen: number): void => {
        const part = row + from - first;
        const gradients = [
          seen,
          inputOf(step),
          ofEncoder ? W_enc.gradient + part * 4 * dIn : 0,
          ofDecoder ? W_dec.gradient + part * outBytes : 0,
          inputGradient,
          activationSum,
          activeCount,
        ] as const;
        if (sorted !== undefined) {
          sorted.gather(from, to, firstRow, lastRow, [...gradients, waitingOf(step)]);
          return;
        }
        const range = [from, to, firstRow, lastRow, dIn, dOut] as const;
        const records = [rowOffset, rowCount, recordLatent, recordValue, recordGradient] as const;
        if (byColumns) {
          const scratch = recordColumns + step.rank * recordColumnsBytes;
          wasm.gatherByColumns(fresh ? 1 : 0, ...range, ...records, ...gradients, scratch);
        } else wasm.gather(...range, ...records, ...gradients, waitingOf(step));
      };
      if (prefixes !== undefined) prefixes.forParts(first, last, gatherPart);
      else if (byColumns) gatherPart(first, last, residual);
      else {
        for (let from = first; from < last; from += LATENT_BLOCK)
          gatherPart(from, Math.min(from + LATENT_BLOCK, last), residual);
      }
    },

    gatherAuxiliary: (arena, step, first, last) => gatherMore("aux", arena, step, first, last),

    gatherWide: (arena, step, first, last) => gatherMore("wide", arena, step, first, last),

    gatherPreActivations(arena, step, first, last) {
      const input = arena.centredInput ?? arena.slots[step.slot];
      const [latentsAt, scoresAt, biases] = [at("silentLatents"), at("silentScores"), at("b_enc")];
      gatherPreActivations(updates, arena, step, first, last, Math.fround, input, (row, from, count) => {
        const ofRow = inputOf(step) + row * 4 * dIn;
        wasm.chains(scoresAt + 4 * from, latentsAt + 4 * from, count, ofRow, biases, W_enc.value, dIn);
      });
    },

    auxiliary: hasAuxiliary(plan.setup, plan.purpose) ? wasmAuxiliary(plan, model, wasm, inputOf) : undefined,

    completeGradients: (arena, step, first, last, weights) =>
      completeGradients(updates, arena, step, first, last, Math.fround, weights),

    updateLatents(arena, step, first, last, weights) {
      updateLatents(updates, arena, step, first, last, Math.fround, weights);
      if (weights !== "decoder" && step.screened && screening !== undefined) {
        Atomics.add(arena.control, CONTROL.unscreened, screening.quantiseLatents(arena, first, last));
      }
    },

    gatherDecoderBias(_arena, step, first, last) {
      wasm.sumRows(b_dec.gradient, prefixes?.outermost ?? residual, step.rows, dOut, first, last);
      wider?.addErrors(b_dec.gradient, step.rows, first, last);
      if (applyBDecToInput)
        wasm.subtractRows(b_dec.gradient, partials, Math.ceil(latents / LATENT_BLOCK), dOut, first, last);
    },

    gatherSkip(arena, step, first, last) {
      const errors = [prefixes?.outermost ?? residual, ...(wider === undefined ? [] : [wider.residual])];
      skip?.gather(step, first, last, xOf(step), errors);
      completeSkip(updates, arena, first, last);
    },

    updateSkip: (arena, step, first, last) => updateSkip(updates, arena, step, first, last),

    updateDecoderBias: (arena, step, first, last) => updateDecoderBias(updates, arena, step, first, last),
  };
}
