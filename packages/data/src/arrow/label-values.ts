/**
 * Decodes ranges of label columns, type by type. Reads only the bytes of the rows asked for.
 */
import { DataType, Precision } from "apache-arrow";
import { CorpusError } from "../errors.ts";
import type { RangeReader } from "../range-reader.ts";
import type { PlacedBatch } from "./batch-table.ts";
import { findBuffer } from "./buffers.ts";
import type { BufferReader } from "./buffers.ts";

/** A label: null where the file has a null. Int64 and Uint64 columns give bigints. */
export type LabelValue = string | number | bigint | boolean | null;
/** The parts of a batch that hold one column, an element of a list column, or the values of a dictionary. */
export interface ColumnSlice {
  readonly file: RangeReader;
  readonly reader: BufferReader;
  readonly batch: PlacedBatch;
  readonly buffer: number;
  readonly nulls: boolean;
  /** Buffers of text that a column of string views has. */
  readonly viewBuffers: number;
  readonly place: { readonly path: string; readonly batch: number; readonly column: string };
  readonly signal: AbortSignal | undefined;
}

type Decoder = (slice: ColumnSlice, firstRow: number, rows: number) => Promise<LabelValue[]>;

/** Labels of rows `firstRow .. firstRow + rows - 1`. @throws CorpusError malformed, and read errors. */
export async function decode(
  type: DataType,
  slice: ColumnSlice,
  firstRow: number,
  rows: number,
): Promise<LabelValue[]> {
  const decoder = decoderOf(type);
  if (decoder === undefined) throw new Error("internal: not a label type");
  const values = await decoder(slice, firstRow, rows);
  if (!slice.nulls) return values;
  const bitmap = await readValidity(slice, firstRow, rows);
  return values.map((value, i) => (bitAt(bitmap, (firstRow % 8) + i) ? value : null));
}

/** True when a column of this type can be read as labels. */
export function isLabelType(type: DataType): boolean {
  if (!DataType.isDictionary(type)) return decoderOf(type) !== undefined;
  return (
    decoderOf(type.indices as DataType) !== undefined && decoderOf(type.dictionary as DataType) !== undefined
  );
}

function decoderOf(type: DataType): Decoder | undefined {
  if (DataType.isInt(type)) {
    const make = integerView(type.bitWidth, type.isSigned);
    return make === undefined ? undefined : fixedWidth(type.bitWidth / 8, make);
  }
  if (DataType.isFloat(type)) {
    if (type.precision === Precision.SINGLE) return fixedWidth(4, (buffer) => new Float32Array(buffer));
    if (type.precision === Precision.DOUBLE) return fixedWidth(8, (buffer) => new Float64Array(buffer));
    return undefined;
  }
  if (DataType.isBool(type)) return decodeBools;
  if (DataType.isUtf8(type)) return strings(4, (buffer) => new Int32Array(buffer));
  if (DataType.isLargeUtf8(type)) return strings(8, (buffer) => new BigInt64Array(buffer));
  if (DataType.isUtf8View(type)) return decodeViews;
  return undefined;
}

type NumberView = (buffer: ArrayBuffer) => Iterable<number | bigint>;

function integerView(bits: number, signed: boolean): NumberView | undefined {
  switch (bits) {
    case 8:
      return (buffer) => (signed ? new Int8Array(buffer) : new Uint8Array(buffer));
    case 16:
      return (buffer) => (signed ? new Int16Array(buffer) : new Uint16Array(buffer));
    case 32:
      return (buffer) => (signed ? new Int32Array(buffer) : new Uint32Array(buffer));
    case 64:
      return (buffer) => (signed ? new BigInt64Array(buffer) : new BigUint64Array(buffer));
    default:
      return undefined;
  }
}

function fixedWidth(width: number, view: NumberView): Decoder {
  return async (slice, firstRow, rows) => {
    const bytes = await readBytes(slice, 1, firstRow * width, rows * width);
    return Array.from(view(bytes.buffer));
  };
}

const decodeBools: Decoder = async (slice, firstRow, rows) => {
  const byte = Math.floor(firstRow / 8);
  const bits = await readBytes(slice, 1, byte, Math.ceil((firstRow + rows) / 8) - byte);
  return Array.from({ length: rows }, (_, i) => bitAt(bits, (firstRow % 8) + i));
};

