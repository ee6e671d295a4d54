/** Sums over rows in float64, one number after the other: for what is measured once, not for a step's stages. */
import type { FloatArray } from "./precision.ts";

/** Σ a·b over `length` numbers, from `aAt` and `bAt` on. */
export function dot(a: FloatArray, aAt: number, b: FloatArray, bAt: number, length: number): number {
  let sum = 0;
  for (let j = 0; j < length; j++) sum += a[aAt + j] * b[bAt + j];
  return sum;
}

/** Mean of rows [any number, width]. */
export function meanOfRows(rows: FloatArray, width: number): Float64Array {
  const mean = new Float64Array(width);
  for (let i = 0; i < rows.length; i++) mean[i % width] += (rows[i] * width) / rows.length;
  return mean;
}
