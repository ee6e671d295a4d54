/**
 * Files of plain arrays, as numpy and PyTorch users keep them: `.npy` and safetensors. Their headers only: where
 * each array lies, of what type and shape. Sniffed from the first bytes.
 */
import { CorpusError } from "../errors.ts";
import { isObject } from "../json.ts";
import type { RangeReader } from "../range-reader.ts";

/** Types of numbers that are read: floats as vectors, integers and booleans as labels. */
export type ArrayType =
  | "float16"
  | "bfloat16"
  | "float32"
  | "float64"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64"
  | "bool";

/** One array of a file, row-major and little-endian. */
export interface StoredArray {
  readonly name: string;
  readonly type: ArrayType;
  readonly shape: readonly number[];
  /** Byte position in the file. */
  readonly position: number;
}

/** Bytes of a number. */
export const ARRAY_TYPE_BYTES: Readonly<Record<ArrayType, number>> = {
  float16: 2,
  bfloat16: 2,
  float32: 4,
  float64: 8,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  uint8: 1,
  uint16: 2,
  uint32: 4,
  uint64: 8,
  bool: 1,
};

const SAFETENSORS_TYPES: Readonly<Record<string, ArrayType>> = {
  F16: "float16",
  BF16: "bfloat16",
  F32: "float32",
  F64: "float64",
  I8: "int8",
  I16: "int16",
  I32: "int32",
  I64: "int64",
  U8: "uint8",
  U16: "uint16",
  U32: "uint32",
  U64: "uint64",
  BOOL: "bool",
};

const NPY_TYPES: Readonly<Record<string, ArrayType>> = {
  f2: "float16",
  f4: "float32",
  f8: "float64",
  i1: "int8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  u1: "uint8",
  u2: "uint16",
  u4: "uint32",
  u8: "uint64",
  b1: "bool",
};

/** What a file is, by its first bytes. */
export type InputKind = "arrow" | "npy" | "safetensors" | "parquet" | "unknown";

/** The largest header that is read: the limit of the safetensors format. */
const MOST_HEADER_BYTES = 100e6;
const HEAD_BYTES = 16;

/** Reads the first bytes and tells what the file is. */
export async function sniff(file: RangeReader): Promise<InputKind> {
  const head = Buffer.alloc(Math.min(HEAD_BYTES, file.size));
  await file.read(head, 0);
  const begins = (text: string): boolean => head.toString("latin1").startsWith(text);
  if (begins("\x93NUMPY")) return "npy";
  if (begins("PAR1")) return "parquet";
  if (begins("ARROW1") || begins("\xff\xff\xff\xff")) return "arrow";
  if (head.length >= 9 && head.readBigUInt64LE(0) < 2n ** 32n && head[8] === 0x7b) return "safetensors";
  return "unknown";
}

/** The arrays of a `.npy` or safetensors file. @throws CorpusError malformed, truncated, unsupported. */
export async function readArrays(
  file: RangeReader,
  kind: "npy" | "safetensors",
): Promise<readonly StoredArray[]> {
  const arrays = kind === "npy" ? [await readNpy(file)] : await readSafetensors(file);
  for (const { name, type, shape, position } of arrays) {
    const bytes = shape.reduce((product, length) => product * length, ARRAY_TYPE_BYTES[type]);
    if (!Number.isSafeInteger(bytes)) throw malformed(file, `the array "${name}" has an impossible shape`);
    if (position + bytes > file.size) {
      const what = `the array "${name}" needs ${position + bytes} bytes, the file has ${file.size}`;
      throw new CorpusError("truncated", what, { path: file.path });
    }
  }
  return arrays;
}

async function readNpy(file: RangeReader): Promise<StoredArray> {
  if (file.size < 12) throw malformed(file, "the npy header is cut off");
  const head = Buffer.alloc(12);
  await file.read(head, 0);
  const long = head[6] !== 1;
  const length = long ? head.readUInt32LE(8) : head.readUInt16LE(8);
  const start = long ? 12 : 10;
  const text = (await readHeader(file, start, length)).toString("latin1");
  const [, descr = ""] = /'descr' *: *'([^']*)'/.exec(text) ?? [];
  const [, fortran = ""] = /'fortran_order' *: *(True|False)/.exec(text) ?? [];
  const [, dimensions] = /'shape' *: *\(([^)]*)\)/.exec(text) ?? [];
  if (descr === "" || fortran === "" || dimensions === undefined) {
    throw malformed(file, "the npy header names no descr, fortran_order and shape of one array");
  }
  const unsupported = (what: string): CorpusError =>
    new CorpusError("unsupported", what, { path: file.path });
  if (fortran === "True") {
    throw unsupported("is in Fortran order, column by column: save it with np.ascontiguousarray(array)");
  }
  if (descr.startsWith(">")) {
    throw unsupported(`is big-endian (${descr}): save it with array.astype("<${descr.slice(1)}")`);
  }
  const type = NPY_TYPES[descr.replace(/^[<|=]/, "")];
  if (type === undefined) throw unsupported(`holds numbers of type ${descr}; read are f2, f4 and f8`);
  const shape = dimensions.split(",").flatMap((item) => (item.trim() === "" ? [] : [Number(item)]));
  if (!shape.every((value) => Number.isSafeInteger(value) && value >= 0)) {
    throw malformed(file, `the npy header has the shape (${dimensions})`);
  }
  return { name: "array", type, shape, position: start + length };
}

async function readSafetensors(file: RangeReader): Promise<StoredArray[]> {
  if (file.size < 8) throw malformed(file, "the safetensors header is cut off");
  const prefix = Buffer.alloc(8);
  await file.read(prefix, 0);
  const length = Number(prefix.readBigUInt64LE(0));
  const text = (await readHeader(file, 8, length)).toString("utf8");
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw malformed(file, "the safetensors header is not JSON", cause);
  }
  if (!isObject(header)) throw malformed(file, "the safetensors header is not an object");
  const arrays: StoredArray[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (!isObject(entry)) throw malformed(file, `the tensor "${name}" is not described`);
    const type = SAFETENSORS_TYPES[String(entry["dtype"])];
    // Types that nobody keeps activations in (8-bit floats) are passed over.
    if (type === undefined) continue;
    const shape = numbersOf(entry["shape"]);
    const [begin, end] = numbersOf(entry["data_offsets"]) ?? [];
    if (shape === undefined || begin === undefined || end === undefined) {
      throw malformed(file, `the tensor "${name}" has no shape or data_offsets`);
    }
    const bytes = shape.reduce((product, size) => product * size, ARRAY_TYPE_BYTES[type]);
    if (end - begin !== bytes) {
      const what = `the tensor "${name}" has ${end - begin} bytes by its data_offsets, ${bytes} by its shape`;
      throw malformed(file, what);
    }
    arrays.push({ name, type, shape, position: 8 + length + begin });
  }
  return arrays;
}

async function readHeader(file: RangeReader, position: number, length: number): Promise<Buffer> {
  if (length > MOST_HEADER_BYTES || position + length > file.size) {
    throw malformed(file, `a header of ${length} bytes does not fit a file of ${file.size}`);
  }
  const bytes = Buffer.alloc(length);
  await file.read(bytes, position);
  return bytes;
}

function numbersOf(value: unknown): number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const numbers = value.filter((item): item is number => Number.isSafeInteger(item) && item >= 0);
  return numbers.length === value.length ? numbers : undefined;
}

function malformed(file: RangeReader, what: string, cause?: unknown): CorpusError {
  return new CorpusError("malformed", what, { path: file.path, cause });
}
