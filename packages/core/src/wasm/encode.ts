/** Encoding rows by the exact float32 product, and writing what selection found into sparse records. */
import { ARCHITECTURES } from "../architectures/index.ts";
import type { SparseArena } from "../arena-sparse.ts";
import { CONTROL } from "../control.ts";
import type { StepContext } from "../kernels.ts";
import { ROW_BLOCK } from "../block-sizes.ts";
import { CANDIDATE_WORDS, candidateCapacity } from "../plan-sparse.ts";
import { type Plan, regionOf } from "../plan.ts";
import { mostSelected, usualSelected } from "../selection.ts";
import { rowDimension, type SparseModelSetup } from "../setup.ts";
import { PANEL, TILE } from "../tiles.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";

/**
 * Tiles whose maximum is kept together: as many as leave eight times k groups, so that the k-th largest group
 * maximum is a close bound, and at most `most`, beyond which looking into a group costs more than it saves.
 */
export function tilesPerGroup(latents: number, tile: number, k: number, most: number): number {
  return Math.max(1, Math.floor(Math.min(most, latents / (tile * 8 * Math.max(1, k)))));
}

/** The rows of a block, or some of them. */
export interface RowList {
  /** Row indices in the mini-batch; the first `count` of them. */
  readonly rows: Int32Array;
  count: number;
}

export interface ExactEncoder {
  /** Encodes rows [first, last) into records; false when they do not fit. */
  encodeRows(arena: SparseArena, step: StepContext, first: number, last: number): boolean;
  /**
   * The product of some rows, at most ROW_BLOCK, whose input (centred, where the model does) is in place. `consume` is
   * given each panel: the index of its first row in the list, its number of rows, its pre-activations [latents][8] and
   * their group maxima.
   */
  forPanels(
    arena: SparseArena,
    step: StepContext,
    list: RowList,
    consume: (at: number, rows: number, z: number, maxima: number) => boolean,
  ): boolean;
  /** Selects a panel's rows into records; false when they do not fit. */
  selectPanel(
    arena: SparseArena,
    step: StepContext,
    list: RowList,
    at: number,
    rows: number,
    z: number,
    maxima: number,
  ): boolean;
}

