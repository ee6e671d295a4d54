/**
 * Cosines between directions: of a decoder with itself (duplicates, hedging) and with true features (MMCS). Rows of
 * zeros have no direction; their cosine with everything is 0.
 */
import type { FloatArray } from "../precision.ts";
import { OptionError } from "../errors.ts";
import { dot } from "../rows.ts";

/** Cosines of every row of one set of vectors with every row of another, row-major [rows, columns]. */
export interface CosineMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
}

/**
 * The cosines between a [rows, dIn] and b [columns, dIn]. Takes rows·columns·dIn multiply-adds on this thread.
 *
 * @throws OptionError unless both are whole rows of dIn values
 */
export function cosineMatrix(a: FloatArray, b: FloatArray, dIn: number): CosineMatrix {
  const rows = rowCount(a, dIn);
  const columns = rowCount(b, dIn);
  const left = unitRows(a, dIn);
  const right = unitRows(b, dIn);
  const values = new Float32Array(rows * columns);
  const full = columns - (columns % 4);
  for (let row = 0; row < rows; row += TILE) {
    const last = Math.min(rows, row + TILE);
    for (let column = 0; column < full; column += 4) {
      let r = row;
      for (; r + 2 <= last; r += 2) dotEight(values, r, column, columns, left, right, dIn);
      for (; r < last; r++)
        for (let c = column; c < column + 4; c++)
          values[r * columns + c] = dot(left, r * dIn, right, c * dIn, dIn);
    }
    for (let r = row; r < last; r++)
      for (let c = full; c < columns; c++) values[r * columns + c] = dot(left, r * dIn, right, c * dIn, dIn);
  }
  return { rows, columns, values };
}

/** Rows that stay in the cache while all columns pass by, four at a time. */
const TILE = 32;

function rowCount(vectors: FloatArray, dIn: number): number {
  const count = vectors.length / dIn;
  if (Number.isInteger(count)) return count;
  throw new OptionError("dIn", `cosines need whole rows of ${dIn} values, got ${vectors.length} values`);
}

/** A copy with rows of norm 1; rows of zeros stay. In float64, which spares a conversion per multiplication. */
function unitRows(vectors: FloatArray, dIn: number): Float64Array {
  const unit = Float64Array.from(vectors);
  normaliseDirections(unit, dIn);
  return unit;
}

/** Scales directions [any number, dIn], in place, to norm 1; rows of zeros stay. Norms are float64. */
export function normaliseDirections(directions: FloatArray, dIn: number): void {
  for (let from = 0; from < directions.length; from += dIn) {
    const norm = Math.sqrt(dot(directions, from, directions, from, dIn));
    if (norm === 0) continue;
    for (let j = from; j < from + dIn; j++) directions[j] /= norm;
  }
}

/** Rows r and r + 1 with columns c … c + 3: eight sums, so that additions do not wait for each other. */
function dotEight(
  into: Float32Array,
  r: number,
  c: number,
  columns: number,
  left: Float64Array,
  right: Float64Array,
  dIn: number,
): void {
  let a0 = 0;
  let a1 = 0;
  let a2 = 0;
  let a3 = 0;
  let b0 = 0;
  let b1 = 0;
  let b2 = 0;
  let b3 = 0;
  const rowAt = r * dIn;
  const columnAt = c * dIn;
  for (let j = 0; j < dIn; j++) {
    const a = left[rowAt + j];
    const b = left[rowAt + dIn + j];
    const at = columnAt + j;
    const w0 = right[at];
    const w1 = right[at + dIn];
    const w2 = right[at + 2 * dIn];
    const w3 = right[at + 3 * dIn];
    a0 += a * w0;
    a1 += a * w1;
    a2 += a * w2;
    a3 += a * w3;
    b0 += b * w0;
    b1 += b * w1;
    b2 += b * w2;
    b3 += b * w3;
  }
  const at = r * columns + c;
  into[at] = a0;
  into[at + 1] = a1;
  into[at + 2] = a2;
  into[at + 3] = a3;
  into[at + columns] = b0;
  into[at + columns + 1] = b1;
  into[at + columns + 2] = b2;
  into[at + columns + 3] = b3;
}

