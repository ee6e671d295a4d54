/**
 * Where each batch's vectors lie, as one contiguous block of numbers. What cannot be read as such a block (nulls,
 * ragged lists, offsets that make no sense) is refused with the place. Reads offsets and validity bitmaps only,
 * never the values.
 *
 *   vectors                rows -> numbers          offsets [rows + 1] in numbers, or a fixed length
 *   sequences of vectors   sequences -> rows        offsets [sequences + 1] in rows, or a fixed length
 *                          rows -> numbers          as above, from the first sequence's first row on
 */
import type { Field, Schema } from "apache-arrow";
import { CorpusError } from "../errors.ts";
import type { CorpusErrorPlace } from "../errors.ts";
import type { RangeReader } from "../range-reader.ts";
import type { PlacedBatch } from "./batch-table.ts";
import { findBuffer } from "./buffers.ts";
import type { BufferReader } from "./buffers.ts";
import type { FieldNode } from "./headers.ts";
import type { IpcIndex } from "./ipc.ts";
import { columnPlaces } from "./layout.ts";
import { Sequences } from "./sequences.ts";
import { ValuesTable } from "./values-table.ts";
import type { BatchValues } from "./values-table.ts";
import { valueBytes, vectorTypeOf } from "./vector-column.ts";
import type { ListLevel, StoredType, VectorType } from "./vector-column.ts";

/** The vectors of one file. */
export interface VectorColumn {
  readonly column: string;
  readonly stored: StoredType;
  /** True when the file's rows are sequences of vectors. */
  readonly nested: boolean;
  /** Undefined when the file has no rows and its type does not fix the length. */
  readonly dIn: number | undefined;
  readonly batches: ValuesTable;
}

/** Bytes of offsets or bitmap examined at a time. */
const SCAN_BYTES = 1024 * 1024;

/**
 * Finds the values of every batch of a file.
 * @throws CorpusError unsupported, nulls, ragged, malformed.
 */
export async function locateVectors(
  file: RangeReader,
  index: IpcIndex,
  field: Field,
  reader: BufferReader,
  signal?: AbortSignal,
): Promise<VectorColumn> {
  const type = vectorTypeOf(field);
  if (type === undefined) throw new Error("internal: not a vector column");
  const { levels, stored } = type;
  let dIn = levels[levels.length - 1]!.size;
  const batches = new ValuesTable(file, index.batches.length);
  // One piece of memory for all scans of the file: a large one has gigabytes of offsets.
  let memory = new Uint8Array(0);
  const scratch = (bytes: number): Uint8Array<ArrayBuffer> => {
    if (memory.byteLength < bytes) memory = new Uint8Array(bytes);
    return memory.subarray(0, bytes);
  };
  for (let i = 0; i < index.batches.length; i++) {
    const batch = index.batches.at(i)!;
    const place = { path: file.path, batch: i, column: field.name };
    const context = { file, batch, field, schema: index.schema, type, place, reader, scratch, signal };
    const found = await locateBatch(context, dIn);
    batches.set(i, found.values);
    dIn ??= found.dIn;
  }
  if (dIn !== undefined && dIn <= 0) {
    const place = { path: file.path, column: field.name };
    throw new CorpusError("unsupported", "its vectors have no dimensions", place);
  }
  return { column: field.name, stored, nested: levels.length === 2, dIn, batches };
}

interface BatchContext {
  readonly file: RangeReader;
  readonly batch: PlacedBatch;
  readonly field: Field;
  readonly schema: Schema;
  readonly type: VectorType;
  readonly place: { readonly path: string; readonly batch: number; readonly column: string };
  readonly reader: BufferReader;
  /** Memory for a scan, at its start; the next scan uses it again. */
  readonly scratch: (bytes: number) => Uint8Array<ArrayBuffer>;
  readonly signal: AbortSignal | undefined;
}

/** The elements of a level's lists: `count` of them, from element `first` of the level below on. */
interface Range {
  readonly first: number;
  readonly count: number;
}

