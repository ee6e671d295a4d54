/** The stages of a sparse autoencoder on the WebAssembly kernels: pointers and loops; the arithmetic is in assembly/. */
import { ARCHITECTURES } from "../architectures/index.ts";
import type { SparseArena } from "../arena.ts";
import { CONTROL } from "../control.ts";
import type { SparseKernels, StepContext } from "../kernels.ts";
import { CANDIDATE_WORDS, candidateCapacity, LATENT_BLOCK, type Plan, ROW_BLOCK } from "../plan.ts";
import type { SparseModelSetup } from "../setup.ts";
import type { KernelExports } from "./instance.ts";
import { denseProducts } from "./dense.ts";
import { adamOn, parameterPointers, pointersOf } from "./pointers.ts";

/** Rows of a panel, as in assembly/product.ts. */
const PANEL = 8;
/** Latents of a tile, as in assembly/product.ts. */
const TILE = 6;

/**
 * Tiles whose maximum is kept together: as many as leave eight times k groups, so that the k-th largest group
 * maximum is a close bound, and at most four, beyond which looking into a group costs more than it saves.
 */
function tilesPerGroup(latents: number, k: number): number {
  return Math.max(1, Math.min(4, Math.floor(latents / (TILE * 8 * Math.max(1, k)))));
}

