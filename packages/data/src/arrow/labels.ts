/**
 * The labels of vectors, for a range of rows of one batch: columns of rows and of sequences, dictionaries.
 */
import { DataType } from "apache-arrow";
import type { Field } from "apache-arrow";
import { CorpusError } from "../errors.ts";
import type { RangeReader } from "../range-reader.ts";
import type { BufferReader } from "./buffers.ts";
import type { PlacedBatch } from "./batch-table.ts";
import type { IpcIndex } from "./ipc.ts";
import { decode, isLabelType, readBytes } from "./label-values.ts";
import type { ColumnSlice, LabelValue } from "./label-values.ts";
import { columnPlaces } from "./layout.ts";
import type { Sequences } from "./sequences.ts";
import type { VectorColumn } from "./vector-batches.ts";
import { childOf, listLevel } from "./vector-column.ts";

/** Labels of a file whose rows are sequences; a column of the same name goes first. */
export const SEQUENCE_LABELS: readonly { readonly name: string; readonly type: string }[] = [
  /** Index of the sequence in the corpus. */
  { name: "sequence", type: "Uint32" },
  /** Index of the token in its sequence. */
  { name: "position", type: "Int32" },
];

/**
 * Reads the labels of one file, a label for each vector: where rows are sequences, a column's value belongs to each
 * vector of its sequence, and a list's elements to one each. Keeps the dictionary decoded last, of each column.
 */
export class LabelReader {
  readonly #file: RangeReader;
  readonly #reader: BufferReader;
  readonly #index: IpcIndex;
  readonly #vectors: VectorColumn;
  /** Index in the corpus of each batch's first sequence. */
  readonly #firstSequences: Float64Array;
  readonly #dictionaries: Map<number, { readonly parts: number; readonly values: readonly LabelValue[] }> =
    new Map();

  /** @param firstSequence index in the corpus of the file's first sequence. */
  constructor(
    file: RangeReader,
    reader: BufferReader,
    index: IpcIndex,
    vectors: VectorColumn,
    firstSequence: number,
  ) {
    this.#file = file;
    this.#reader = reader;
    this.#index = index;
    this.#vectors = vectors;
    const batches = vectors.nested ? vectors.batches.length : 0;
    let next = firstSequence;
    this.#firstSequences = Float64Array.from({ length: batches }, (_, batch) => {
      const first = next;
      next += vectors.batches.sequences(batch)?.count ?? 0;
      return first;
    });
  }

  /**
   * The labels of vectors `firstRow .. firstRow + rows - 1` of a batch.
   * @throws CorpusError malformed, ragged (a list has not one element for each vector), and read errors.
   */
  async read(
    batchIndex: number,
    column: string,
    firstRow: number,
    rows: number,
    signal?: AbortSignal,
  ): Promise<readonly LabelValue[]> {
    const batch = this.#index.batches.at(batchIndex);
    if (batch === undefined) throw new Error("internal: no such batch");
    if (rows === 0) return [];
    const sequences = this.#vectors.batches.sequences(batchIndex);
    const place = { path: this.#file.path, batch: batchIndex, column };
    const columns = columnPlaces(this.#index.schema, batch.variadicCounts);
    const found = columns.find((one) => one.field.name === column);
    if (found === undefined) {
      if (sequences !== undefined) return this.#sequenceLabels(sequences, batchIndex, column, firstRow, rows);
      throw new CorpusError("no-label-column", "there is no such column", place);
    }
    const { field } = found;
    const slice: ColumnSlice = {
      file: this.#file,
      reader: this.#reader,
      batch,
      buffer: found.buffer,
      nulls: hasNulls(batch, found.node),
      viewBuffers: found.viewBuffers,
      place,
      signal,
    };
    if (sequences === undefined) return this.#values(field.type, slice, firstRow, rows);
    const first = sequences.find(firstRow);
    const count = sequences.find(firstRow + rows - 1) + 1 - first;
    if (isLabelType(field.type)) {
      const values = await this.#values(field.type, slice, first, count);
      return repeated(values, sequences, first, firstRow, rows);
    }
    const start = await firstElement(slice, field, sequences, first, count);
    const child = childOf(field);
    if (child === undefined) throw new Error("internal: not a list");
    const elements: ColumnSlice = {
      ...slice,
      buffer: slice.buffer + (DataType.isFixedSizeList(field.type) ? 1 : 2),
      nulls: hasNulls(batch, found.node + 1),
    };
    return this.#values(child.type, elements, start + firstRow - sequences.start(first), rows);
  }

  #sequenceLabels(
    sequences: Sequences,
    batch: number,
    column: string,
    firstRow: number,
    rows: number,
  ): LabelValue[] {
    const first = this.#firstSequences[batch] ?? 0;
    return Array.from({ length: rows }, (_, i) => {
      const { row, position } = sequences.place(firstRow + i);
      return column === "position" ? position : first + row;
    });
  }

  async #values(
    type: DataType,
    slice: ColumnSlice,
    firstRow: number,
    rows: number,
  ): Promise<readonly LabelValue[]> {
    if (!DataType.isDictionary(type)) return decode(type, slice, firstRow, rows);
    const indices = await decode(type.indices as DataType, slice, firstRow, rows);
    if (indices.every((at) => at === null)) return indices;
    const values = await this.#dictionary(slice, Number(type.id), type.dictionary as DataType);
    return indices.map((at) => {
      if (at === null) return null;
      const value = values[Number(at)];
      if (value !== undefined) return value;
      throw new CorpusError("malformed", `the dictionary has no entry ${String(at)}`, slice.place);
    });
  }

  /** A batch's dictionary: the newest whole one up to that batch, and the additions after it. */
  async #dictionary(slice: ColumnSlice, id: number, type: DataType): Promise<readonly LabelValue[]> {
    const upToHere = this.#index.dictionaries.filter(
      (one) => one.id === id && one.fromBatch <= slice.place.batch,
    );
    const known = this.#dictionaries.get(id);
    if (known?.parts === upToHere.length) return known.values;
    const start = upToHere.findLastIndex((one) => !one.isDelta);
    const values: LabelValue[] = [];
    for (const batch of upToHere.slice(Math.max(0, start))) {
      const part = await decode(
        type,
        { ...slice, batch, buffer: 0, nulls: hasNulls(batch, 0), viewBuffers: batch.variadicCounts[0] ?? 0 },
        0,
        batch.rows,
      );
      for (const value of part) values.push(value);
    }
    this.#dictionaries.set(id, { parts: upToHere.length, values });
    return values;
  }
}