function strings(width: number, view: NumberView): Decoder {
  return async (slice, firstRow, rows) => {
    if (rows === 0) return [];
    const bytes = await readBytes(slice, 1, firstRow * width, (rows + 1) * width);
    const offsets = Array.from(view(bytes.buffer), Number);
    const start = offsets[0] ?? 0;
    const end = offsets[rows] ?? 0;
    if (offsets.some((offset, i) => i > 0 && offset < (offsets[i - 1] ?? 0))) {
      throw new CorpusError("malformed", "the string offsets do not ascend", slice.place);
    }
    const text = Buffer.from((await readBytes(slice, 2, start, end - start)).buffer);
    return Array.from({ length: rows }, (_, i) =>
      text.toString("utf8", (offsets[i] ?? 0) - start, (offsets[i + 1] ?? 0) - start),
    );
  };
}

/** Strings further apart than this in their buffer are read one by one. */
const GAP_BYTES = 4096;

/**
 * Views, 16 bytes each: i32 length, then the text itself when it has at most 12 bytes, else 4 bytes of it, i32 buffer
 * and i32 offset. Neighbours in a buffer share a read.
 */
const decodeViews: Decoder = async (slice, firstRow, rows) => {
  const bytes = await readBytes(slice, 1, firstRow * 16, rows * 16);
  const view = new DataView(bytes.buffer);
  const texts: string[] = Array.from({ length: rows }, () => "");
  const far: {
    readonly row: number;
    readonly buffer: number;
    readonly start: number;
    readonly end: number;
  }[] = [];
  const bitmap = slice.nulls ? await readValidity(slice, firstRow, rows) : undefined;
  for (let row = 0; row < rows; row++) {
    // What a null points to means nothing.
    if (bitmap !== undefined && !bitAt(bitmap, (firstRow % 8) + row)) continue;
    const length = view.getInt32(16 * row, true);
    if (length < 0) throw new CorpusError("malformed", "a string has a negative length", slice.place);
    if (length <= 12) texts[row] = Buffer.from(bytes.buffer, 16 * row + 4, length).toString("utf8");
    else {
      const start = view.getInt32(16 * row + 12, true);
      far.push({ row, buffer: view.getInt32(16 * row + 8, true), start, end: start + length });
    }
  }
  far.sort((a, b) => a.buffer - b.buffer || a.start - b.start);
  for (let from = 0, to = 0; from < far.length; from = to) {
    const { buffer, start } = far[from]!;
    let end = far[from]!.end;
    for (to = from + 1; to < far.length && far[to]!.buffer === buffer; to++) {
      if (far[to]!.start > end + GAP_BYTES) break;
      end = Math.max(end, far[to]!.end);
    }
    if (buffer < 0 || buffer >= slice.viewBuffers) {
      throw new CorpusError("malformed", "a string lies in a buffer that is not there", slice.place);
    }
    const text = Buffer.from((await readBytes(slice, 2 + buffer, start, end - start)).buffer);
    for (const one of far.slice(from, to))
      texts[one.row] = text.toString("utf8", one.start - start, one.end - start);
  }
  return texts;
};

function readValidity(slice: ColumnSlice, firstRow: number, rows: number): Promise<Uint8Array<ArrayBuffer>> {
  const byte = Math.floor(firstRow / 8);
  return readBytes(slice, 0, byte, Math.ceil((firstRow + rows) / 8) - byte);
}

/** Bytes of a column's buffer `which` (0 validity, 1 values or offsets, 2 text). */
export async function readBytes(
  slice: ColumnSlice,
  which: number,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const { file, batch, place, reader, signal } = slice;
  const source = await findBuffer(file, batch, slice.buffer + which, place, signal);
  if (offset < 0 || length < 0 || offset + length > source.length) {
    throw new CorpusError("malformed", "the labels do not fit their buffer", place);
  }
  const bytes = new Uint8Array(length);
  await reader.read(source, offset, bytes, place, signal);
  return bytes;
}

function bitAt(bytes: Uint8Array, bit: number): boolean {
  return (((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1;
}
