/**
 * Multi-TopK (Gao et al. 2024; weights as in sparsify): each row is also reconstructed by its 4k largest latents, and the
 * loss is mean(‖x − x̂‖² + ⅛·‖x − x̂_4k‖²), with gradients of both to all parameters. The latents beyond the k largest
 * learn before they are needed, and the model can be used with other k than its own.
 *
 * TopK selects 4k records; they are copied to records of their own, of which the k largest stay in the row's.
 */
import type { SparseArena } from "./arena-sparse.ts";
import type { StepContext } from "./kernels.ts";

/** Weight of the wider reconstruction's squared error. */
export const WIDE_WEIGHT: number = 1 / 8;

/** Copies the records of rows [first, last) to the wide ones, and keeps the k largest of each row, ties to the lower latent. */
export function partWide(arena: SparseArena, step: StepContext, first: number, last: number): void {
  const { rowOffset, rowCount, rowActive, recordLatent, recordValue } = arena;
  const { wideOffset, wideCount, wideLatent, wideValue, wideSorted } = arena;
  const perRow = wideValue.length / arena.plan.setup.training.batchRows;
  const scratch = step.rank * perRow;
  for (let row = first; row < last; row++) {
    const begin = rowOffset[row];
    const count = rowCount[row];
    const at = row * perRow;
    wideOffset[row] = at;
    wideCount[row] = count;
    wideLatent.set(recordLatent.subarray(begin, begin + count), at);
    const values = recordValue.subarray(begin, begin + count);
    wideValue.set(values, at);
    if (count <= step.k) continue;
    const sorted = wideSorted.subarray(scratch, scratch + count);
    sorted.set(values);
    sorted.sort();
    const least = sorted[count - step.k];
    let ties = 0;
    for (let i = count - step.k; i < count && sorted[i] === least; i++) ties++;
    let kept = begin;
    for (let record = begin; record < begin + count; record++) {
      const value = recordValue[record];
      if (value < least || (value === least && ties-- <= 0)) continue;
      recordValue[kept] = value;
      recordLatent[kept++] = recordLatent[record];
    }
    rowCount[row] = kept - begin;
    rowActive[row] = kept - begin;
  }
}
