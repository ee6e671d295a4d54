/**
 * The safetensors codec: named tensors to bytes and back, for models, checkpoints and exchange with Python.
 * Layout: 8 bytes header length (little-endian), a JSON header padded with spaces to a multiple of 8, then the
 * tensors' bytes, row-major and little-endian, without gaps. Typed arrays are taken to be little-endian too.
 * Imports nothing; works on bytes only (files and threads are the caller's), so it runs in a browser.
 */

/** The element types read and written; F16 and BF16 are carried as their raw bits, BOOL as one byte each. */
export type SafetensorsDtype =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U64"
  | "U32"
  | "U16"
  | "U8"
  | "BOOL";

/** The array that holds a tensor's elements. */
export type SafetensorsData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/** A tensor to write. */
export interface SafetensorsInput {
  /** Lengths of the dimensions, outermost first; `[]` is a scalar. Their product is `data.length`. */
  readonly shape: readonly number[];
  /** Elements, row-major. May lie in shared memory. */
  readonly data: SafetensorsData;
  /** @default the type named like the array's class; state it for F16 and BF16 (Uint16Array), BOOL (Uint8Array) */
  readonly dtype?: SafetensorsDtype;
}

/** A tensor that was read. */
export interface SafetensorsTensor {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Elements, row-major: a view of the decoded bytes where their alignment allows, else a copy. */
  readonly data: SafetensorsData;
}

/** A tensor's elements as float32, exactly: of F32 as they are, of F16 and BF16 widened; undefined of other types. */
export function float32Elements({ dtype, data }: SafetensorsTensor): Float32Array | undefined {
  if (data instanceof Float32Array) return data;
  if (!(data instanceof Uint16Array)) return undefined;
  if (dtype === "F16") return Float32Array.from(new Float16Array(data.slice().buffer));
  // A bfloat16 is the upper half of a float32.
  return dtype === "BF16" ? new Float32Array(Uint32Array.from(data, (bits) => bits << 16).buffer) : undefined;
}

/** What a safetensors file holds. */
export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  /** The header's `__metadata__`; empty when there is none. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Thrown when bytes are not a safetensors file, or tensors cannot be written as one. */
export class SafetensorsError extends Error {
  override readonly name = "SafetensorsError";
  /** The tensor concerned, where it is one tensor's fault. */
  readonly tensor: string | undefined;

  constructor(message: string, tensor?: string) {
    super(tensor === undefined ? `safetensors: ${message}` : `safetensors: tensor "${tensor}": ${message}`);
    this.tensor = tensor;
  }
}

/** The format's own limit; a longer header is an attack or not a header. */
const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;
const METADATA_KEY = "__metadata__";

/** For each dtype the array class that carries it. */
const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const satisfies Record<SafetensorsDtype, unknown>;

/** The dtype of an array whose caller stated none, tried in this order. */
const DEFAULT_DTYPES = ["F32", "F64", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"] as const;

/**
 * Writes tensors as one safetensors file. The bytes depend on names, types, shapes, elements and metadata only:
 * tensors are ordered by falling element size, which keeps each aligned, then by name.
 *
 * @throws SafetensorsError where a shape does not match its data, a dtype not its array, or a name is reserved
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, SafetensorsInput>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const parts = safetensorsParts(tensors, metadata);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.byteLength;
  }
  return bytes;
}

/**
 * The same file as `encodeSafetensors` in pieces: first the header with its length, then each tensor's own
 * memory, uncopied, in file order. Written one after the other they are the file; so a large checkpoint needs
 * no second copy of the model.
 *
 * @throws SafetensorsError as `encodeSafetensors`
 */
export function safetensorsParts(
  tensors: Readonly<Record<string, SafetensorsInput>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const ordered = Object.entries(tensors)
    .map(([name, input]) => ({ name, input, dtype: checkedDtype(name, input) }))
    .sort((a, b) => elementBytes(b.dtype) - elementBytes(a.dtype) || (a.name < b.name ? -1 : 1));

  const header: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) {
    for (const [key, value] of Object.entries(metadata)) {
      if (typeof value !== "string") {
        throw new SafetensorsError(`metadata "${key}" must be a string, got ${typeof value}`);
      }
    }
    header.push([METADATA_KEY, metadata]);
  }
  const views: Uint8Array[] = [];
  let offset = 0;
  for (const { name, input, dtype } of ordered) {
    const end = offset + input.data.byteLength;
    header.push([name, { dtype, shape: input.shape, data_offsets: [offset, end] }]);
    views.push(new Uint8Array(input.data.buffer, input.data.byteOffset, input.data.byteLength));
    offset = end;
  }
  return [encodeHeader(header), ...views];
}

/**
 * Reads a safetensors file. Strict: what the format forbids is refused, so that a damaged or hostile file never
 * yields a wrong tensor.
 *
 * @param bytes the whole file
 * @throws SafetensorsError where the header is not one, a tensor's range leaves the data, overlaps another or
 *   leaves a gap, or its length is not shape × element size
 */
export function decodeSafetensors(bytes: Uint8Array): SafetensorsFile {
  if (bytes.byteLength < LENGTH_BYTES) {
    throw new SafetensorsError(`${bytes.byteLength} bytes is too short for a file, which has at least 8`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = Number(view.getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES) {
    throw new SafetensorsError(
      `header of ${headerBytes} bytes, expected at most ${MAX_HEADER_BYTES}: is it a safetensors file?`,
    );
  }
  const dataStart = LENGTH_BYTES + headerBytes;
  if (dataStart > bytes.byteLength) {
    throw new SafetensorsError(`header of ${headerBytes} bytes in a file of ${bytes.byteLength}: cut short?`);
  }
  const header = parseHeader(bytes.subarray(LENGTH_BYTES, dataStart));

  const metadata = new Map<string, string>();
  const entries: HeaderEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === METADATA_KEY) readMetadata(value, metadata);
    else entries.push(readEntry(name, value));
  }
  checkCoverage(entries, bytes.byteLength - dataStart);

  const tensors = new Map<string, SafetensorsTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    const data = arrayAt(bytes, dataStart + begin, end - begin, dtype);
    tensors.set(name, { dtype, shape, data });
  }
  return { tensors, metadata };
}

