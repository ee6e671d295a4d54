/**
 * The k largest of screened rows. The latents of the k largest bounds are evaluated first: the k-th largest of their
 * values bounds the k-th largest of all from below, so that only what reaches it by its bound is a candidate.
 */
import { ROW_BLOCK } from "../block-sizes.ts";
import type { Plan } from "../plan.ts";
import type { SparseModelSetup } from "../setup.ts";
import { PANEL, ROW_TERMS } from "../tiles.ts";
import type { KernelExports } from "./instance.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";
import { type Screening, type SettleRows, suspicious } from "./screened-block.ts";

/** Bits above those of any number: a bound that nothing reaches. */
const UNREACHABLE = 0x7f800001;
/** Bits of the smallest positive float32. */
const SMALLEST = 1;

export function settleTopK(
  plan: Plan,
  { dIn, latents }: SparseModelSetup,
  wasm: KernelExports,
  screening: Screening,
): SettleRows {
  const { groups, groupUnits, firstCapacity, capacity } = screening;
  const rowBytes = 4 * dIn;
  const latentTerms = pointersOf(plan)("latentTerms");
  const [W_enc, b_enc] = ["W_enc", "b_enc"].map((name) => parameterPointers(plan, name).value);
  const knownCount = new Int32Array(PANEL);
  const errors = new Float32Array(PANEL);

  const settle: SettleRows["settle"] = (block, outcome) => {
    const { arena, step, scratch, first: firstRow, unscreened } = block;
    const { words, counts, bounds, first, lists, values, rowTerms } = scratch;
    const k = step.selected;
    return screening.forPanels(block, (panel, rows, u, maxima) => {
      const x = block.input + panel * PANEL * rowBytes;
      const terms = rowTerms + panel * ROW_TERMS;
      wasm.selectTopK(u, latents, maxima, groups, groupUnits, k, first, firstCapacity, counts, bounds);
      for (let lane = 0; lane < PANEL; lane++) {
        const bound = words + PANEL + lane;
        const screened = lane < rows && (unscreened[panel] & (1 << lane)) === 0;
        knownCount[lane] = 0;
        errors[lane] = 0;
        arena.candidates[bound] = screened ? SMALLEST : UNREACHABLE;
        if (!screened) continue;
        const list = first + lane * firstCapacity * 8;
        const row = x + lane * rowBytes;
        const count = arena.candidates[words + lane];
        knownCount[lane] = count;
        errors[lane] = wasm.evaluateList(
          list,
          firstCapacity,
          count,
          values,
          row,
          b_enc,
          W_enc,
          dIn,
          terms + 4 * lane,
          latentTerms,
        );
        arena.candidates[bound] = wasm.kthLargest(list, count, k);
      }
      wasm.collectReaching(u, latents, maxima, groups, groupUnits, lists, capacity, counts, bounds);

      for (let lane = 0; lane < rows; lane++) {
        const row = firstRow + panel * PANEL + lane;
        const candidates = arena.candidates[words + lane];
        // A full list may not hold all of them.
        if ((unscreened[panel] & (1 << lane)) !== 0 || candidates === capacity) {
          outcome.redo(block, row, errors[lane]);
          continue;
        }
        const list = lists + lane * capacity * 8;
        const error = wasm.evaluateRest(
          list,
          capacity,
          candidates,
          first + lane * firstCapacity * 8,
          firstCapacity,
          knownCount[lane],
          values,
          x + lane * rowBytes,
          b_enc,
          W_enc,
          dIn,
          terms + 4 * lane,
          latentTerms,
        );
        const worst = Math.max(error, errors[lane]);
        if (suspicious(worst)) {
          outcome.redo(block, row, worst);
          continue;
        }
        const count =
          candidates > k
            ? wasm.keepLargest(list, capacity, candidates, k, bounds)
            : wasm.keepPositive(list, capacity, candidates);
        if (!outcome.keep(block, row, list, capacity, count, candidates, worst)) return false;
      }
      return true;
    });
  };
  return { rowsAtOnce: ROW_BLOCK, settle };
}
