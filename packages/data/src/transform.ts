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

/**
 * Writes one row: `dIn` numbers from `source[from]` on to `target[to]` on. Returns false when a written number
 * is not finite.
 */
export type WriteRow = (source: RawValues, from: number, target: Float32Array, to: number) => boolean;

/** Chooses the loop for a corpus and a transform. */
export function createRowWriter(type: ValueType, dIn: number, transform?: RowTransform): WriteRow {
  const mean = transform?.mean;
  const scale = Math.fround(transform?.scale ?? 1);
  if (mean !== undefined && mean.length !== dIn) {
    throw new RangeError(`the mean has ${mean.length} numbers, the rows have ${dIn}`);
  }
  const table = type === "float16" ? createFloat16Table() : undefined;
  const widen: WriteRow =
    table === undefined
      ? (source, from, target, to) => {
          for (let i = 0; i < dIn; i++) target[to + i] = source[from + i]!;
          return true;
        }
      : (source, from, target, to) => {
          for (let i = 0; i < dIn; i++) target[to + i] = table[source[from + i]!]!;
          return true;
        };
  const change = createChange(dIn, mean, scale);
  return (source, from, target, to) => {
    widen(source, from, target, to);
    change(target, to);
    return isFinite32(target, to, dIn);
  };
}

/** Subtracts and multiplies in place; each store into the Float32Array rounds. */
function createChange(
  dIn: number,
  mean: Float32Array | undefined,
  scale: number,
): (target: Float32Array, to: number) => void {
  if (mean === undefined) {
    if (scale === 1) return () => {};
    return (target, to) => {
      for (let i = 0; i < dIn; i++) target[to + i] = target[to + i]! * scale;
    };
  }
  // The caller may reuse its array; the transform of a stream must not change.
  const centre = mean.slice();
  if (scale === 1) {
    return (target, to) => {
      for (let i = 0; i < dIn; i++) target[to + i] = target[to + i]! - centre[i]!;
    };
  }
  return (target, to) => {
    for (let i = 0; i < dIn; i++) target[to + i] = Math.fround(target[to + i]! - centre[i]!) * scale;
  };
}

/** True when `count` numbers are finite: zero times a number is zero only for finite ones. */
function isFinite32(values: Float32Array, from: number, count: number): boolean {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += values[from + i]! * 0;
  return sum === 0;
}
