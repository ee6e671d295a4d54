/**
 * Rows that are the vectors of several columns side by side: the names that were asked for, and rows taken apart and put
 * together. Depends on errors only.
 */
import type { CorpusColumn } from "./corpus.ts";
import { CorpusError } from "./errors.ts";

/**
 * The names that an option gives; undefined: the only column there is.
 * @throws CorpusError invalid-option when there is none, or one twice.
 */
export function columnNames(
  column: string | readonly string[] | undefined,
): readonly [string | undefined, ...(string | undefined)[]] {
  if (column === undefined || typeof column === "string") return [column];
  const twice = column.find((name, i) => column.indexOf(name) !== i);
  if (twice !== undefined) throw new CorpusError("invalid-option", `the column "${twice}" is named twice`);
  const [first, ...others] = column;
  if (first === undefined) throw new CorpusError("invalid-option", "name at least one vector column");
  return [first, ...others];
}

/** Numbers of a row: the columns' dimensions together. */
export function rowWidth(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0);
}

/** The column that a number of a row belongs to, and its index in that column's vector. */
export function columnAt(
  columns: readonly CorpusColumn[],
  index: number,
): { readonly column: CorpusColumn; readonly index: number } {
  let from = 0;
  for (const column of columns) {
    if (index < from + column.dIn) return { column, index: index - from };
    from += column.dIn;
  }
  throw new RangeError(`a row of ${from} numbers has no number ${index}`);
}

/**
 * Copies one column's vectors out of rows.
 * @param values `[rows, dIn]`.
 * @param from where the column's vectors begin in a row.
 * @param into receives `[rows, width]`.
 */
export function takePart(
  values: Float32Array,
  dIn: number,
  from: number,
  width: number,
  into: Float32Array,
): void {
  for (let at = from, to = 0; at < values.length; at += dIn, to += width) {
    into.set(values.subarray(at, at + width), to);
  }
}

/** The other way round. @param part `[rows, width]`. @param into `[rows, dIn]`, whose other columns stay. */
export function putPart(
  part: Float32Array,
  width: number,
  into: Float32Array,
  dIn: number,
  from: number,
): void {
  for (let at = 0, to = from; at < part.length; at += width, to += dIn) {
    into.set(part.subarray(at, at + width), to);
  }
}
