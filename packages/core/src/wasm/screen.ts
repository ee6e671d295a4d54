/**
 * Encoding rows by screening. Rows and latents are quantised to small integers; their product gives, with a margin of
 * seven standard deviations of the rounding errors, an upper bound of each pre-activation. What may be active by its
 * bound is computed exactly. So the records are those of the exact product, up to the margin's probability: a row whose
 * errors look too large, or that has too many candidates, is encoded by the exact product.
 */
import { ARCHITECTURES } from "../architectures/index.ts";
import type { SparseArena } from "../arena-sparse.ts";
import { SCREENING, SCREENING_FIELDS } from "../fields.ts";
import { CONTROL } from "../control.ts";
import type { ScreeningCosts, ScreeningKernels, StepContext } from "../kernels.ts";
import { ROW_BLOCK } from "../block-sizes.ts";
import type { Plan } from "../plan.ts";
import { PURPOSE, uniform } from "../random.ts";
import { rowDimension, type SparseModelSetup } from "../setup.ts";
import {
  LATENT_TERMS,
  PANEL,
  quantisedLength,
  quantisedPanelBytes,
  ROW_TERMS,
  screenTile,
} from "../tiles.ts";
import type { ExactEncoder, RowList } from "./encode.ts";
import type { Tiling } from "./instance.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";
import { settleAbove } from "./screen-above.ts";
import { settleTopK } from "./screen-topk.ts";
import { type Outcome, type ScreeningScratch, screeningOf } from "./screened-block.ts";

export interface ScreenedEncoder extends ScreeningKernels {
  /** Encodes rows [first, last) into records; false when they do not fit. */
  encodeRows(arena: SparseArena, step: StepContext, first: number, last: number): boolean;
}

/** Dimensions whose products take as long as what a candidate costs beside them. */
const CANDIDATE_DIMENSIONS = 70;

/**
 * Measured at L and M: with sums of 32 bits screening is even with the exact product where 24 % of the latents are candidates, with
 * 256-bit vectors, by which products take half as long and a candidate as long as before, where some 13 % are; with sums of 16 bits
 * where 15 % are. At S, of 128 dimensions, where 17 % are.
 */
function costsOf({ dIn }: SparseModelSetup, { wide, wideSums }: Tiling): ScreeningCosts {
  const candidate = (wideSums ? 2.8 : 3.7) * (wide ? 1.8 : 1);
  return { product: wideSums ? 0.27 : 0.4, candidate: candidate * (1 + CANDIDATE_DIMENSIONS / dIn) };
}

