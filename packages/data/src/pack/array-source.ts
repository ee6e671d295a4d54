/**
 * Files of plain arrays as rows to be packed: one array of vectors, or several of the same rows side by side, and arrays
 * of labels. What is in the file says `array-file.ts`.
 */
import type { WrittenLabelType } from "../arrow/encode.ts";
import { columnNames, putPart, rowWidth } from "../columns.ts";
import { CorpusError } from "../errors.ts";
import type { CorpusErrorPlace } from "../errors.ts";
import type { WrittenLabel } from "../label-builder.ts";
import type { RangeReader } from "../range-reader.ts";
import type { RowsToWrite } from "../writer.ts";
import { ARRAY_TYPE_BYTES } from "./array-file.ts";
import type { ArrayType, StoredArray } from "./array-file.ts";
import type { RowSelection, RowSource } from "./row-source.ts";

/** Numbers read at a time. */
const CHUNK_NUMBERS = 2 ** 20;

/**
 * A file of arrays as a source: `[rows, d]`, or `[sequences, tokens, d]` flattened, with labels `sequence` and
 * `position`. Other arrays with a number for each row are labels.
 * @throws CorpusError no-vector-column, ambiguous-column, dimension-mismatch (of several arrays), unsupported.
 */
export function arraySource(
  file: RangeReader,
  arrays: readonly StoredArray[],
  selection: RowSelection,
): RowSource {
  const chosen = columnNames(selection.column).map((name) => chooseVectors(file, arrays, name));
  const vectors = requireSameRows(file, chosen);
  const widths = chosen.map(({ shape }) => shape.at(-1) ?? 0);
  const dIn = rowWidth(widths);
  const tokens = vectors.shape.length === 3 ? (vectors.shape[1] ?? 0) : undefined;
  const rows = vectors.shape.slice(0, -1).reduce((product, length) => product * length, 1);
  const wanted = (name: string): boolean => selection.labels?.includes(name) ?? true;
  const columns = arrays.filter((array) => {
    const count = array.shape.reduce((product, length) => product * length, 1);
    return !chosen.includes(array) && count === rows && array.shape.length > 0 && wanted(array.name);
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
      const values = await readSideBySide(file, chosen, widths, row, count, signal);
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
  return { path: file.path, identity: file.identity, rows, widths, labels, sequences, place, read };
}

/** The first of the arrays. @throws CorpusError dimension-mismatch unless all have its rows. */
function requireSameRows(file: RangeReader, arrays: readonly StoredArray[]): StoredArray {
  const [first, ...others] = arrays;
  if (first === undefined) throw new Error("internal: no arrays");
  const rowsOf = ({ shape }: StoredArray): string => shape.slice(0, -1).join(" x ");
  for (const other of others) {
    if (rowsOf(other) === rowsOf(first)) continue;
    const what = `${rowsOf(other)} vectors, but "${first.name}" has ${rowsOf(first)}; arrays packed together must have the same rows`;
    throw new CorpusError("dimension-mismatch", what, { path: file.path, column: other.name });
  }
  return first;
}

/** Vectors `firstRow .. firstRow + rows - 1` of arrays of these widths as rows. */
async function readSideBySide(
  file: RangeReader,
  arrays: readonly StoredArray[],
  widths: readonly number[],
  firstRow: number,
  rows: number,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  for (const [i, array] of arrays.entries()) {
    const width = widths[i] ?? 0;
    const stored = await readNumbers(file, array, firstRow * width, rows * width, signal);
    parts.push(stored instanceof Float32Array ? stored : Float32Array.from(stored, Number));
  }
  const [only, ...others] = parts;
  if (only !== undefined && others.length === 0) return only;
  const dIn = rowWidth(widths);
  const values = new Float32Array(rows * dIn);
  let from = 0;
  for (const [i, part] of parts.entries()) {
    const width = widths[i] ?? 0;
    putPart(part, width, values, dIn, from);
    from += width;
  }
  return values;
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
      option: "column",
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
