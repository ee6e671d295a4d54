/**
 * Rows to be packed, whatever they come from: a corpus, or a file of arrays. Read in order, from any row on.
 */
import type { WrittenLabelType } from "../arrow/encode.ts";
import { valueBytes } from "../arrow/vector-column.ts";
import type { Corpus } from "../corpus.ts";
import { CorpusError } from "../errors.ts";
import type { CorpusErrorPlace } from "../errors.ts";
import type { WrittenLabel } from "../label-builder.ts";
import type { RangeReader } from "../range-reader.ts";
import { createRowWriter, rawValues, rowTarget } from "../transform.ts";
import type { RowsToWrite } from "../writer.ts";
import { ARRAY_TYPE_BYTES } from "./array-file.ts";
import type { ArrayType, StoredArray } from "./array-file.ts";

/** Rows in order. */
export interface RowSource {
  readonly path: string;
  /** Tells this content from another of the same name. */
  readonly identity: string;
  readonly rows: number;
  readonly dIn: number;
  readonly labels: Readonly<Record<string, WrittenLabelType>>;
  /** Number of sequences, where its rows are the vectors of sequences and it numbers them. Default: 0. */
  readonly sequences?: number;
  /** Where a row comes from, for messages. */
  place(row: number): CorpusErrorPlace;
  /** The rows from `firstRow` on. Each part's arrays may be overwritten by the next. */
  read(firstRow: number, signal?: AbortSignal): AsyncIterable<RowsToWrite>;
}

/** What to take of a source. */
export interface RowSelection {
  /** The column or array of vectors. Default: the only one there is. */
  readonly column?: string | undefined;
  /** Names of the labels to take. Default: all. */
  readonly labels?: readonly string[] | undefined;
  /** Sequences in the sources before, whose indices are taken. */
  readonly firstSequence: number;
}

/** Numbers read at a time. */
const CHUNK_NUMBERS = 2 ** 20;

/** A corpus as a source; its labels keep their names and types. */
export function corpusSource(corpus: Corpus, names: readonly string[] | undefined, path: string): RowSource {
  const labels = writtenLabels(corpus, names, path);
  const { dIn, type } = corpus;
  async function* read(firstRow: number, signal?: AbortSignal): AsyncIterable<RowsToWrite> {
    const bytes = new Uint8Array(corpus.rowsPerBlock * dIn * valueBytes(type));
    const stored = rawValues(type, bytes.buffer, 0, corpus.rowsPerBlock * dIn);
    const values = new Float32Array(corpus.rowsPerBlock * dIn);
    const target = rowTarget(values);
    const writeRow = createRowWriter(type, dIn);
    for (const block of corpus.blocks) {
      const skip = Math.max(0, firstRow - block.firstRow);
      if (skip >= block.rows) continue;
      await corpus.readBlock(block, bytes, signal);
      // Numbers that are not finite are found by the writer, which names their place.
      for (let row = skip; row < block.rows; row++) writeRow(stored, row * dIn, target, (row - skip) * dIn);
      const columns: Record<string, WrittenLabel[]> = {};
      for (const [name, column] of await corpus.readLabels(block, Object.keys(labels), signal)) {
        columns[name] = Array.from(column)
          .slice(skip)
          .map((label, i) => {
            if (label !== null) return label;
            const what = "a label is null, which is not written; leave the column out (--labels)";
            throw new CorpusError("nulls", what, {
              ...corpus.locate(block.firstRow + skip + i),
              column: name,
            });
          });
      }
      yield { values: values.subarray(0, (block.rows - skip) * dIn), labels: columns };
    }
  }
  const place = (row: number): CorpusErrorPlace => ({ ...corpus.locate(row), column: corpus.column });
  return { path, identity: corpus.fingerprint, rows: corpus.rows, dIn, labels, place, read };
}

/** The label columns of a corpus, as they are written. @param names default: all. */
export function writtenLabels(
  corpus: Corpus,
  names: readonly string[] | undefined,
  path: string,
): Readonly<Record<string, WrittenLabelType>> {
  const labels: Record<string, WrittenLabelType> = {};
  for (const { name, type } of corpus.labels) {
    if (names === undefined || names.includes(name)) labels[name] = writtenType(type, path, name);
  }
  return labels;
}

/** Arrow's name of a label's type as one that can be written; dictionaries are written out. */
function writtenType(type: string, path: string, column: string): WrittenLabelType {
  const plain = /^Dictionary<.*, *(\w+)>$/.exec(type)?.[1] ?? type;
  const names: Readonly<Record<string, WrittenLabelType>> = {
    Utf8: "utf8",
    LargeUtf8: "utf8",
    Bool: "bool",
    Int8: "int8",
    Int16: "int16",
    Int32: "int32",
    Int64: "int64",
    Uint8: "uint8",
    Uint16: "uint16",
    Uint32: "uint32",
    Uint64: "uint64",
    Float32: "float32",
    Float64: "float64",
  };
  const written = names[plain];
  if (written !== undefined) return written;
  throw new CorpusError("unsupported", `labels of type ${type} are not written; leave the column out`, {
    path,
    column,
  });
}

