/**
 * The column of activation vectors: which one it is, and where each batch's values lie as one contiguous block
 * of rows. What cannot be read as such a block (nulls, ragged lists, other number types) is refused with the
 * place. Reads offsets and validity bitmaps only, never the values.
 */
import { DataType, Precision } from "apache-arrow";
import type { Field, Schema } from "apache-arrow";
import { CorpusError } from "../errors.ts";
import type { RangeReader } from "../range-reader.ts";
import type { IpcIndex, PlacedBatch } from "./ipc.ts";
import { columnPlaces } from "./layout.ts";

/** How the numbers of a corpus are stored. */
export type ValueType = "float16" | "float32";

/** Bytes per number. */
export function valueBytes(type: ValueType): 2 | 4 {
  return type === "float16" ? 2 : 4;
}

/** The vectors of one record batch: `rows * dIn` numbers, contiguous, from a byte position of the file on. */
export interface BatchValues {
  readonly rows: number;
  readonly position: number;
}

/** The vectors of one file. */
export interface VectorColumn {
  readonly column: string;
  readonly type: ValueType;
  /** Undefined when the file has no rows and its type does not fix the length. */
  readonly dIn: number | undefined;
  readonly batches: readonly BatchValues[];
}

type ListKind = "fixed" | "list" | "large-list";

/** Bytes of offsets or bitmap examined at a time. */
const SCAN_BYTES = 1024 * 1024;

/**
 * Chooses the vector column by name, or as the only candidate.
 * @throws CorpusError no-vector-column, ambiguous-column, unsupported.
 */
export function chooseVectorColumn(schema: Schema, name: string | undefined, path: string): Field {
  const fields: readonly Field[] = schema.fields;
  if (name !== undefined) {
    const field = fields.find((candidate) => candidate.name === name);
    if (field === undefined) {
      throw new CorpusError("no-vector-column", `there is no column "${name}"; ${listColumns(fields)}`, {
        path,
      });
    }
    if (valueTypeOf(field) === undefined) {
      throw new CorpusError(refusalKind(field), refusal(field), { path, column: name });
    }
    return field;
  }
  const candidates = fields.filter((field) => valueTypeOf(field) !== undefined);
  const only = candidates[0];
  if (only !== undefined && candidates.length === 1) return only;
  if (only !== undefined) {
    const names = candidates.map((field) => `"${field.name}"`).join(", ");
    throw new CorpusError("ambiguous-column", `several columns hold vectors (${names}); name one`, { path });
  }
  const near = fields.find((field) => refusalKind(field) === "unsupported");
  if (near !== undefined) throw new CorpusError("unsupported", refusal(near), { path, column: near.name });
  throw new CorpusError(
    "no-vector-column",
    `no column holds lists of float16 or float32; ${listColumns(fields)}`,
    { path },
  );
}

/**
 * Finds the values of every batch of a file.
 * @throws CorpusError unsupported, nulls, ragged, malformed.
 */
export async function locateVectors(
  file: RangeReader,
  index: IpcIndex,
  field: Field,
  signal?: AbortSignal,
): Promise<VectorColumn> {
  const type = valueTypeOf(field);
  const kind = listKind(field.type);
  if (type === undefined || kind === undefined) throw new Error("internal: not a vector column");
  const place: ColumnContext = { file, field, kind, type, schema: index.schema, signal };
  let dIn = DataType.isFixedSizeList(field.type) ? field.type.listSize : undefined;
  const batches: BatchValues[] = [];
  for (const [i, batch] of index.batches.entries()) {
    const found = await locateBatch(place, batch, i, dIn);
    batches.push(found.values);
    dIn ??= found.dIn;
  }
  if (dIn === 0) {
    throw new CorpusError("unsupported", "its vectors have no dimensions", {
      path: file.path,
      column: field.name,
    });
  }
  return { column: field.name, type, dIn, batches };
}

interface ColumnContext {
  readonly file: RangeReader;
  readonly field: Field;
  readonly kind: ListKind;
  readonly type: ValueType;
  readonly schema: Schema;
  readonly signal: AbortSignal | undefined;
}

async function locateBatch(
  context: ColumnContext,
  batch: PlacedBatch,
  batchIndex: number,
  expectedDIn: number | undefined,
): Promise<{ values: BatchValues; dIn: number | undefined }> {
  const { file, field, kind, type } = context;
  const at = { path: file.path, batch: batchIndex, column: field.name };
  const { rows } = batch;
  if (rows === 0) return { values: { rows: 0, position: batch.bodyPosition }, dIn: undefined };
  if (batch.compressed) {
    throw new CorpusError(
      "unsupported",
      'the batch is compressed; write the file uncompressed (pyarrow: compression=None, write_feather: compression="uncompressed")',
      at,
    );
  }
  const place = columnPlaces(context.schema, batch.variadicCounts).find((one) => one.field === field);
  if (place === undefined) throw new Error("internal: the column is not in its schema");
  const node = batch.nodes[place.node];
  const childNode = batch.nodes[place.node + 1];
  const validity = batch.buffers[place.buffer];
  const childValidity = batch.buffers[place.buffer + (kind === "fixed" ? 1 : 2)];
  const values = batch.buffers[place.buffer + (kind === "fixed" ? 2 : 3)];
  if (!node || !childNode || !validity || !childValidity || !values || node.length !== rows) {
    throw new CorpusError("malformed", "the batch's header does not fit its schema", at);
  }
  if (node.nullCount > 0) {
    const bit = await firstZeroBit(context, batch.bodyPosition + validity.offset, validity.length, rows);
    const what = `${node.nullCount} of the batch's vectors are null; remove these rows before writing`;
    throw new CorpusError("nulls", what, { ...at, row: bit });
  }
  const stride =
    kind === "fixed"
      ? { first: 0, dIn: expectedDIn ?? 0 }
      : await listStride(context, batch, batchIndex, place.buffer + 1, expectedDIn);
  const { first, dIn } = stride;
  const count = rows * dIn;
  const bytes = valueBytes(type);
  if (childNode.length < first + count || values.length < (first + count) * bytes) {
    throw new CorpusError("malformed", `${rows} vectors of ${dIn} numbers do not fit its buffers`, at);
  }
  if (childNode.nullCount > 0) {
    const position = batch.bodyPosition + childValidity.offset;
    const bit = await firstZeroBit(context, position, childValidity.length, first + count, first);
    // Nulls outside of the rows (a sliced list) do no harm.
    if (bit !== undefined) {
      const row = Math.floor((bit - first) / dIn);
      throw new CorpusError("nulls", "a number of the vector is null; remove the row or fill it in", {
        ...at,
        row,
      });
    }
  }
  return { values: { rows, position: batch.bodyPosition + values.offset + first * bytes }, dIn };
}