async function locateBatch(
  context: BatchContext,
  expectedDIn: number | undefined,
): Promise<{ values: BatchValues; dIn: number | undefined }> {
  const { batch, type, place, file } = context;
  const found = columnPlaces(context.schema, batch.variadicCounts).find((one) => one.field === context.field);
  if (found === undefined) throw new Error("internal: the column is not in its schema");
  if (nodeAt(context, found.node).length !== batch.rows) throw misfit(place);

  let { node, buffer } = found;
  let range: Range = { first: 0, count: batch.rows };
  let sequences: Sequences | undefined;
  const [outer, inner] = type.levels;
  if (inner !== undefined) {
    if (outer.size !== undefined && outer.size < 0) throw misfit(place);
    await refuseNullLists(context, node, buffer, range, (bit) => ({ row: bit }), "sequences");
    const found = await sequenceRange(context, outer, buffer + 1, range);
    sequences = found.sequences;
    range = found.range;
    node++;
    buffer += buffersOf(outer);
    requireNode(nodeAt(context, node), range, place);
  }
  const vectors = inner ?? outer;
  const placeOf = (row: number): Partial<CorpusErrorPlace> => sequences?.place(row) ?? { row };
  await refuseNullLists(context, node, buffer, range, (bit) => placeOf(bit - range.first), "vectors");
  const stride =
    vectors.size === undefined
      ? await vectorStride(context, vectors, buffer + 1, range, expectedDIn, placeOf)
      : { first: range.first * vectors.size, dIn: vectors.size };
  node++;
  buffer += buffersOf(vectors);
  const source = await findBuffer(file, batch, buffer + 1, place, context.signal);
  const { first } = stride;
  const dIn = stride.dIn ?? expectedDIn;
  const numbers = { first, count: range.count * (dIn ?? 0) };
  const bytes = valueBytes(type.stored);
  const child = nodeAt(context, node);
  if (child.length < first + numbers.count || source.length < (first + numbers.count) * bytes) {
    const what = `${range.count} vectors of ${dIn} numbers do not fit its buffers`;
    throw new CorpusError("malformed", what, place);
  }
  if (child.nullCount > 0 && dIn !== undefined) {
    const bit = await firstNull(context, buffer, numbers);
    // Nulls outside of the rows (a sliced list) do no harm.
    if (bit !== undefined) {
      const what = "a number of the vector is null; remove the row or fill it in";
      throw new CorpusError("nulls", what, { ...place, ...placeOf(Math.floor((bit - first) / dIn)) });
    }
  }
  return { values: { rows: range.count, source, offset: first * bytes, sequences }, dIn };
}

/** The rows that the sequences of a batch hold. */
async function sequenceRange(
  context: BatchContext,
  level: ListLevel,
  offsets: number,
  lists: Range,
): Promise<{ range: Range; sequences: Sequences }> {
  const { count } = lists;
  if (level.size !== undefined) {
    return {
      range: { first: 0, count: count * level.size },
      sequences: new Sequences(count, level.size),
    };
  }
  let first = 0;
  let length: number | undefined;
  let previous = 0;
  let starts: Float64Array | undefined;
  await eachOffset(context, level, offsets, lists, (offset, i) => {
    if (i === 0) first = offset;
    else {
      if (offset < previous) {
        const what = "the offsets of the sequences do not ascend";
        throw new CorpusError("malformed", what, { ...context.place, row: i - 1 });
      }
      length ??= offset - previous;
      if (starts === undefined && offset - previous !== length) {
        // The buffer of offsets has been found to be there, so memory of its size is justified.
        starts = new Float64Array(count + 1);
        for (let j = 0; j < i; j++) starts[j] = j * length;
      }
      if (starts !== undefined) starts[i] = offset - first;
    }
    previous = offset;
  });
  if (first < 0)
    throw new CorpusError("malformed", "the offsets of the sequences make no sense", context.place);
  return {
    range: { first, count: previous - first },
    sequences: new Sequences(count, starts ?? length ?? 0),
  };
}