/**
 * A file of arrays as a source: `[rows, d]`, or `[sequences, tokens, d]` flattened, with labels `sequence` and
 * `position`. Other arrays with a number for each row are labels.
 * @throws CorpusError no-vector-column, ambiguous-column, unsupported.
 */
export function arraySource(
  file: RangeReader,
  arrays: readonly StoredArray[],
  selection: RowSelection,
): RowSource {
  const vectors = chooseVectors(file, arrays, selection.column);
  const dIn = vectors.shape.at(-1) ?? 0;
  const tokens = vectors.shape.length === 3 ? (vectors.shape[1] ?? 0) : undefined;
  const rows = vectors.shape.slice(0, -1).reduce((product, length) => product * length, 1);
  const wanted = (name: string): boolean => selection.labels?.includes(name) ?? true;
  const columns = arrays.filter((array) => {
    const count = array.shape.reduce((product, length) => product * length, 1);
    return array !== vectors && count === rows && array.shape.length > 0 && wanted(array.name);
  });
  const labels: Record<string, WrittenLabelType> = {};
  for (const { name, type } of columns) {
    labels[name] = type === "float16" || type === "bfloat16" ? "float32" : type;
  }
  const ofSequence = tokens !== undefined && wanted("sequence") && labels["sequence"] === undefined;
  const ofPosition = tokens !== undefined && wanted("position") && labels["position"] === undefined;
  if (ofSequence) labels["sequence"] = "uint32";
  if (ofPosition) labels["position"] = "int32";

  async function* read(firstRow: number, signal?: AbortSignal): AsyncIterable<RowsToWrite> {
    const most = Math.max(1, Math.floor(CHUNK_NUMBERS / dIn));
    for (let row = firstRow; row < rows; row += most) {
      const count = Math.min(most, rows - row);
      const stored = await readNumbers(file, vectors, row * dIn, count * dIn, signal);
      const values = stored instanceof Float32Array ? stored : Float32Array.from(stored, Number);
      const found: Record<string, readonly WrittenLabel[]> = {};
      for (const column of columns) {
        const numbers = await readNumbers(file, column, row, count, signal);
        found[column.name] = column.type === "bool" ? Array.from(numbers, Boolean) : Array.from(numbers);
      }
      const indices = Array.from({ length: count }, (_, i) => row + i);
      if (ofSequence) {
        found["sequence"] = indices.map((i) => selection.firstSequence + Math.floor(i / (tokens ?? 1)));
      }
      if (ofPosition) found["position"] = indices.map((i) => i % (tokens ?? 1));
      yield { values, labels: found };
    }
  }
  const place = (row: number): CorpusErrorPlace => ({ path: file.path, row, column: vectors.name });
  const sequences = tokens === undefined ? 0 : (vectors.shape[0] ?? 0);
  return { path: file.path, identity: file.identity, rows, dIn, labels, sequences, place, read };
}

const FLOATS: readonly ArrayType[] = ["float16", "bfloat16", "float32", "float64"];

function chooseVectors(
  file: RangeReader,
  arrays: readonly StoredArray[],
  column: string | undefined,
): StoredArray {
  const described = arrays.map(({ name, type, shape }) => `"${name}" (${type} [${shape.join(", ")}])`);
  const there = `there are: ${described.join(", ") || "none"}`;
  const fits = ({ type, shape }: StoredArray): boolean =>
    FLOATS.includes(type) && (shape.length === 2 || shape.length === 3) && shape.at(-1) !== 0;
  const candidates = arrays.filter((array) => fits(array) && (column === undefined || array.name === column));
  const [only, ...others] = candidates;
  if (only === undefined) {
    const what =
      column === undefined
        ? `no array holds vectors: floats of shape [rows, d] or [sequences, tokens, d]; ${there}`
        : `no array "${column}" holds vectors; ${there}`;
    throw new CorpusError("no-vector-column", what, { path: file.path });
  }
  if (others.length > 0) {
    throw new CorpusError("ambiguous-column", `several arrays hold vectors; name one; ${there}`, {
      path: file.path,
    });
  }
  return only;
}

/** Numbers `first .. first + count - 1` of an array. */
async function readNumbers(
  file: RangeReader,
  { type, position }: StoredArray,
  first: number,
  count: number,
  signal: AbortSignal | undefined,
): Promise<ArrayLike<number | bigint> & Iterable<number | bigint>> {
  const size = ARRAY_TYPE_BYTES[type];
  const bytes = new Uint8Array(count * size);
  await file.read(bytes, position + first * size, signal);
  const { buffer } = bytes;
  switch (type) {
    case "float16":
      return new Float16Array(buffer);
    case "bfloat16":
      return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer);
    case "float32":
      return new Float32Array(buffer);
    case "float64":
      return new Float64Array(buffer);
    case "int8":
      return new Int8Array(buffer);
    case "int16":
      return new Int16Array(buffer);
    case "int32":
      return new Int32Array(buffer);
    case "int64":
      return new BigInt64Array(buffer);
    case "uint8":
    case "bool":
      return bytes;
    case "uint16":
      return new Uint16Array(buffer);
    case "uint32":
      return new Uint32Array(buffer);
    case "uint64":
      return new BigUint64Array(buffer);
  }
}
