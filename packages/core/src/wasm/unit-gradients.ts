/** Gradients of the output units of a linear map: of a deep autoencoder's layer, of a skip transcoder's matrix. */
import { GATHERED_ROWS, packedDeltaLength } from "../plan-deep.ts";
import { PANEL } from "../tiles.ts";
import type { KernelExports } from "./kernel-exports.ts";

/** The units [first, last) of a map and their deltas. Pointers: `deltas` [rows, width], `gradient` [last − first, length]. */
interface UnitWork {
  readonly gradient: number;
  readonly deltas: number;
  readonly width: number;
  readonly first: number;
  readonly last: number;
  /** Pointer to the map's inputs. */
  readonly inputs: number;
  readonly length: number;
  readonly rows: number;
  /** Pointer to scratch for the deltas, one unit after the other. */
  readonly columns: number;
  /** Pointer to scratch for the product. */
  readonly scratch: number;
}

/** Sums over rows of delta ⊗ input. */
export interface UnitGradients {
  /** Adds them to the gradients, from 0 where `fresh`. `inputs` [rows, length]. */
  add(work: UnitWork & { readonly fresh: boolean }): void;
  /**
   * Writes them, of inputs in panels [length / 8][batchRows][8]. `sums`: pointer to what takes the deltas of each of these
   * units, summed over the rows.
   */
  write(work: UnitWork & { readonly sums: number }): void;
}

/**
 * {@link UnitGradients} for mini-batches of at most `batchRows`.
 *
 * A unit's deltas are laid down one row after the other: the product reads them once for every eight inputs. Some rows at a
 * time, so that they stay in the second-level cache.
 */
export function unitGradients(wasm: KernelExports, batchRows: number, wide: 0 | 1): UnitGradients {
  const columnBytes = 4 * packedDeltaLength(batchRows);
  const panelBytes = 4 * PANEL * batchRows;
  const parts = (
    { deltas, width, first, last, rows, columns }: UnitWork,
    sums: number,
    run: (row: number, count: number) => void,
  ): void => {
    for (let row = 0; row < rows; row += GATHERED_ROWS) {
      const count = Math.min(GATHERED_ROWS, rows - row);
      const from = deltas + 4 * (row * width + first);
      wasm.transposeColumns(columns, columnBytes, from, 4 * width, count, last - first, sums);
      run(row, count);
    }
  };
  return {
    add(work) {
      const { gradient, first, last, inputs, length, columns, scratch, fresh } = work;
      parts(work, 0, (row, count) => {
        const x = inputs + 4 * row * length;
        const starts = fresh && row === 0 ? 1 : 0;
        wasm.combine(gradient, columns, columnBytes, last - first, x, length, count, scratch, wide, starts);
      });
    },

    write(work) {
      const { gradient, first, last, inputs, length, columns, scratch, sums } = work;
      const units = last - first;
      wasm.clear(sums, 4 * units);
      parts(work, sums, (row, count) => {
        const x = inputs + 4 * PANEL * row;
        const starts = row === 0 ? 1 : 0;
        wasm.addColumnProducts(
          scratch,
          columns,
          columnBytes,
          units,
          x,
          panelBytes,
          length,
          count,
          wide,
          starts,
        );
      });
      wasm.unpackColumns(gradient, scratch, length, units);
    },
  };
}
