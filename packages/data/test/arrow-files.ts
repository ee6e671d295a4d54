/**
 * Arrow files of any shape, good and bad, written by apache-arrow: the tests' second writer beside pyarrow's
 * fixtures and our own.
 */
import { writeFile } from "node:fs/promises";
import {
  BufferType,
  Data,
  Field,
  FixedSizeList,
  Float16,
  Float32,
  Int32,
  LargeList,
  List,
  RecordBatch,
  Schema,
  Struct,
  Table,
  Utf8,
  makeData,
  tableToIPC,
  vectorFromArray,
} from "apache-arrow";
import type { DataType, Float64 } from "apache-arrow";

/** A column: its type, and its data for `rows` rows from a global row on. */
export interface TestColumn {
  readonly type: DataType;
  readonly data: (firstRow: number, rows: number) => Data;
}

/** The columns of a file, in order. */
export type TestColumns = Readonly<Record<string, TestColumn>>;

/** Number i of row r in every test file, unless said otherwise: exact in float16 for rows below 256. */
export function expectedValue(row: number, i: number): number {
  return row + i / 8;
}

/** The IPC bytes of a table with batches of these sizes. */
export function arrowBytes(
  columns: TestColumns,
  batchRows: readonly number[],
  format: "file" | "stream",
  firstRow = 0,
): Uint8Array {
  const fields = Object.entries(columns).map(([name, { type }]) => new Field(name, type, true));
  const schema = new Schema(fields);
  let row = firstRow;
  const batches = batchRows.map((rows) => {
    const children = Object.values(columns).map((column) => column.data(row, rows));
    row += rows;
    const data = makeData({ type: new Struct(fields), length: rows, nullCount: 0, children });
    return new RecordBatch(schema, data);
  });
  return tableToIPC(new Table(schema, batches), format);
}

/** Writes such a table. */
export async function writeArrow(
  path: string,
  columns: TestColumns,
  batchRows: readonly number[],
  format: "file" | "stream" = "file",
  firstRow = 0,
): Promise<string> {
  await writeFile(path, arrowBytes(columns, batchRows, format, firstRow));
  return path;
}

type ItemType = Float16 | Float32 | Float64;

function itemData(type: ItemType, numbers: readonly number[], validity?: Uint8Array): Data {
  const nulls = validity === undefined ? { nullCount: 0 } : { nullBitmap: validity };
  const length = numbers.length;
  if (type instanceof Float16) {
    return makeData({ type, length, data: Uint16Array.from(numbers, halfBits), ...nulls });
  }
  if (type instanceof Float32) return makeData({ type, length, data: Float32Array.from(numbers), ...nulls });
  return makeData({ type, length, data: Float64Array.from(numbers), ...nulls });
}

/** Half precision of a number that it holds exactly (or NaN, infinity). */
function halfBits(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  if (value === 0) return 0;
  const sign = value < 0 ? 0x8000 : 0;
  if (!Number.isFinite(value)) return sign | 0x7c00;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  return sign | ((exponent + 15) << 10) | ((Math.abs(value) / 2 ** exponent - 1) * 1024);
}

/** How the vectors of a test column are made. */
export interface VectorShape {
  readonly dIn: number;
  readonly item?: ItemType;
  readonly value?: (row: number, i: number) => number;
  /** Numbers of a row, for ragged lists. */
  readonly length?: (row: number) => number;
  /** Rows that are null. */
  readonly nullRows?: readonly number[];
  /** Places [row, i] that are null. */
  readonly nullNumbers?: readonly (readonly [number, number])[];
}

function rowNumbers(
  shape: VectorShape,
  firstRow: number,
  rows: number,
): { numbers: number[]; ends: number[] } {
  const numbers: number[] = [];
  const ends = [0];
  for (let row = firstRow; row < firstRow + rows; row++) {
    const length = shape.length?.(row) ?? shape.dIn;
    for (let i = 0; i < length; i++) numbers.push((shape.value ?? expectedValue)(row, i));
    ends.push(numbers.length);
  }
  return { numbers, ends };
}

function bitmap(bits: number, zeros: readonly number[]): Uint8Array | undefined {
  if (zeros.length === 0) return undefined;
  const bytes = new Uint8Array(Math.ceil(bits / 64) * 8).fill(255);
  for (const bit of zeros) bytes[bit >> 3]! &= ~(1 << (bit & 7));
  return bytes;
}

function inBatch(rows: readonly number[] | undefined, firstRow: number, count: number): number[] {
  return (rows ?? []).map((row) => row - firstRow).filter((row) => row >= 0 && row < count);
}

/** A column of vectors as FixedSizeList, List or LargeList. */
export function vectorColumn(
  shape: VectorShape,
  kind: "fixed" | "list" | "large-list" = "fixed",
): TestColumn {
  const item = shape.item ?? new Float32();
  const field = new Field("item", item, true);
  const type =
    kind === "fixed"
      ? new FixedSizeList(shape.dIn, field)
      : kind === "list"
        ? new List(field)
        : new LargeList(field);
  return {
    type,
    data: (firstRow, rows) => {
      const { numbers, ends } = rowNumbers(shape, firstRow, rows);
      const nullNumbers = (shape.nullNumbers ?? [])
        .filter(([row]) => row >= firstRow && row < firstRow + rows)
        .map(([row, i]) => (row - firstRow) * shape.dIn + i);
      const child = itemData(item, numbers, bitmap(numbers.length, nullNumbers));
      const nullRows = inBatch(shape.nullRows, firstRow, rows);
      const validity = bitmap(rows, nullRows);
      const buffers = {
        ...(kind === "list" ? { [BufferType.OFFSET]: Int32Array.from(ends) } : {}),
        ...(kind === "large-list" ? { [BufferType.OFFSET]: BigInt64Array.from(ends, BigInt) } : {}),
        ...(validity === undefined ? {} : { [BufferType.VALIDITY]: validity }),
      };
      return new Data<DataType>(type, 0, rows, nullRows.length, buffers, [child]);
    },
  };
}

/** A column of integers, or of strings, by global row. */
export function intColumn(value: (row: number) => number): TestColumn {
  const type = new Int32();
  return {
    type,
    data: (firstRow, rows) => {
      const data = Int32Array.from({ length: rows }, (_, i) => value(firstRow + i));
      return makeData({ type, length: rows, nullCount: 0, data });
    },
  };
}

/** A column of strings (null where undefined), by global row. */
export function textColumn(value: (row: number) => string | null): TestColumn {
  const type = new Utf8();
  return {
    type,
    data: (firstRow, rows) => {
      const texts = Array.from({ length: rows }, (_, i) => value(firstRow + i));
      const empty = {
        type,
        length: 0,
        nullCount: 0,
        valueOffsets: new Int32Array(1),
        data: new Uint8Array(0),
      };
      return vectorFromArray(texts, type).data[0] ?? makeData(empty);
    },
  };
}

/** A column of any type whose data apache-arrow makes from an array. */
export function anyColumn(type: DataType, value: (row: number) => unknown): TestColumn {
  return {
    type,
    data: (firstRow, rows) => {
      const values = Array.from({ length: rows }, (_, i) => value(firstRow + i));
      const data = vectorFromArray(values, type).data[0];
      if (data === undefined) throw new Error("a test column needs rows");
      return data;
    },
  };
}