/**
 * Mean over the true features [features, dIn] of the largest cosine with any learned direction [latents, dIn]:
 * 1 when every true feature was found (MMCS, Sharkey et al. 2022).
 */
export function meanMaximumCosine(features: FloatArray, learned: FloatArray, dIn: number): number {
  return meanMaximum(cosineMatrix(learned, features, dIn));
}

/** Mean over columns (true features) of the largest cosine with any row (latent). NaN without rows or columns. */
export function meanMaximum({ rows, columns, values }: CosineMatrix): number {
  if (rows === 0) return Number.NaN;
  const best = values.slice(0, columns);
  for (let at = columns; at < values.length; at++) {
    const column = at % columns;
    if (values[at] > best[column]) best[column] = values[at];
  }
  let sum = 0;
  for (const cosine of best) sum += cosine;
  return sum / columns;
}

/** How alike a dictionary's directions are. */
export interface PairwiseCosines {
  /** Latents that were compared with all others: all, or an even sample of them. */
  readonly compared: number;
  /** Mean |cosine| over the pairs: about √(2/(π·dIn)) for random directions; more is a sign of hedging. */
  readonly meanAbsolute: number;
  /** Lower edges of the histogram's bins: −1, −0.9, …, 0.9. */
  readonly edges: readonly number[];
  /** Pairs per bin. */
  readonly counts: readonly number[];
  /** Compared latents whose nearest other latent lies in the bin. */
  readonly nearest: readonly number[];
  /** Compared latents with another at a cosine above 0.95. */
  readonly duplicates: number;
}

/** Cosine above which two latents count as duplicates. */
export const DUPLICATE_COSINE = 0.95;

/**
 * Cosines between different decoder rows [latents, dIn]; each compared latent with every other one.
 *
 * @param mostProducts multiply-adds at most; where all pairs would take more, every so-many-th latent is compared.
 * Default 4·10⁹, a few seconds.
 */
export function pairwiseCosines(W_dec: FloatArray, dIn: number, mostProducts = 4e9): PairwiseCosines {
  const latents = rowCount(W_dec, dIn);
  const stride = Math.max(1, Math.ceil((latents * latents * dIn) / mostProducts));
  const edges = Array.from({ length: 20 }, (_, bin) => (bin - 10) / 10);
  const counts = edges.map(() => 0);
  const nearest = edges.map(() => 0);
  let compared = 0;
  let pairs = 0;
  let absolute = 0;
  let duplicates = 0;
  for (let first = 0; first < latents; first += stride * TILE) {
    const chosen: number[] = [];
    for (let latent = first; latent < latents && chosen.length < TILE; latent += stride) chosen.push(latent);
    const block = new Float32Array(chosen.length * dIn);
    chosen.forEach((latent, at) => block.set(W_dec.subarray(latent * dIn, (latent + 1) * dIn), at * dIn));
    const { values } = cosineMatrix(block, W_dec, dIn);
    chosen.forEach((latent, at) => {
      let best = -1;
      for (let other = 0; other < latents; other++) {
        if (other === latent) continue;
        const cosine = values[at * latents + other];
        counts[binOf(cosine)]++;
        absolute += Math.abs(cosine);
        pairs++;
        if (cosine > best) best = cosine;
      }
      if (latents > 1) nearest[binOf(best)]++;
      if (best > DUPLICATE_COSINE) duplicates++;
      compared++;
    });
  }
  return { compared, meanAbsolute: absolute / pairs, edges, counts, nearest, duplicates };
}

/** Bins are half-open upwards; 1 and what rounding puts beyond belongs to the last. */
function binOf(cosine: number): number {
  return Math.min(19, Math.max(0, Math.floor((cosine + 1) * 10)));
}
