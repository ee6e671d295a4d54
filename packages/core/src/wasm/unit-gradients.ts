/** Gradients of the output units of a linear map: of a deep autoencoder's layer, of a skip transcoder's matrix. */
import { GATHERED_ROWS, packedDeltaLength } from "../plan-deep.ts";
import type { KernelExports } from "./instance.ts";

/**
 * Adds Σ_rows delta ⊗ input to the gradients of units [first, last), from 0 where `fresh`. Pointers: `deltas` [rows, width],
 * `inputs` [rows, length], `gradient` [last − first, length], and scratch for `columns` and the product. `sums`: pointer to
 * what takes the deltas of each of these units, summed over the rows, or 0.
 *
 * A unit's deltas are laid down one row after the other: the product reads them once for every eight inputs. Some rows at a
 * time, so that they and the gradients stay in the second-level cache.
 */
export type AddUnitGradients = (work: {
  readonly gradient: number;
  readonly deltas: number;
  readonly width: number;
  readonly first: number;
  readonly last: number;
  readonly inputs: number;
  readonly length: number;
  readonly rows: number;
  readonly columns: number;
  readonly scratch: number;
  readonly fresh: boolean;
  readonly sums: number;
}) => void;

/** {@link AddUnitGradients} for mini-batches of at most `batchRows`. */
export function unitGradients(wasm: KernelExports, batchRows: number, wide: 0 | 1): AddUnitGradients {
  const columnBytes = 4 * packedDeltaLength(batchRows);
  return ({ gradient, deltas, width, first, last, inputs, length, rows, columns, scratch, fresh, sums }) => {
    const units = last - first;
    for (let row = 0; row < rows; row += GATHERED_ROWS) {
      const count = Math.min(GATHERED_ROWS, rows - row);
      const from = deltas + 4 * (row * width + first);
      wasm.transposeColumns(columns, columnBytes, from, 4 * width, count, units, sums);
      const starts = fresh && row === 0 ? 1 : 0;
      const x = inputs + 4 * row * length;
      wasm.combine(gradient, columns, columnBytes, units, x, length, count, scratch, wide, starts);
    }
  };
}
