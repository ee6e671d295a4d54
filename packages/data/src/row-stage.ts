/**
 * Collects the vectors of one record batch as they are stored: rounded to float16 where that is asked for, and, where
 * rows are the vectors of several columns, each column's in memory of its own. Used by the writer only.
 */
import { valueBytes } from "./arrow/vector-column.ts";
import type { ValueType } from "./arrow/vector-column.ts";
import { rowWidth, takePart } from "./columns.ts";
import type { CorpusColumn } from "./corpus.ts";
import { firstNonFinite } from "./finite.ts";
import { encodeFloat16 } from "./float16.ts";

/** One column's numbers. */
interface Part {
  readonly width: number;
  /** Where its vectors begin in a row. */
  readonly from: number;
  readonly staged: Uint8Array<ArrayBuffer>;
}

/** Rows of one record batch on their way to the file. */
export class RowStage {
  readonly #type: ValueType;
  readonly #dIn: number;
  readonly #parts: readonly Part[];
  #scratch: Float32Array = new Float32Array(0);
  #rows = 0;

  /** Memory for `mostRows` rows. */
  constructor(columns: readonly CorpusColumn[], type: ValueType, mostRows: number) {
    this.#type = type;
    this.#dIn = rowWidth(columns.map(({ dIn }) => dIn));
    let from = 0;
    this.#parts = columns.map(({ dIn: width }) => {
      const part = { width, from, staged: new Uint8Array(mostRows * width * valueBytes(type)) };
      from += width;
      return part;
    });
  }

  /** Rows taken in since `finish`. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Takes rows in.
   * @param values `[rows, dIn]`.
   * @returns the index in `values` of the first number that cannot be stored, or -1.
   */
  append(values: Float32Array): number {
    const rows = values.length / this.#dIn;
    let firstBad = -1;
    for (const { width, from, staged } of this.#parts) {
      const bad = store(this.#partOf(values, rows, from, width), this.#type, staged, this.#rows * width);
      if (bad < 0) continue;
      const index = Math.floor(bad / width) * this.#dIn + from + (bad % width);
      if (firstBad < 0 || index < firstBad) firstBad = index;
    }
    this.#rows += rows;
    return firstBad;
  }

  /** Each column's numbers, in memory that is used again; empties the stage. */
  finish(): readonly Uint8Array[] {
    const rows = this.#rows;
    this.#rows = 0;
    return this.#parts.map(({ width, staged }) => staged.subarray(0, rows * width * valueBytes(this.#type)));
  }

  #partOf(values: Float32Array, rows: number, from: number, width: number): Float32Array {
    if (width === this.#dIn) return values;
    if (this.#scratch.length < rows * width) this.#scratch = new Float32Array(rows * width);
    const part = this.#scratch.subarray(0, rows * width);
    takePart(values, this.#dIn, from, width, part);
    return part;
  }
}

/** Stores numbers from index `at` on; returns the index of the first that cannot be stored, or -1. */
function store(values: Float32Array, type: ValueType, staged: Uint8Array<ArrayBuffer>, at: number): number {
  if (type === "float16") return encodeFloat16(values, new Uint16Array(staged.buffer), at);
  new Float32Array(staged.buffer).set(values, at);
  return firstNonFinite(values);
}
