/**
 * All values of screened rows that are above their latents' floors. Candidates are what exceeds them by its bound. Those of
 * many rows are collected, then evaluated: where a row has many, some latents for all rows, then the next, so that
 * their weights come from memory once and not once for each row.
 */
import { ROW_BLOCK } from "../block-sizes.ts";
import type { Plan } from "../plan.ts";
import { SCREENED_ROW_WORDS } from "../plan-sparse.ts";
import { ARCHITECTURES } from "../architectures/index.ts";
import type { SparseModelSetup } from "../setup.ts";
import { PANEL, ROW_TERMS } from "../tiles.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";
import { type Screening, type SettleRows, suspicious } from "./screened-block.ts";

/** In place of where a row's candidates begin: it is encoded exactly. */
const NONE = -1;

/** Bytes of the weights of a chunk of latents, see block-decoder.ts. */
const CHUNK_BYTES = 1024 * 1024;
/** Candidates of a row in a chunk from which on chunks pay. At L, with 5 % of the latents active, a row has some twenty. */
const WORTH_A_CHUNK = 4;

export function settleAbove(
  plan: Plan,
  { dIn, latents, architecture }: SparseModelSetup,
  wasm: KernelExports,
  screening: Screening,
): SettleRows {
  const { groups, groupUnits, capacity } = screening;
  const floorBytes = ARCHITECTURES[architecture].selection === "batch" ? 0 : 4;
  const rowBytes = 4 * dIn;
  const at = pointersOf(plan);
  const [latentTerms, floors, tables] = [at("latentTerms"), at("floors"), at("screenedRows")];
  const [W_enc, b_enc] = ["W_enc", "b_enc"].map((name) => parameterPointers(plan, name).value);
  const chunk = Math.max(8, Math.floor(CHUNK_BYTES / rowBytes));
  // Whole panels whose candidates fit behind the bounds: all of a block's, but with very few latents.
  const [{ restBytes }] = screening.scratches;
  const rowsAtOnce = Math.min(ROW_BLOCK, PANEL * Math.floor(restBytes / (3 * 4 * capacity * PANEL)));
  const words = rowsAtOnce * capacity;

  const settle: SettleRows["settle"] = (block, outcome) => {
    const { arena, step, scratch, first, last, input, unscreened } = block;
    // Candidates of all rows, a list whose capacity is that of all, and their values; see assembly/lists.ts.
    const [bounds, ofLatents, values] = [0, 1, 2].map((table) => scratch.rest + 4 * table * words);
    const { screenedRows } = arena;
    const offsets = step.rank * SCREENED_ROW_WORDS;
    const counts = offsets + ROW_BLOCK;
    let least = Number.POSITIVE_INFINITY;
    for (const floor of arena.floors) if (floor < least) least = floor;
    let total = 0;
    screening.forPanels(block, (panel, rows, u, maxima) => {
      const inUse = ((1 << rows) - 1) & ~unscreened[panel];
      const { lists } = scratch;
      wasm.collectAbove(
        u,
        latents,
        maxima,
        groups,
        groupUnits,
        lists,
        capacity,
        scratch.counts,
        floors,
        floorBytes,
        least,
        inUse,
        scratch.counts + 16 * PANEL,
      );
      for (let lane = 0; lane < rows; lane++) {
        const row = panel * PANEL + lane;
        const count = arena.candidates[scratch.words + lane];
        // A full list may not hold all of them.
        const usable = (inUse & (1 << lane)) !== 0 && count < capacity;
        screenedRows[offsets + row] = usable ? total : NONE;
        screenedRows[counts + row] = usable ? count : 0;
        if (!usable) {
          outcome.redo(block, first + row, 0);
          continue;
        }
        const list = lists + lane * capacity * 8;
        wasm.copyList(list, capacity, count, ofLatents + 4 * total, bounds + 4 * total);
        total += count;
      }
      return true;
    });
    const rows = last - first;
    if (total * chunk > WORTH_A_CHUNK * rows * latents) {
      wasm.chainsByChunk(
        values,
        input,
        rows,
        tables + 4 * offsets,
        tables + 4 * counts,
        ofLatents,
        b_enc,
        W_enc,
        dIn,
        latents,
        chunk,
        tables + 4 * (counts + ROW_BLOCK),
      );
    } else {
      for (let row = 0; row < rows; row++) {
        const from = 4 * screenedRows[offsets + row];
        const count = screenedRows[counts + row];
        wasm.chains(values + from, ofLatents + from, count, input + row * rowBytes, b_enc, W_enc, dIn);
      }
    }
    for (let row = 0; row < rows; row++) {
      if (screenedRows[offsets + row] === NONE) continue;
      const list = bounds + 4 * screenedRows[offsets + row];
      const candidates = screenedRows[counts + row];
      const terms = scratch.rowTerms + Math.floor(row / PANEL) * ROW_TERMS + 4 * (row % PANEL);
      const error = wasm.replaceBounds(list, words, candidates, list + 8 * words, terms, latentTerms);
      if (suspicious(error)) {
        outcome.redo(block, first + row, error);
        continue;
      }
      const count = wasm.keepAbove(list, words, candidates, floors, floorBytes);
      if (!outcome.keep(block, first + row, list, words, count, candidates, error)) return false;
    }
    return true;
  };
  return { rowsAtOnce, settle };
}