/** One tensor of a header; `begin` and `end` are bytes from the start of the data. */
interface HeaderEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function elementBytes(dtype: SafetensorsDtype): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

/** The dtype to write, after checking name, array and shape against each other. */
function checkedDtype(name: string, { shape, data, dtype: stated }: SafetensorsInput): SafetensorsDtype {
  if (name === METADATA_KEY) throw new SafetensorsError("the name is reserved for metadata", name);
  const dtype = stated ?? DEFAULT_DTYPES.find((candidate) => data instanceof ARRAYS[candidate]);
  if (dtype === undefined || !(data instanceof ARRAYS[dtype])) {
    const expected = dtype === undefined ? "a typed array" : ARRAYS[dtype].name;
    throw new SafetensorsError(`expected ${expected} for ${dtype ?? "its data"}, got another`, name);
  }
  if (elementCount(name, shape) !== data.length) {
    throw new SafetensorsError(`shape [${shape.join(", ")}] does not hold ${data.length} elements`, name);
  }
  return dtype;
}

/** The product of a shape, refusing lengths that are not counts or whose product no number holds exactly. */
function elementCount(name: string, shape: readonly unknown[]): number {
  let count = 1;
  for (const length of shape) {
    if (typeof length !== "number" || !Number.isSafeInteger(length) || length < 0) {
      throw new SafetensorsError(`shape has ${JSON.stringify(length)} where a length ≥ 0 is expected`, name);
    }
    count *= length;
  }
  if (!Number.isSafeInteger(count))
    throw new SafetensorsError(`shape of ${count} elements is too large`, name);
  return count;
}

/** Length and JSON, padded with spaces so that the data starts at a multiple of 8 bytes. */
function encodeHeader(header: readonly [string, unknown][]): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const padded = Math.ceil(json.byteLength / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw new SafetensorsError(`header of ${padded} bytes, expected at most ${MAX_HEADER_BYTES}`);
  }
  const bytes = new Uint8Array(LENGTH_BYTES + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, LENGTH_BYTES);
  return bytes;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    // Copied first: decoders refuse shared memory.
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(bytes)));
  } catch (cause) {
    const error = new SafetensorsError("the header is not JSON: not a safetensors file?");
    error.cause = cause;
    throw error;
  }
  if (!isObject(header)) throw new SafetensorsError("the header is not a JSON object");
  return header;
}

function readMetadata(value: unknown, into: Map<string, string>): void {
  if (!isObject(value)) throw new SafetensorsError(`${METADATA_KEY} is not an object of strings`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw new SafetensorsError(`metadata "${key}" is not a string`);
    into.set(key, text);
  }
}

function readEntry(name: string, value: unknown): HeaderEntry {
  if (!isObject(value)) throw new SafetensorsError("its header entry is not an object", name);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(ARRAYS, dtype)) {
    const known = Object.keys(ARRAYS).join(", ");
    throw new SafetensorsError(`dtype ${JSON.stringify(dtype)} is not one of ${known}`, name);
  }
  if (!Array.isArray(shape)) throw new SafetensorsError("its shape is not a list", name);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(Number.isSafeInteger)) {
    throw new SafetensorsError("its data_offsets are not two whole numbers", name);
  }
  const known = dtype as SafetensorsDtype;
  const [begin, end] = offsets as [number, number];
  const expected = elementCount(name, shape) * elementBytes(known);
  if (end - begin !== expected) {
    const given = `${known} [${shape.join(", ")}]`;
    throw new SafetensorsError(
      `${given} takes ${expected} bytes, its data_offsets span ${end - begin}`,
      name,
    );
  }
  return { name, dtype: known, shape: shape as number[], begin, end };
}

/** Ranges must follow each other from 0 to the end of the data: no overlap, no gap, nothing outside. */
function checkCoverage(entries: readonly HeaderEntry[], dataBytes: number): void {
  let offset = 0;
  for (const { name, begin, end } of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== offset) {
      const what = begin < offset ? "overlaps the tensor before it" : "leaves a gap before it";
      throw new SafetensorsError(`starts at byte ${begin} of the data, ${what}: expected ${offset}`, name);
    }
    if (end > dataBytes) {
      throw new SafetensorsError(`ends at byte ${end} of ${dataBytes} bytes of data: cut short?`, name);
    }
    offset = end;
  }
  if (offset !== dataBytes) {
    throw new SafetensorsError(`${dataBytes} bytes of data, of which the tensors take ${offset}`);
  }
}

/** A tensor's elements: a view where the address suits the element size, a copy where it does not. */
function arrayAt(
  bytes: Uint8Array,
  offset: number,
  byteLength: number,
  dtype: SafetensorsDtype,
): SafetensorsData {
  const size = elementBytes(dtype);
  const range = bytes.subarray(offset, offset + byteLength);
  // The copy is made by the constructor because `slice` of a Node Buffer makes none.
  const source = range.byteOffset % size === 0 ? range : new Uint8Array(range);
  // Shared memory is as good; only the type of one of these constructors does not say so.
  return new ARRAYS[dtype](source.buffer as ArrayBuffer, source.byteOffset, byteLength / size);
}