/** Verifies that the vectors of a batch follow each other and have one length. */
async function vectorStride(
  context: BatchContext,
  level: ListLevel,
  offsets: number,
  rows: Range,
  expectedDIn: number | undefined,
  placeOf: (row: number) => Partial<CorpusErrorPlace>,
): Promise<{ first: number; dIn: number | undefined }> {
  if (rows.count === 0) return { first: 0, dIn: undefined };
  let first = 0;
  let previous = 0;
  let dIn = expectedDIn;
  await eachOffset(context, level, offsets, rows, (offset, i) => {
    if (i === 0) first = offset;
    else {
      dIn ??= offset - previous;
      if (offset - previous !== dIn) {
        const what = `a list of ${offset - previous} numbers where the first has ${dIn}; all rows must have one length`;
        throw new CorpusError("ragged", what, { ...context.place, ...placeOf(i - 1) });
      }
    }
    previous = offset;
  });
  if (first < 0 || dIn === undefined || dIn < 0) {
    throw new CorpusError("malformed", "the list offsets make no sense", context.place);
  }
  return { first, dIn };
}

/** Visits offsets `lists.first` to `lists.first + lists.count`, both included, in order. */
async function eachOffset(
  context: BatchContext,
  level: ListLevel,
  buffer: number,
  lists: Range,
  visit: (offset: number, index: number) => void,
): Promise<void> {
  const { file, batch, place, reader, signal } = context;
  if (lists.count === 0) return;
  const width = level.kind === "large-list" ? 8 : 4;
  const source = await findBuffer(file, batch, buffer, place, signal);
  const start = lists.first * width;
  const needed = (lists.count + 1) * width;
  if (source.length < start + needed) {
    throw new CorpusError("malformed", "the list offsets do not fit their buffer", place);
  }
  let index = 0;
  for (let done = 0; done < needed; done += SCAN_BYTES) {
    const bytes = context.scratch(Math.min(SCAN_BYTES, needed - done));
    await reader.read(source, start + done, bytes, place, signal);
    const count = bytes.byteLength / width;
    const offsets =
      width === 4 ? new Int32Array(bytes.buffer, 0, count) : new BigInt64Array(bytes.buffer, 0, count);
    for (const offset of offsets) visit(Number(offset), index++);
  }
}

async function refuseNullLists(
  context: BatchContext,
  node: number,
  buffer: number,
  lists: Range,
  placeOf: (bit: number) => Partial<CorpusErrorPlace>,
  what: "sequences" | "vectors",
): Promise<void> {
  const { nullCount } = nodeAt(context, node);
  if (nullCount === 0) return;
  const bit = await firstNull(context, buffer, lists);
  if (bit === undefined) return;
  const message = `${nullCount} of the batch's ${what} are null; remove these rows before writing`;
  throw new CorpusError("nulls", message, { ...context.place, ...placeOf(bit) });
}

/** Index of the first zero bit of a validity bitmap within a range; undefined when there is none. */
async function firstNull(context: BatchContext, buffer: number, range: Range): Promise<number | undefined> {
  const { file, batch, place, reader, signal } = context;
  const source = await findBuffer(file, batch, buffer, place, signal);
  const bits = range.first + range.count;
  const end = Math.ceil(bits / 8);
  if (source.length < end) {
    throw new CorpusError("malformed", "a validity bitmap does not fit its buffer", place);
  }
  for (let start = Math.floor(range.first / 8); start < end; start += SCAN_BYTES) {
    const bytes = context.scratch(Math.min(SCAN_BYTES, end - start));
    await reader.read(source, start, bytes, place, signal);
    for (const [i, byte] of bytes.entries()) {
      if (byte === 0xff) continue;
      for (let bit = 8 * (start + i); bit < Math.min(8 * (start + i + 1), bits); bit++) {
        if (bit >= range.first && ((byte >> (bit % 8)) & 1) === 0) return bit;
      }
    }
  }
  return undefined;
}

function nodeAt(context: BatchContext, index: number): FieldNode {
  const node = context.batch.nodes[index];
  if (node === undefined) throw misfit(context.place);
  return node;
}

function requireNode(node: FieldNode, range: Range, place: CorpusErrorPlace): void {
  if (node.length < range.first + range.count) {
    throw new CorpusError("malformed", "the sequences hold more vectors than there are", place);
  }
}

/** Buffers of a list level before those of its elements. */
function buffersOf(level: ListLevel): number {
  return level.kind === "fixed" ? 1 : 2;
}

function misfit(place: CorpusErrorPlace): CorpusError {
  return new CorpusError("malformed", "the batch's header does not fit its schema", place);
}
