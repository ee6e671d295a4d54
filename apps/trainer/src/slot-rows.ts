/**
 * A corpus's rows in a model's slots. A transcoder's rows are what it reads and what it is to rebuild, side by side; its
 * slots have all inputs first and all targets after them, so that kernels find each as rows of one width.
 */
import { inputDimension, type ModelSetup, rowDimension } from "@sparseloom/core";

/** Whether a slot's memory has the rows in another order than the corpus. */
export function isTranscoder(model: ModelSetup): boolean {
  return model.kind === "sparse" && model.dOut !== undefined;
}

/** Puts `count` rows of the corpus, from row `from` of `rows` on, into a slot of `batchRows` rows. */
export function putRows(
  slot: Float32Array,
  rows: Float32Array,
  from: number,
  count: number,
  model: ModelSetup,
  batchRows: number,
): void {
  const width = rowDimension(model);
  if (!isTranscoder(model)) return slot.set(rows.subarray(from * width, (from + count) * width));
  const dIn = inputDimension(model);
  const targets = batchRows * dIn;
  for (let row = 0; row < count; row++) {
    const at = (from + row) * width;
    slot.set(rows.subarray(at, at + dIn), row * dIn);
    slot.set(rows.subarray(at + dIn, at + width), targets + row * (width - dIn));
  }
}

/** What a model reads, or rebuilds, of rows of the corpus [any number, its dimension]: the rows, or a part of each. */
export function partOfRows(rows: Float32Array, model: ModelSetup, part: "input" | "target"): Float32Array {
  if (!isTranscoder(model)) return rows;
  const width = rowDimension(model);
  const dIn = inputDimension(model);
  const [first, last] = part === "input" ? [0, dIn] : [dIn, width];
  const length = last - first;
  const parts = new Float32Array((rows.length / width) * length);
  for (let row = 0; row * width < rows.length; row++)
    parts.set(rows.subarray(row * width + first, row * width + last), row * length);
  return parts;
}
