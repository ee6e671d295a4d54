/**
 * The values of label columns, for a range of rows of one batch. Reads only the bytes of the rows asked for.
 */
import { DataType, Precision } from "apache-arrow";
import { CorpusError } from "../errors.ts";
import type { RangeReader } from "../range-reader.ts";
import { columnPlaces } from "./layout.ts";
import type { IpcIndex, PlacedBatch } from "./ipc.ts";

/** A label: null where the file has a null. Int64 and Uint64 columns give bigints. */
export type LabelValue = string | number | bigint | boolean | null;

/** The parts of a batch that hold one column (or the values of a dictionary). */
interface ColumnSlice {
  readonly file: RangeReader;
  readonly batch: PlacedBatch;
  readonly buffer: number;
  readonly nulls: boolean;
  readonly place: { readonly path: string; readonly batch: number; readonly column: string };
  readonly signal: AbortSignal | undefined;
}

type Decoder = (slice: ColumnSlice, firstRow: number, rows: number) => Promise<LabelValue[]>;

/** Reads the labels of one file. Keeps the dictionary that it decoded last, of each column. */
export class LabelReader {
  readonly #file: RangeReader;
  readonly #index: IpcIndex;
  readonly #dictionaries: Map<number, { readonly parts: number; readonly values: readonly LabelValue[] }> =
    new Map();

  constructor(file: RangeReader, index: IpcIndex) {
    this.#file = file;
    this.#index = index;
  }

  /**
   * The labels of rows `firstRow .. firstRow + rows - 1` of a batch.
   * @throws CorpusError malformed, unsupported (compressed), and read errors.
   */
  async read(
    batchIndex: number,
    column: string,
    firstRow: number,
    rows: number,
    signal?: AbortSignal,
  ): Promise<readonly LabelValue[]> {
    const batch = this.#index.batches[batchIndex];
    if (batch === undefined) throw new Error("internal: no such batch");
    const place = { path: this.#file.path, batch: batchIndex, column };
    const columns = columnPlaces(this.#index.schema, batch.variadicCounts);
    const found = columns.find((one) => one.field.name === column);
    if (found === undefined) throw new CorpusError("no-label-column", "there is no such column", place);
    const nulls = (batch.nodes[found.node]?.nullCount ?? 0) > 0;
    const slice: ColumnSlice = { file: this.#file, batch, buffer: found.buffer, nulls, place, signal };
    const type: DataType = found.field.type;
    if (!DataType.isDictionary(type)) return decode(type, slice, firstRow, rows);

    const indices = await decode(type.indices as DataType, slice, firstRow, rows);
    if (indices.every((at) => at === null)) return indices;
    const values = await this.#dictionary(slice, Number(type.id), type.dictionary as DataType);
    return indices.map((at) => {
      if (at === null) return null;
      const value = values[Number(at)];
      if (value !== undefined) return value;
      throw new CorpusError("malformed", `the dictionary has no entry ${String(at)}`, place);
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
      const nulls = (batch.nodes[0]?.nullCount ?? 0) > 0;
      const part = await decode(type, { ...slice, batch, buffer: 0, nulls }, 0, batch.rows);
      for (const value of part) values.push(value);
    }
    this.#dictionaries.set(id, { parts: upToHere.length, values });
    return values;
  }
}

async function decode(
  type: DataType,
  slice: ColumnSlice,
  firstRow: number,
  rows: number,
): Promise<LabelValue[]> {
  const decoder = decoderOf(type);
  if (decoder === undefined) throw new Error("internal: not a label type");
  if (slice.batch.compressed) {
    throw new CorpusError("unsupported", "the batch is compressed; write the file uncompressed", slice.place);
  }
  const values = await decoder(slice, firstRow, rows);
  if (!slice.nulls) return values;
  const bitmap = await readBytes(slice, 0, firstRow >> 3, ((firstRow + rows + 7) >> 3) - (firstRow >> 3));
  return values.map((value, i) => (bitAt(bitmap, (firstRow & 7) + i) ? value : null));
}

/** True when a column of this type can be read as labels. */
export function isLabelType(type: DataType): boolean {
  return decoderOf(DataType.isDictionary(type) ? (type.dictionary as DataType) : type) !== undefined;
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
  const bits = await readBytes(slice, 1, firstRow >> 3, ((firstRow + rows + 7) >> 3) - (firstRow >> 3));
  return Array.from({ length: rows }, (_, i) => bitAt(bits, (firstRow & 7) + i));
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

/** Bytes of a column's buffer `which` (0 validity, 1 values or offsets, 2 text). */
async function readBytes(
  slice: ColumnSlice,
  which: number,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const region = slice.batch.buffers[slice.buffer + which];
  if (region === undefined || offset < 0 || offset + length > region.length) {
    throw new CorpusError("malformed", "the labels do not fit their buffer", slice.place);
  }
  const bytes = new Uint8Array(length);
  await slice.file.read(bytes, slice.batch.bodyPosition + region.offset + offset, slice.signal);
  return bytes;
}

function bitAt(bytes: Uint8Array, bit: number): boolean {
  return (((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1;
}