/** The encoder over the memory laid out by `plan`. `wide`: products in tiles of two panels. */
export function exactEncoder(
  plan: Plan,
  model: SparseModelSetup,
  wasm: KernelExports,
  wide: 0 | 1,
): ExactEncoder {
  const { dIn, latents, applyBDecToInput, architecture } = model;
  const { selection } = ARCHITECTURES[architecture];
  const floors = selection === "topk" ? 0 : pointersOf(plan)("floors");
  const floorStride = selection === "batch" ? 0 : 4;
  const rowBytes = 4 * dIn;
  const tiles = tilesPerGroup(latents, TILE, usualSelected(plan.setup), 4);
  const groups = wasm.groupCount(latents, tiles);
  const capacity = candidateCapacity(mostSelected(plan.setup));
  const at = pointersOf(plan);
  const [W_enc, b_enc, b_dec] = ["W_enc", "b_enc", "b_dec"].map(
    (name) => parameterPointers(plan, name).value,
  );
  const [slots, recordLatent, recordValue] = [at("slots"), at("recordLatent"), at("recordValue")];
  const [packedRows, preActivations, groupMaxima, candidates] = [
    at("packedRows"),
    at("preActivations"),
    at("groupMaxima"),
    at("candidates"),
  ];
  const centred = applyBDecToInput ? at("centredInput") : 0;
  const slotBytes = plan.setup.training.batchRows * 4 * rowDimension(model);
  const packedBytes = (4 * regionOf(plan, "packedRows").length) / plan.workers;
  const block: RowList = { rows: new Int32Array(ROW_BLOCK), count: 0 };

  const selectPanel: ExactEncoder["selectPanel"] = (arena, step, list, from, rows, z, maxima) => {
    const words = step.rank * (CANDIDATE_WORDS + 16 * capacity);
    const counts = candidates + 4 * words;
    const bounds = counts + 4 * PANEL;
    const masks = counts + 16 * PANEL;
    const lists = counts + 4 * CANDIDATE_WORDS;
    const poisoned = wasm.nanRows(maxima, groups);
    if (selection === "topk")
      wasm.selectTopK(
        z,
        latents,
        maxima,
        groups,
        TILE * tiles,
        step.selected,
        lists,
        capacity,
        counts,
        bounds,
        masks,
      );
    else wasm.countAbove(z, latents, floors, floorStride, counts);

    let total = 0;
    for (let lane = 0; lane < rows; lane++) {
      const poison = (poisoned & (1 << lane)) !== 0;
      if (poison) arena.candidates[words + lane] = 0;
      arena.rowSquaredError[list.rows[from + lane]] = poison ? Number.NaN : 0;
      total += arena.candidates[words + lane];
    }
    let offset = Atomics.add(arena.control, CONTROL.recordsUsed, total);
    if (offset + total > plan.recordCapacity) return false;
    let inUse = 0;
    for (let lane = 0; lane < rows; lane++) {
      const row = list.rows[from + lane];
      const count = arena.candidates[words + lane];
      arena.rowOffset[row] = offset;
      arena.rowCount[row] = count;
      arena.rowActive[row] = count;
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
      // From here on the count's word is the cursor of copyAbove.
      arena.candidates[words + lane] = offset;
      offset += count;
    }
    if (selection !== "topk")
      wasm.copyAbove(z, latents, floors, floorStride, inUse, counts, recordLatent, recordValue, masks);
    return true;
  };

  /** The packed rows' product, then panel by panel to `consume`. */
  const product = (
    step: StepContext,
    rows: number,
    consume: (at: number, rows: number, z: number, maxima: number) => boolean,
  ): boolean => {
    const panels = Math.ceil(rows / PANEL);
    const packed = packedRows + step.rank * packedBytes;
    const z = preActivations + step.rank * ROW_BLOCK * latents * 4;
    const maxima = groupMaxima + step.rank * ROW_BLOCK * Math.ceil(latents / TILE) * 4;
    wasm.product(z, packed, panels, b_enc, W_enc, latents, dIn, maxima, tiles, wide);
    for (let panel = 0; panel < panels; panel++) {
      const from = panel * PANEL;
      const zPanel = z + panel * latents * PANEL * 4;
      const maximaPanel = maxima + panel * groups * PANEL * 4;
      if (!consume(from, Math.min(PANEL, rows - from), zPanel, maximaPanel)) return false;
    }
    return true;
  };

  return {
    selectPanel,
    encodeRows(arena, step, first, last) {
      const rows = last - first;
      const packed = packedRows + step.rank * packedBytes;
      const x = slots + step.slot * slotBytes + first * rowBytes;
      if (applyBDecToInput) wasm.packRows(packed, x, b_dec, centred + first * rowBytes, rows, dIn);
      else wasm.packRows(packed, x, 0, 0, rows, dIn);
      block.count = rows;
      for (let row = 0; row < rows; row++) block.rows[row] = first + row;
      return product(step, rows, (from, count, z, maxima) =>
        selectPanel(arena, step, block, from, count, z, maxima),
      );
    },
    forPanels(_arena, step, list, consume) {
      const packed = packedRows + step.rank * packedBytes;
      const input = applyBDecToInput ? centred : slots + step.slot * slotBytes;
      const filled = PANEL * Math.ceil(list.count / PANEL);
      for (let i = 0; i < filled; i++) {
        const panel = packed + Math.floor(i / PANEL) * PANEL * rowBytes;
        const x = i < list.count ? input + list.rows[i] * rowBytes : 0;
        wasm.packRow(panel, i % PANEL, x, dIn);
      }
      return product(step, list.count, consume);
    },
  };
}
