/**
 * Records in the order of blocks of latents, so that who gathers a block's gradients finds what it needs side by side. Without,
 * every block would look at every row, of which one in six has a record for it at L.
 */
import type { SparseArena } from "../arena-sparse.ts";
import { LATENT_BLOCK } from "../block-sizes.ts";
import { CONTROL } from "../control.ts";
import { type Plan, regionOf } from "../plan.ts";
import { outputDimension, type SparseModelSetup } from "../setup.ts";
import { PANEL } from "../tiles.ts";
import type { GatheredInto, KernelExports } from "./kernel-exports.ts";
import { pointersOf } from "./pointers.ts";

export interface SortedRecords {
  /** Sorts the records of rows [first, last), which are final. `first` is a multiple of 8 from the chunk's first row on. */
  sort(arena: SparseArena, first: number, last: number): void;
  /** Adds rows [firstRow, lastRow), all of which are sorted, to the gradients of latents [first, last) of one block. */
  gather(first: number, last: number, firstRow: number, lastRow: number, into: GatheredInto): void;
}

/** Sorting over the memory laid out by `plan`. */
export function sortedRecords(plan: Plan, model: SparseModelSetup, wasm: KernelExports): SortedRecords {
  const { dIn, latents } = model;
  const dOut = outputDimension(model);
  const at = pointersOf(plan);
  const blocks = Math.ceil(latents / LATENT_BLOCK);
  const startsBytes = 4 * (blocks + 3);
  const [sorted, starts] = [at("sortedRecords"), at("sortedStarts")];
  const capacity = regionOf(plan, "sortedRecords").shape[0];
  const [rowOffset, rowCount, recordLatent, recordValue, recordGradient] = [
    "rowOffset",
    "rowCount",
    "recordLatent",
    "recordValue",
    "recordGradient",
  ].map(at);
  return {
    sort(arena, first, last) {
      let count = 0;
      for (let row = first; row < last; row++) count += arena.rowCount[row];
      const base = Atomics.add(arena.control, CONTROL.recordsSorted, count);
      if (base + count > capacity) throw new Error("internal: more records to sort than a step selects");
      wasm.sortRecords(
        first,
        last,
        rowOffset,
        rowCount,
        recordLatent,
        recordValue,
        recordGradient,
        sorted,
        base,
        starts + Math.floor(first / PANEL) * startsBytes,
        blocks,
        LATENT_BLOCK,
      );
    },

    gather(first, last, firstRow, lastRow, into) {
      const block = Math.floor(first / LATENT_BLOCK);
      wasm.gatherSorted(
        first,
        last,
        firstRow,
        lastRow,
        dIn,
        dOut,
        sorted,
        starts,
        startsBytes,
        block,
        ...into,
      );
    },
  };
}
