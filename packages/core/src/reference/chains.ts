/**
 * The canonical sums. Every element of every product is one chain of multiply-adds in ascending order of its
 * contraction index, each rounded once to the arrays' precision; whoever computes it, in whatever tiles, gets
 * the same bits. `round` is Math.fround for float32 and the identity for float64. Storing into a Float32Array
 * rounds too, so that loops which accumulate in memory need no `round`.
 *
 * `acc + a * b` is computed in double: the product of two float32 is exact there, so only the sum rounds, and
 * rounding it again to float32 equals a fused multiply-add but for double rounding (about 2⁻²⁹ of the values).
 */
import type { FloatArray, Precision, Round } from "../precision.ts";

/** Lanes of a fixed-order sum: four vectors of four float32. */
export const LANES = 16;

/**
 * Z[r, i] = start[i] + Σ_j x[r, j]·w[i, j] for r < rows and i < units, each element a chain ascending in j.
 * Four units at a time only to hide the latency of one chain; no bit depends on it.
 */
export function chainProduct(
  z: FloatArray,
  zOffset: number,
  start: FloatArray,
  x: FloatArray,
  xOffset: number,
  rows: number,
  w: FloatArray,
  units: number,
  depth: number,
  round: Round,
): void {
  const whole = units - (units % 4);
  for (let i = 0; i < whole; i += 4) {
    const row0 = i * depth;
    for (let r = 0; r < rows; r++) {
      let a = start[i];
      let b = start[i + 1];
      let c = start[i + 2];
      let d = start[i + 3];
      const xRow = xOffset + r * depth;
      for (let j = 0; j < depth; j++) {
        const value = x[xRow + j];
        const at = row0 + j;
        a = round(a + value * w[at]);
        b = round(b + value * w[at + depth]);
        c = round(c + value * w[at + 2 * depth]);
        d = round(d + value * w[at + 3 * depth]);
      }
      const out = zOffset + r * units + i;
      z[out] = a;
      z[out + 1] = b;
      z[out + 2] = c;
      z[out + 3] = d;
    }
  }
  for (let i = whole; i < units; i++) {
    for (let r = 0; r < rows; r++) {
      z[zOffset + r * units + i] = chainDot(start[i], x, xOffset + r * depth, w, i * depth, depth, round);
    }
  }
}

/** start + Σ_j a[j]·b[j], ascending in j. */
export function chainDot(
  start: number,
  a: FloatArray,
  aOffset: number,
  b: FloatArray,
  bOffset: number,
  length: number,
  round: Round,
): number {
  let sum = start;
  for (let j = 0; j < length; j++) sum = round(sum + a[aOffset + j] * b[bOffset + j]);
  return sum;
}

/** One link of `length` chains at once: out[j] += scale·a[j]. */
export function chainLink(
  out: FloatArray,
  outOffset: number,
  scale: number,
  a: FloatArray,
  aOffset: number,
  length: number,
): void {
  for (let j = 0; j < length; j++) out[outOffset + j] += scale * a[aOffset + j];
}

/**
 * A sum of products in a fixed lane order, for sums that appear in one place only (norms, losses, projections):
 * lane l takes the elements j ≡ l mod 16 in ascending order, then the lanes are added pairwise, 8 apart, 4, 2, 1.
 */
export function laneDot(
  lanes: FloatArray,
  a: FloatArray,
  aOffset: number,
  b: FloatArray,
  bOffset: number,
  length: number,
): number {
  lanes.fill(0);
  for (let j = 0; j < length; j++) lanes[j % LANES] += a[aOffset + j] * b[bOffset + j];
  for (let width = LANES / 2; width >= 1; width /= 2) {
    for (let lane = 0; lane < width; lane++) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

/** Σ (x_j − mean_j)² over a row: lanes as those of {@link laneDot}, which are then added in ascending order. */
export function squaredDistance(
  lanes: FloatArray,
  x: FloatArray,
  at: number,
  mean: FloatArray,
  length: number,
  round: Round,
): number {
  lanes.fill(0);
  for (let j = 0; j < length; j++) {
    const difference = round(x[at + j] - mean[j]);
    lanes[j % LANES] += difference * difference;
  }
  let sum = 0;
  for (let lane = 0; lane < LANES; lane++) sum += lanes[lane];
  return sum;
}

/** Scratch for the sums in lane order. */
export function laneScratch(precision: Precision): FloatArray {
  return precision === "float32" ? new Float32Array(LANES) : new Float64Array(LANES);
}