/** The stages over the memory laid out by `plan`. `wide`: products in tiles of two panels. */
export function wasmSparseKernels(
  plan: Plan,
  model: SparseModelSetup,
  wasm: KernelExports,
  wide: 0 | 1,
): SparseKernels {
  const { dIn, latents, k, decoder, applyBDecToInput, architecture } = model;
  const { selection, l1Penalty } = ARCHITECTURES[architecture];
  const rowBytes = 4 * dIn;
  const tiles = tilesPerGroup(latents, k);
  const groups = wasm.groupCount(latents, tiles);
  const capacity = candidateCapacity(k);
  const at = pointersOf(plan);
  const W_enc = parameterPointers(plan, "W_enc");
  const b_enc = parameterPointers(plan, "b_enc");
  const W_dec = parameterPointers(plan, "W_dec");
  const b_dec = parameterPointers(plan, "b_dec");
  const [slots, mean, residual] = [at("slots"), at("mean"), at("residual")];
  const [recordLatent, recordValue, recordGradient] = [
    at("recordLatent"),
    at("recordValue"),
    at("recordGradient"),
  ];
  const [rowOffset, rowCount] = [at("rowOffset"), at("rowCount")];
  const [packedRows, preActivations, groupMaxima, candidates] = [
    at("packedRows"),
    at("preActivations"),
    at("groupMaxima"),
    at("candidates"),
  ];
  const centred = applyBDecToInput ? at("centredInput") : 0;
  const training = plan.purpose === "train";
  const partials = training ? at("b_dec.partials") : 0;
  const [activationSum, activeCount] = training ? [at("activationSum"), at("activeCount")] : [0, 0];

  const slotBytes = plan.setup.training.batchRows * rowBytes;
  const xOf = (step: StepContext): number => slots + step.slot * slotBytes;
  const inputOf = (step: StepContext): number => (applyBDecToInput ? centred : xOf(step));
  const gradientBytes = (step: StepContext, latent: number): number =>
    (plan.storeGradients ? latent : step.rank * LATENT_BLOCK + (latent % LATENT_BLOCK)) * rowBytes;

  /** Selects one panel's rows from its pre-activations `z` into records; false when they do not fit. */
  const selectPanel = (
    arena: SparseArena,
    step: StepContext,
    row: number,
    rows: number,
    z: number,
    maxima: number,
  ): boolean => {
    const words = step.rank * (CANDIDATE_WORDS + 16 * capacity);
    const counts = candidates + 4 * words;
    const bounds = counts + 4 * PANEL;
    const lists = counts + 4 * CANDIDATE_WORDS;
    const poisoned = wasm.nanRows(maxima, groups);
    if (selection === "topk")
      wasm.selectTopK(z, latents, maxima, groups, TILE * tiles, k, lists, capacity, counts, bounds);
    else wasm.countPositive(z, latents, counts);

    let total = 0;
    for (let lane = 0; lane < rows; lane++) {
      const poison = (poisoned & (1 << lane)) !== 0;
      if (poison) arena.candidates[words + lane] = 0;
      arena.rowSquaredError[row + lane] = poison ? Number.NaN : 0;
      total += arena.candidates[words + lane];
    }
    let offset = Atomics.add(arena.control, CONTROL.recordsUsed, total);
    if (offset + total > plan.recordCapacity) return false;
    let inUse = 0;
    for (let lane = 0; lane < rows; lane++) {
      const count = arena.candidates[words + lane];
      arena.rowOffset[row + lane] = offset;
      arena.rowCount[row + lane] = count;
      arena.rowActive[row + lane] = count;
      if (selection === "topk") {
        wasm.copyList(
          lists + lane * capacity * 8,
          capacity,
          count,
          recordLatent + 4 * offset,
          recordValue + 4 * offset,
        );
      } else if (count > 0) {
        inUse |= 1 << lane;
      }
      // From here on the count's word is the cursor of copyPositive.
      arena.candidates[words + lane] = offset;
      offset += count;
    }
    if (selection === "positive") wasm.copyPositive(z, latents, inUse, counts, recordLatent, recordValue);
    return true;
  };

  const dense = selection === "positive" ? denseProducts(plan, model, wasm, wide) : undefined;

  return {
    encodeRows(arena, step, first, last) {
      const rows = last - first;
      const panels = Math.ceil(rows / PANEL);
      const packed = packedRows + step.rank * ROW_BLOCK * rowBytes;
      const z = preActivations + step.rank * ROW_BLOCK * latents * 4;
      const maxima = groupMaxima + step.rank * ROW_BLOCK * Math.ceil(latents / TILE) * 4;
      const x = xOf(step) + first * rowBytes;
      if (applyBDecToInput) wasm.packRows(packed, x, b_dec.value, centred + first * rowBytes, rows, dIn);
      else wasm.packRows(packed, x, 0, 0, rows, dIn);
      wasm.product(z, packed, panels, b_enc.value, W_enc.value, latents, dIn, maxima, tiles, wide);
      for (let panel = 0; panel < panels; panel++) {
        const row = first + panel * PANEL;
        const zPanel = z + panel * latents * PANEL * 4;
        const panelRows = Math.min(PANEL, last - row);
        if (!selectPanel(arena, step, row, panelRows, zPanel, maxima + panel * groups * PANEL * 4))
          return false;
      }
      return true;
    },

    decodeRows(arena, step, first, last) {
      const x = xOf(step);
      const all = dense?.paysForRows(arena, first, last) ? dense : undefined;
      all?.decodeRows(arena, step, first, last);
      for (let row = first; row < last; row++) {
        const records = 4 * arena.rowOffset[row];
        const at = residual + row * rowBytes;
        const input = x + row * rowBytes;
        const square = all
          ? wasm.subtractRow(at, input, dIn)
          : wasm.decodeRow(
              at,
              input,
              b_dec.value,
              W_dec.value,
              dIn,
              recordLatent + records,
              recordValue + records,
              arena.rowCount[row],
            );
        // Added to what selection left there: 0, or NaN for a row whose pre-activations were not numbers.
        arena.rowSquaredError[row] += square;
        arena.rowSquares[row] = wasm.rowSquares(input, mean, dIn);
        arena.rowPenalty[row] = l1Penalty ? penaltyOf(arena, row) : 0;
        if (step.train) wasm.scaleRow(at, step.gradientScale, dIn);
      }
      if (!step.train) return;
      all?.latentGradients(arena, step, first, last);
      for (let row = first; row < last; row++) {
        const records = 4 * arena.rowOffset[row];
        if (all === undefined) {
          const at = residual + row * rowBytes;
          wasm.latentGradients(
            at,
            W_dec.value,
            dIn,
            recordLatent + records,
            arena.rowCount[row],
            recordGradient + records,
          );
        }
        if (step.penaltyScale !== 0) addPenaltyGradients(arena, step, row);
      }
    },

    gatherLatents(arena, step, first, last, firstRow, lastRow, fresh) {
      const gradients = gradientBytes(step, first);
      if (fresh) {
        const from = gradients / 4;
        const to = from + (last - first) * dIn;
        arena.W_enc.gradient.fill(0, from, to);
        arena.W_dec.gradient.fill(0, from, to);
        arena.b_enc.gradient.fill(0, first, last);
        arena.activationSum.fill(0, first, last);
        arena.activeCount.fill(0, first, last);
      }
      if (dense?.paysForGathering(arena, lastRow)) {
        dense.gather(step, first, last, firstRow, lastRow, inputOf(step), gradients);
        return;
      }
      wasm.gather(
        first,
        last,
        firstRow,
        lastRow,
        dIn,
        rowOffset,
        rowCount,
        recordLatent,
        recordValue,
        recordGradient,
        residual,
        inputOf(step),
        W_enc.gradient + gradients,
        W_dec.gradient + gradients,
        b_enc.gradient,
        activationSum,
        activeCount,
      );
    },

    updateLatents(arena, step, first, last) {
      if (applyBDecToInput) {
        const partial = (first / LATENT_BLOCK) * dIn;
        arena.bDecPartials.fill(0, partial, partial + dIn);
        for (let latent = first; latent < last; latent++) {
          wasm.axpy(
            partials + 4 * partial,
            arena.b_enc.gradient[latent],
            W_enc.value + latent * rowBytes,
            dIn,
          );
        }
      }
      let heat = 0;
      for (let latent = first; latent < last; latent++) {
        const bytes = latent * rowBytes;
        const weights = W_dec.value + bytes;
        const gradient = W_dec.gradient + gradientBytes(step, latent);
        if (decoder === "unit") {
          wasm.project(gradient, weights, dIn);
        } else {
          const norm = arena.decoderNorm[latent];
          const pull =
            norm > 0 ? Math.fround(Math.fround(step.penaltyScale * arena.activationSum[latent]) / norm) : 0;
          if (pull !== 0) wasm.axpy(gradient, pull, weights, dIn);
        }
        adamOn(wasm, W_enc, bytes, W_enc.gradient + gradientBytes(step, latent), dIn, step.adam);
        adamOn(wasm, W_dec, bytes, gradient, dIn, step.adam);
        const norm = wasm.rowNorm(weights, dIn);
        arena.decoderNorm[latent] = decoder === "free" ? norm : 1;
        if (decoder === "unit" && norm > 0) wasm.divideRow(weights, norm, dIn);
        const count = arena.activeCount[latent];
        heat += count;
        if (count > 0) {
          arena.lastFired[latent] = step.examplesAfter;
          arena.fireCount[latent] += count;
        }
      }
      adamOn(wasm, b_enc, 4 * first, b_enc.gradient + 4 * first, last - first, step.adam);
      arena.blockHeat[first / LATENT_BLOCK] = heat;
    },

    updateDecoderBias(_arena, step, first, last) {
      wasm.sumRows(b_dec.gradient, residual, step.rows, dIn, first, last);
      if (applyBDecToInput)
        wasm.subtractRows(b_dec.gradient, partials, Math.ceil(latents / LATENT_BLOCK), dIn, first, last);
      adamOn(wasm, b_dec, 4 * first, b_dec.gradient + 4 * first, last - first, step.adam);
    },
  };

  function penaltyOf(arena: SparseArena, row: number): number {
    const begin = arena.rowOffset[row];
    const end = begin + arena.rowCount[row];
    let penalty = 0;
    for (let record = begin; record < end; record++) {
      const norm = decoder === "free" ? arena.decoderNorm[arena.recordLatent[record]] : 1;
      penalty = Math.fround(penalty + arena.recordValue[record] * norm);
    }
    return penalty;
  }

  function addPenaltyGradients(arena: SparseArena, step: StepContext, row: number): void {
    const begin = arena.rowOffset[row];
    const end = begin + arena.rowCount[row];
    for (let record = begin; record < end; record++) {
      const norm = decoder === "free" ? arena.decoderNorm[arena.recordLatent[record]] : 1;
      arena.recordGradient[record] = Math.fround(arena.recordGradient[record] + step.penaltyScale * norm);
    }
  }
}
