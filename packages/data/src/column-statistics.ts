/**
 * What is known of each column's vectors, where a row is those of several: what scaling and filters go by. Float64 sums
 * in the order of the rows, as in `statistics-accumulator.ts`.
 */
import { rowWidth } from "./columns.ts";
import type { CorpusColumn } from "./corpus.ts";
import { StatisticsAccumulator } from "./statistics-accumulator.ts";

/** What the scaling and the filters of one column among several go by; see `RowStatistics`. */
export interface ColumnStatistics {
  readonly column: string;
  readonly dIn: number;
  readonly totalVariance: number;
  readonly meanNorm: number;
  readonly meanSquareNorm: number;
  readonly meanCentredNorm: number;
  readonly medianNorm: number;
}

/** Statistics of each column of rows that have several. Memory: a chunk of one column's vectors. */
export class ColumnAccumulators {
  /** Numbers of a row. */
  readonly #dIn: number;
  readonly #columns: readonly CorpusColumn[];
  readonly #accumulators: readonly StatisticsAccumulator[];
  #part = new Float32Array(0);

  constructor(columns: readonly CorpusColumn[]) {
    this.#dIn = rowWidth(columns.map(({ dIn }) => dIn));
    this.#columns = columns;
    this.#accumulators = columns.map((column) => new StatisticsAccumulator(column.dIn));
  }

  /** Takes in rows `[rows, dIn]` but those in `left`, by their index. */
  add(values: Float32Array, rows: number, left: ReadonlySet<number> = new Set()): void {
    let from = 0;
    for (const [i, { dIn }] of this.#columns.entries()) {
      if (this.#part.length < rows * dIn) this.#part = new Float32Array(rows * dIn);
      let taken = 0;
      for (let row = 0; row < rows; row++) {
        if (left.has(row)) continue;
        const at = row * this.#dIn + from;
        this.#part.set(values.subarray(at, at + dIn), taken++ * dIn);
      }
      this.#accumulators[i]!.add(this.#part, taken);
      from += dIn;
    }
  }

  /** In the order of the columns. */
  finish(): ColumnStatistics[] {
    return this.#columns.map(({ name: column, dIn }, i) => {
      const found = this.#accumulators[i]!.finish();
      const { totalVariance, meanNorm, meanSquareNorm, meanCentredNorm, normQuantiles } = found;
      const medianNorm = normQuantiles.p50;
      return { column, dIn, totalVariance, meanNorm, meanSquareNorm, meanCentredNorm, medianNorm };
    });
  }
}
