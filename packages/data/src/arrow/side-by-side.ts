/**
 * Several vector columns of one file as one row: the columns' vectors side by side, in the order they were named in.
 * Checks that their batches fit together, and reads ranges of such rows.
 */
import { CorpusError } from "../errors.ts";
import type { BufferReader } from "./buffers.ts";
import type { VectorColumn } from "./vector-batches.ts";
import { deliveredType, valueBytes } from "./vector-column.ts";
import { readVectors } from "./vector-reader.ts";

/** @throws CorpusError dimension-mismatch, unless all columns have the first one's number type, and its rows in each batch. */
export function requireSideBySide(path: string, columns: readonly VectorColumn[]): void {
  const [first, ...others] = columns;
  if (first === undefined) throw new Error("internal: no columns");
  const type = deliveredType(first.stored);
  for (const other of others) {
    const place = { path, column: other.column };
    if (deliveredType(other.stored) !== type) {
      const what = `holds ${deliveredType(other.stored)}, but "${first.column}" ${type}; columns read together must have one type`;
      throw new CorpusError("dimension-mismatch", what, place);
    }
    if (other.nested !== first.nested) {
      const [sequences, vectors] = first.nested ? [first, other] : [other, first];
      const what = `"${sequences.column}" holds sequences of vectors and "${vectors.column}" vectors: they have no rows in common`;
      throw new CorpusError("dimension-mismatch", what, place);
    }
    for (let batch = 0; batch < first.batches.length; batch++) requireSameRows(path, batch, first, other);
  }
}

function requireSameRows(path: string, batch: number, first: VectorColumn, other: VectorColumn): void {
  const [rows, otherRows] = [first.batches.rows[batch]!, other.batches.rows[batch]!];
  const [one, two] = [first.batches.sequences(batch), other.batches.sequences(batch)];
  let same = rows === otherRows && one?.count === two?.count;
  for (let i = 0; same && one !== undefined && two !== undefined && i < one.count; i++) {
    same = one.start(i) === two.start(i);
  }
  if (same) return;
  const what =
    rows === otherRows
      ? `its sequences are not as long as those of "${first.column}"`
      : `${otherRows} vectors, but "${first.column}" has ${rows}`;
  throw new CorpusError("dimension-mismatch", `${what}; columns read together must have the same rows`, {
    path,
    batch,
    column: other.column,
  });
}

/**
 * Reads rows `firstRow .. firstRow + rows - 1` of a batch into `into`, `[rows, sum of widths]` numbers.
 * @param widths dimensions of each column's vectors.
 */
export async function readSideBySide(
  reader: BufferReader,
  columns: readonly VectorColumn[],
  widths: readonly number[],
  range: { readonly batch: number; readonly firstRow: number; readonly rows: number },
  into: Uint8Array,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const numberBytes = valueBytes(deliveredType(columns[0]!.stored));
  const rowBytes = numberBytes * widths.reduce((sum, width) => sum + width, 0);
  let from = 0;
  for (const [i, vectors] of columns.entries()) {
    const width = widths[i]!;
    const partBytes = width * numberBytes;
    const part = new Uint8Array(range.rows * partBytes);
    const place = { path, batch: range.batch, column: vectors.column };
    await readVectors(reader, vectors, width, range, part, place, signal);
    for (let row = 0; row < range.rows; row++) {
      into.set(part.subarray(row * partBytes, (row + 1) * partBytes), row * rowBytes + from);
    }
    from += partBytes;
  }
}