/** Verifies that the lists of a batch follow each other and have one length. */
async function listStride(
  context: ColumnContext,
  batch: PlacedBatch,
  batchIndex: number,
  bufferIndex: number,
  expectedDIn: number | undefined,
): Promise<{ first: number; dIn: number }> {
  const { file, field, kind } = context;
  const at = { path: file.path, batch: batchIndex, column: field.name };
  const width = kind === "large-list" ? 8 : 4;
  const region = batch.buffers[bufferIndex];
  const needed = (batch.rows + 1) * width;
  if (region === undefined || region.length < needed) {
    throw new CorpusError("malformed", "the list offsets do not fit their buffer", at);
  }
  let first: number | undefined;
  let previous = 0;
  let dIn = expectedDIn;
  let row = -1;
  for (let done = 0; done < needed; done += SCAN_BYTES) {
    const bytes = new Uint8Array(Math.min(SCAN_BYTES, needed - done));
    await file.read(bytes, batch.bodyPosition + region.offset + done, context.signal);
    const offsets = width === 4 ? new Int32Array(bytes.buffer) : new BigInt64Array(bytes.buffer);
    for (const raw of offsets) {
      const offset = Number(raw);
      if (first === undefined) first = offset;
      else {
        row++;
        dIn ??= offset - previous;
        if (offset - previous !== dIn) {
          const what = `a list of ${offset - previous} numbers where the first has ${dIn}; all rows must have one length`;
          throw new CorpusError("ragged", what, { ...at, row });
        }
      }
      previous = offset;
    }
  }
  if (first === undefined || first < 0 || dIn === undefined || dIn < 0) {
    throw new CorpusError("malformed", "the list offsets make no sense", at);
  }
  return { first, dIn };
}

/** Index of the first zero bit from `from` on, below `bits`; undefined when there is none. */
async function firstZeroBit(
  context: ColumnContext,
  position: number,
  available: number,
  bits: number,
  from = 0,
): Promise<number | undefined> {
  const end = Math.min(available, Math.ceil(bits / 8));
  for (let start = from >> 3; start < end; start += SCAN_BYTES) {
    const bytes = new Uint8Array(Math.min(SCAN_BYTES, end - start));
    await context.file.read(bytes, position + start, context.signal);
    for (const [i, byte] of bytes.entries()) {
      if (byte === 0xff) continue;
      for (let bit = 8 * (start + i); bit < Math.min(8 * (start + i + 1), bits); bit++) {
        if (bit >= from && ((byte >> (bit & 7)) & 1) === 0) return bit;
      }
    }
  }
  return undefined;
}

function listKind(type: DataType): ListKind | undefined {
  if (DataType.isFixedSizeList(type)) return "fixed";
  if (DataType.isList(type)) return "list";
  if (DataType.isLargeList(type)) return "large-list";
  return undefined;
}

function valueTypeOf(field: Field): ValueType | undefined {
  const type: DataType = field.type;
  if (listKind(type) === undefined) return undefined;
  const item = (type.children as readonly Field[])[0]?.type as DataType | undefined;
  if (item === undefined || !DataType.isFloat(item)) return undefined;
  if (item.precision === Precision.HALF) return "float16";
  return item.precision === Precision.SINGLE ? "float32" : undefined;
}

/** `unsupported` for vectors of numbers that could be converted, else `no-vector-column`. */
function refusalKind(field: Field): "unsupported" | "no-vector-column" {
  const type: DataType = field.type;
  if (listKind(type) === undefined) return "no-vector-column";
  const item = (type.children as readonly Field[])[0]?.type as DataType | undefined;
  if (item === undefined) return "no-vector-column";
  return DataType.isFloat(item) || listKind(item) !== undefined ? "unsupported" : "no-vector-column";
}

function refusal(field: Field): string {
  const type = String(field.type);
  if (refusalKind(field) === "unsupported") {
    const item = (field.type.children as readonly Field[])[0]?.type as DataType;
    return DataType.isFloat(item)
      ? `has type ${type}; write float32 or float16 instead`
      : `has type ${type}, lists of lists; write one row per vector instead`;
  }
  return `has type ${type}; vectors must be FixedSizeList, List or LargeList of float16 or float32`;
}

function listColumns(fields: readonly Field[]): string {
  const names = fields.map((field) => `"${field.name}" ${String(field.type)}`);
  return names.length === 0 ? "the file has no columns" : `its columns are ${names.join(", ")}`;
}
