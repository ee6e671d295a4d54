/**
 * From stored rows to the float32 rows that a model sees: widening, centring, scaling, and the check that every
 * number is finite. Works on memory only.
 */
import type { ValueType } from "./arrow/vector-column.ts";
import { createFloat16Table } from "./float16.ts";

/**
 * x' = fround(fround(x - mean) * scale), number by number: x is the stored value as float32, mean[i] and scale
 * are rounded to float32 first, and each operation rounds to float32. Without a mean nothing is subtracted, with
 * a scale of 1 nothing is multiplied.
 */
export interface RowTransform {
  /** `[dIn]`, or undefined for no centring. */
  readonly mean: Float32Array | undefined;
  readonly scale: number;
}

/** Raw rows in memory, seen as numbers. */
export type RawValues = Float32Array | Uint16Array;

/** A view of raw bytes as the numbers of a corpus; the bytes must be aligned to the number's size. */
export function rawValues(
  type: ValueType,
  buffer: ArrayBufferLike,
  byteOffset: number,
  count: number,
): RawValues {
  return type === "float32"
    ? new Float32Array(buffer, byteOffset, count)
    : new Uint16Array(buffer, byteOffset, count);
}

/** Where rows are written, and the same memory as bits, for the check that numbers are finite. */
export interface RowTarget {
  readonly values: Float32Array;
  readonly bits: Int32Array;
}

/** A target over the caller's array, of any memory. */
export function rowTarget(values: Float32Array): RowTarget {
  return { values, bits: new Int32Array(values.buffer, values.byteOffset, values.length) };
}

/**
 * Writes one row: `dIn` numbers from `source[from]` on to the target's index `to` on. Returns false when a
 * written number is not finite.
 */
export type WriteRow = (source: RawValues, from: number, target: RowTarget, to: number) => boolean;

/**
 * A transform in full. The mean is a copy: the caller may reuse its array, but what is done to rows must not change.
 * Subtracting 0 and multiplying by 1 change no bit, so one loop serves every transform.
 * @throws RangeError when the mean has another dimension.
 */
export function meanAndScale(dIn: number, transform?: RowTransform): { mean: Float32Array; scale: number } {
  const given = transform?.mean;
  if (given !== undefined && given.length !== dIn) {
    throw new RangeError(`the mean has ${given.length} numbers, the rows have ${dIn}`);
  }
  return { mean: given?.slice() ?? new Float32Array(dIn), scale: Math.fround(transform?.scale ?? 1) };
}

/** Chooses the loop for a corpus and a transform. @throws RangeError when the mean has another dimension. */
export function createRowWriter(type: ValueType, dIn: number, transform?: RowTransform): WriteRow {
  const { mean, scale } = meanAndScale(dIn, transform);
  if (type === "float32" && transform?.mean === undefined && scale === 1) return copyWriter(dIn);
  return type === "float16" ? halfWriter(dIn, mean, scale) : singleWriter(dIn, mean, scale);
}

function copyWriter(dIn: number): WriteRow {
  return (source, from, { values, bits }, to) => {
    values.set(source.subarray(from, from + dIn), to);
    return areFinite(bits, to, dIn);
  };
}

function singleWriter(dIn: number, mean: Float32Array, scale: number): WriteRow {
  return (source, from, { values, bits }, to) => {
    for (let i = 0; i < dIn; i++) values[to + i] = Math.fround(source[from + i]! - mean[i]!) * scale;
    return areFinite(bits, to, dIn);
  };
}

function halfWriter(dIn: number, mean: Float32Array, scale: number): WriteRow {
  const table = createFloat16Table();
  return (source, from, { values, bits }, to) => {
    for (let i = 0; i < dIn; i++) values[to + i] = Math.fround(table[source[from + i]!]! - mean[i]!) * scale;
    return areFinite(bits, to, dIn);
  };
}

/**
 * True when `count` numbers, given as bits, are finite: one more in the exponent of a number that is not runs
 * into the sign. On integers, because a float sum of 0 * x waits for itself (measured: 478 against 277 million
 * numbers per second, the transform included).
 */
function areFinite(bits: Int32Array, from: number, count: number): boolean {
  let seen = 0;
  for (let i = 0; i < count; i++) seen |= (bits[from + i]! & 0x7fffffff) + 0x00800000;
  return seen >= 0;
}