function hasNulls(batch: PlacedBatch, node: number): boolean {
  return (batch.nodes[node]?.nullCount ?? 0) > 0;
}

/** A sequence's label for each of its vectors. */
function repeated(
  values: readonly LabelValue[],
  sequences: Sequences,
  first: number,
  firstRow: number,
  rows: number,
): LabelValue[] {
  const labels: LabelValue[] = [];
  for (const [i, value] of values.entries()) {
    const end = Math.min(sequences.start(first + i + 1), firstRow + rows);
    for (let row = Math.max(sequences.start(first + i), firstRow); row < end; row++) labels.push(value);
  }
  return labels;
}

/** Index of a sequence's first element in a list column, which must have an element for each vector. */
async function firstElement(
  slice: ColumnSlice,
  field: Field,
  sequences: Sequences,
  first: number,
  count: number,
): Promise<number> {
  const wrong = (sequence: number, length: number): CorpusError => {
    const vectors = sequences.start(sequence + 1) - sequences.start(sequence);
    const what = `a list of ${length} labels for ${vectors} vectors; there must be one for each`;
    return new CorpusError("ragged", what, { ...slice.place, row: sequence });
  };
  const size = listLevel(field.type)?.size;
  if (size !== undefined) {
    for (let sequence = first; sequence < first + count; sequence++) {
      if (sequences.start(sequence + 1) - sequences.start(sequence) !== size) throw wrong(sequence, size);
    }
    return first * size;
  }
  const width = DataType.isLargeList(field.type) ? 8 : 4;
  const bytes = await readBytes(slice, 1, first * width, (count + 1) * width);
  const offsets = width === 8 ? new BigInt64Array(bytes.buffer) : new Int32Array(bytes.buffer);
  for (let i = 0; i < count; i++) {
    const length = Number(offsets[i + 1]) - Number(offsets[i]);
    const vectors = sequences.start(first + i + 1) - sequences.start(first + i);
    if (length !== vectors) throw wrong(first + i, length);
  }
  return Number(offsets[0]);
}
/**
 * Arrow's name of the type of a column's labels; undefined when they are not read.
 * @param nested rows are sequences of vectors.
 */
export function labelTypeOf(field: Field, nested: boolean): string | undefined {
  if (isLabelType(field.type)) return String(field.type);
  const child = childOf(field);
  if (!nested || listLevel(field.type) === undefined || child === undefined) return undefined;
  return isLabelType(child.type) ? String(child.type) : undefined;
}
