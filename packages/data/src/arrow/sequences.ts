/**
 * Which row of the file, and which place in it, a token's row comes from, where a row of the file is a sequence.
 * Depends on nothing.
 */

/** The sequences of one batch, laid end to end as rows. */
export class Sequences {
  /** Number of sequences. */
  readonly count: number;
  /** Rows of all of them. */
  readonly rows: number;
  readonly #lengths: number | Float64Array;

  /** @param lengths the length of each, or the first row of each and, last, the number of rows. */
  constructor(count: number, lengths: number | Float64Array) {
    this.count = count;
    this.#lengths = lengths;
    this.rows = typeof lengths === "number" ? count * lengths : lengths[count]!;
  }

  /** First row of a sequence; of `count`, the number of rows. */
  start(sequence: number): number {
    return typeof this.#lengths === "number" ? sequence * this.#lengths : this.#lengths[sequence]!;
  }

  /** The sequence that holds a row; sequences without rows hold none. */
  find(row: number): number {
    if (typeof this.#lengths === "number") return Math.floor(row / this.#lengths);
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#lengths[middle]! <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Where a row comes from. */
  place(row: number): { readonly row: number; readonly position: number } {
    const sequence = this.find(row);
    return { row: sequence, position: row - this.start(sequence) };
  }
}
