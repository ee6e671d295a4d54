/** The k largest of screened rows, see assembly/settle.ts. */
import { ROW_BLOCK } from "../block-sizes.ts";
import type { Plan } from "../plan.ts";
import type { SparseModelSetup } from "../setup.ts";
import { PANEL, ROW_TERMS } from "../tiles.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";
import { type Screening, type SettleRows, suspicious } from "./screened-block.ts";

export function settleTopK(
  plan: Plan,
  { dIn, latents }: SparseModelSetup,
  wasm: KernelExports,
  screening: Screening,
): SettleRows {
  const { groups, groupUnits, firstCapacity, capacity } = screening;
  const at = pointersOf(plan);
  const [settled, latentTerms] = [at("settled"), at("latentTerms")];
  const [W_enc, b_enc] = ["W_enc", "b_enc"].map((name) => parameterPointers(plan, name).value);

  const settle: SettleRows["settle"] = (block, outcome) => {
    const { arena, step, scratch, first: firstRow, input, unscreened } = block;
    const { counts, first, lists, evaluated, rowTerms } = scratch;
    const fields = 3 * PANEL * step.rank;
    return screening.forPanels(block, (panel, rows, u, maxima) => {
      wasm.settleTopK(
        u,
        latents,
        maxima,
        groups,
        groupUnits,
        step.selected,
        rows,
        unscreened[panel],
        settled + 4 * fields,
        counts,
        first,
        firstCapacity,
        lists,
        capacity,
        evaluated,
        input + panel * PANEL * 4 * dIn,
        b_enc,
        W_enc,
        dIn,
        rowTerms + panel * ROW_TERMS,
        latentTerms,
      );
      for (let lane = 0; lane < rows; lane++) {
        const row = firstRow + panel * PANEL + lane;
        const count = arena.settled[fields + lane];
        const candidates = arena.settled[fields + PANEL + lane];
        const error = arena.settled[fields + 2 * PANEL + lane];
        if (count < 0 || suspicious(error)) {
          outcome.redo(block, row, error);
          continue;
        }
        const list = lists + lane * capacity * 8;
        if (!outcome.keep(block, row, list, capacity, count, candidates, error)) return false;
      }
      return true;
    });
  };
  return { rowsAtOnce: ROW_BLOCK, settle };
}