/** The encoder over the memory laid out by `plan`, which must be for screening. */
export function screenedEncoder(
  plan: Plan,
  model: SparseModelSetup,
  wasm: KernelExports,
  exact: ExactEncoder,
  tiling: Tiling,
): ScreenedEncoder {
  const { dIn, latents, applyBDecToInput, architecture } = model;
  const { selection } = ARCHITECTURES[architecture];
  const topK = selection === "topk";
  const floorStride = selection === "batch" ? 0 : 1;
  const rowBytes = 4 * dIn;
  const at = pointersOf(plan);
  const [W_enc, b_dec] = ["W_enc", "b_dec"].map((name) => parameterPointers(plan, name).value);
  const slotBytes = plan.setup.training.batchRows * 4 * rowDimension(model);
  const [slots, centred] = [at("slots"), applyBDecToInput ? at("centredInput") : 0];
  const [recordLatent, recordValue] = [at("recordLatent"), at("recordValue")];
  const [equaliser, quantised, latentTerms] = [at("equaliser"), at("quantisedLatents"), at("latentTerms")];
  const { wideSums, latentLevels } = tiling;
  const tile = screenTile(wideSums);
  const tileBytes = tile * quantisedLength(dIn);
  const panelBytes = quantisedPanelBytes(dIn, wideSums);
  const screening = screeningOf(plan, model, wasm, tiling);
  const { rowsAtOnce, settle } = (topK ? settleTopK : settleAbove)(plan, model, wasm, screening);
  const unscreened = new Int32Array(ROW_BLOCK / PANEL);
  const redo: RowList = { rows: new Int32Array(ROW_BLOCK), count: 0 };
  const audit: RowList = { rows: new Int32Array(ROW_BLOCK), count: 0 };

  const report = (arena: SparseArena, row: number, candidates: number, error: number): void => {
    const fields = row * SCREENING_FIELDS;
    arena.rowScreening[fields + SCREENING.candidates] = candidates;
    arena.rowScreening[fields + SCREENING.redone] = 0;
    arena.rowScreening[fields + SCREENING.error] = error;
    arena.rowScreening[fields + SCREENING.missed] = -1;
  };
  const outcome: Outcome = {
    keep({ arena, step }, row, list, capacity, count, candidates, error) {
      report(arena, row, candidates, error);
      const offset = Atomics.add(arena.control, CONTROL.recordsUsed, count);
      if (offset + count > plan.recordCapacity) return false;
      arena.rowOffset[row] = offset;
      arena.rowCount[row] = count;
      arena.rowActive[row] = count;
      arena.rowSquaredError[row] = 0;
      wasm.copyList(list, capacity, count, recordLatent + 4 * offset, recordValue + 4 * offset);
      if (plan.auditShare > 0 && uniform(0, PURPOSE.auditedRow, step.step, row) < plan.auditShare) {
        audit.rows[audit.count++] = row;
      }
      return true;
    },
    redo({ arena }, row, error) {
      report(arena, row, 0, Number.isNaN(error) ? 0 : error);
      arena.rowScreening[row * SCREENING_FIELDS + SCREENING.redone] = 1;
      redo.rows[redo.count++] = row;
    },
  };

  /** How many latents that should be active in an exactly computed row are not among its records, or with other values. */
  const countMissing = (
    arena: SparseArena,
    k: number,
    row: number,
    z: Float32Array,
    lane: number,
  ): number => {
    const begin = arena.rowOffset[row];
    const end = begin + arena.rowCount[row];
    let least = Number.POSITIVE_INFINITY;
    let leastLatent = -1;
    for (let record = begin; record < end; record++) {
      if (arena.recordValue[record] <= least) {
        least = arena.recordValue[record];
        leastLatent = arena.recordLatent[record];
      }
    }
    const full = topK && end - begin === k;
    let missing = 0;
    let record = begin;
    for (let latent = 0; latent < latents; latent++) {
      const value = z[latent * PANEL + lane];
      if (record < end && arena.recordLatent[record] === latent) {
        if (arena.recordValue[record] !== value) missing++;
        record++;
      } else if (
        value > (topK ? 0 : arena.floors[floorStride * latent]) &&
        (!full || value > least || (value === least && latent < leastLatent))
      ) {
        missing++;
      }
    }
    return missing;
  };

  const auditRows = (arena: SparseArena, step: StepContext): void => {
    exact.forPanels(arena, step, audit, (from, rows, z) => {
      const values = new Float32Array(arena.preActivations.buffer as ArrayBuffer, z, latents * PANEL);
      for (let lane = 0; lane < rows; lane++) {
        const row = audit.rows[from + lane];
        arena.rowScreening[row * SCREENING_FIELDS + SCREENING.missed] = countMissing(
          arena,
          step.selected,
          row,
          values,
          lane,
        );
      }
      return true;
    });
  };

  /** Quantises rows that begin at `x`; centred rows begin at `input` then. */
  const quantiseRows = (scratch: ScreeningScratch, x: number, input: number, rows: number): void => {
    const latentSquares = wasm.usualSquares(latentTerms, latents);
    for (let row = 0; row < rows; row += PANEL) {
      const panel = row / PANEL;
      unscreened[panel] = wasm.quantiseRows(
        scratch.packed + panel * panelBytes,
        scratch.rowTerms + panel * ROW_TERMS,
        x + row * rowBytes,
        applyBDecToInput ? b_dec : 0,
        applyBDecToInput ? input + row * rowBytes : 0,
        equaliser + rowBytes,
        Math.min(PANEL, rows - row),
        dIn,
        latentSquares,
        wideSums,
        latentLevels,
      );
    }
  };

  return {
    encodeRows(arena, step, first, last) {
      const scratch = screening.scratches[step.rank] as ScreeningScratch;
      redo.count = 0;
      audit.count = 0;
      for (let from = first; from < last; from += rowsAtOnce) {
        const to = Math.min(from + rowsAtOnce, last);
        const x = slots + step.slot * slotBytes + from * rowBytes;
        const input = applyBDecToInput ? centred + from * rowBytes : x;
        quantiseRows(scratch, x, input, to - from);
        if (!settle({ arena, step, scratch, first: from, last: to, input, unscreened }, outcome))
          return false;
      }
      if (audit.count > 0) auditRows(arena, step);
      if (redo.count === 0) return true;
      return exact.forPanels(arena, step, redo, (from, count, z, maxima) =>
        exact.selectPanel(arena, step, redo, from, count, z, maxima),
      );
    },

    costs: costsOf(model, tiling),
    quantiseLatents(arena, first, last) {
      let count = 0;
      for (let latent = first; latent < last; latent++) {
        count += wasm.quantiseLatent(
          quantised + Math.floor(latent / tile) * tileBytes + 4 * (latent % tile),
          latentTerms + latent * LATENT_TERMS,
          W_enc + latent * rowBytes,
          arena.b_enc.value[latent],
          equaliser,
          dIn,
          wideSums,
          latentLevels,
        );
      }
      return count;
    },
  };
}
