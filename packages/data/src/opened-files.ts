/**
 * The files of a corpus, opened: what their headers say, what they must agree on, and what is said of them. Reads no values.
 */
import type { Field } from "apache-arrow";
import type { BufferReader } from "./arrow/buffers.ts";
import { indexIpc } from "./arrow/ipc.ts";
import type { IpcIndex } from "./arrow/ipc.ts";
import { requireSideBySide } from "./arrow/side-by-side.ts";
import { locateVectors } from "./arrow/vector-batches.ts";
import type { VectorColumn } from "./arrow/vector-batches.ts";
import { chooseVectorColumn, deliveredType } from "./arrow/vector-column.ts";
import type { ValueType } from "./arrow/vector-column.ts";
import type { CorpusColumn } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import type { RangeReader } from "./range-reader.ts";
import type { Storage } from "./storage.ts";

/** A file, and where its vectors are. */
export interface OpenedFile {
  readonly file: RangeReader;
  readonly index: IpcIndex;
  /** The first vector column: the one that labels and places go by. */
  readonly vectors: VectorColumn;
  /** All of them. */
  readonly columns: readonly VectorColumn[];
}

/**
 * Opens one file.
 * @param names of its vector columns; undefined: the only one there is.
 * @param namedBy the file that they were taken from, where nobody gave them.
 * @throws CorpusError for whatever is wrong with it.
 */
export async function openFile(
  storage: Storage,
  reader: BufferReader,
  path: string,
  names: readonly (string | undefined)[],
  signal: AbortSignal | undefined,
  namedBy?: string,
): Promise<OpenedFile> {
  signal?.throwIfAborted();
  const file = await storage.open(path, signal);
  const index = await indexIpc(file, signal);
  const columns: VectorColumn[] = [];
  for (const name of names) {
    const field: Field = chooseVectorColumn(index.schema, name, path, namedBy);
    columns.push(await locateVectors(file, index, field, reader, signal));
  }
  const [vectors] = columns;
  if (vectors === undefined) throw new Error("internal: no columns");
  if (columns.length > 1) requireSideBySide(path, columns);
  return { file, index, vectors, columns };
}

/** The columns' dimensions and the number type that all files share. @throws CorpusError empty, dimension-mismatch. */
export function commonShape(opened: readonly OpenedFile[]): { columns: CorpusColumn[]; type: ValueType } {
  const withRows = opened.filter((one) => one.vectors.batches.totalRows > 0);
  const first = withRows[0];
  if (first === undefined) {
    const path = opened.length === 1 ? opened[0]?.file.path : undefined;
    throw new CorpusError("empty", "there are no rows", { path });
  }
  const type = deliveredType(first.vectors.stored);
  const columns = first.columns.map(({ column, dIn }) => {
    // Batches with rows have vectors of some length.
    if (dIn === undefined)
      throw new CorpusError("empty", "there are no rows", { path: first.file.path, column });
    return { name: column, dIn };
  });
  for (const file of withRows) {
    for (const [i, other] of file.columns.entries()) {
      const { name, dIn } = columns[i]!;
      if (other.dIn === dIn && deliveredType(other.stored) === type) continue;
      const what = `${other.dIn} x ${other.stored}, but ${first.file.path} has ${dIn} x ${type}; the files of a corpus must agree`;
      throw new CorpusError("dimension-mismatch", what, { path: file.file.path, column: name });
    }
  }
  return { columns, type };
}

/** Sequences in the file: none where its rows are vectors. */
export function sequenceCount(vectors: VectorColumn): number {
  if (!vectors.nested) return 0;
  let count = 0;
  for (let batch = 0; batch < vectors.batches.length; batch++) {
    count += vectors.batches.sequences(batch)?.count ?? 0;
  }
  return count;
}

/** What is not read as it is stored. */
export function notesOn(opened: readonly OpenedFile[]): string[] {
  const notes: string[] = [];
  const sequences = opened.reduce((sum, { vectors }) => sum + sequenceCount(vectors), 0);
  if (sequences > 0) notes.push(`${sequences} sequences are read as one row per vector`);
  for (const type of ["float64", "bfloat16"] as const) {
    if (opened.some(({ vectors }) => vectors.stored === type)) {
      notes.push(`numbers stored as ${type} are converted to float32`);
    }
  }
  const isPacked = opened.some(({ vectors }) => vectors.batches.isPacked);
  if (isPacked) {
    notes.push("compressed batches are unpacked whole: uncompressed files are read several times faster");
  }
  return notes;
}
