/** What only the deep autoencoder needs: panels back to rows, masks, and sums of rows by weights. */
import { axpy } from "./simd";

/** Writes z [panel][unit][8] to rows [rows, units]; `relu`: negative values become 0, NaN stays. */
export function unpackPanels(out: usize, z: usize, rows: usize, units: usize, relu: bool): void {
  for (let row: usize = 0; row < rows; row++) {
    const from = z + (row >> 3) * units * 32 + ((row & 7) << 2);
    const to = out + row * units * 4;
    for (let unit: usize = 0; unit < units; unit++) {
      const value = load<f32>(from + (unit << 5));
      store<f32>(to + (unit << 2), relu && value < 0 ? 0 : value);
    }
  }
}

/** out[j] = a[j] − b[j]. */
export function difference(out: usize, a: usize, b: usize, length: usize): void {
  for (let j: usize = 0; j < length << 2; j += 4) store<f32>(out + j, load<f32>(a + j) - load<f32>(b + j));
}

/** values[j] = 0 where gate[j] ≤ 0. */
export function maskByPositive(values: usize, gate: usize, length: usize): void {
  for (let j: usize = 0; j < length << 2; j += 4) if (load<f32>(gate + j) <= 0) store<f32>(values + j, 0);
}

/**
 * out = Σ weight_r·rows[r] over `count` rows of `length`, in ascending order from 0; weight_r lies at
 * weights + r·stride bytes. Returns Σ weight_r. Zero weights add nothing and are skipped.
 */
export function combineRows(
  out: usize,
  weights: usize,
  count: usize,
  stride: usize,
  rows: usize,
  length: usize,
): f32 {
  memory.fill(out, 0, length << 2);
  let sum: f32 = 0;
  for (let row: usize = 0; row < count; row++) {
    const weight = load<f32>(weights + row * stride);
    if (weight == 0) continue;
    axpy(out, weight, rows + row * length * 4, length);
    sum += weight;
  }
  return sum;
}
