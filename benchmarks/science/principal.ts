/**
 * Principal directions as a sparse autoencoder: what the eigenvectors of the covariance, the best dense code there is,
 * find of the true features. PCA-k keeps the k largest |projections| of a row.
 */

/** The covariance of rows [any number, dIn], row-major [dIn, dIn], and their mean. */
export function covarianceOf(
  rows: Float32Array,
  dIn: number,
): { mean: Float64Array; covariance: Float64Array } {
  const count = rows.length / dIn;
  const mean = new Float64Array(dIn);
  for (let i = 0; i < rows.length; i++) mean[i % dIn] += rows[i] / count;
  const covariance = new Float64Array(dIn * dIn);
  const centred = new Float64Array(dIn);
  for (let at = 0; at < rows.length; at += dIn) {
    for (let j = 0; j < dIn; j++) centred[j] = rows[at + j] - mean[j];
    for (let i = 0; i < dIn; i++)
      for (let j = i; j < dIn; j++) covariance[i * dIn + j] += (centred[i] * centred[j]) / count;
  }
  for (let i = 0; i < dIn; i++) for (let j = 0; j < i; j++) covariance[i * dIn + j] = covariance[j * dIn + i];
  return { mean, covariance };
}

/**
 * The eigenvectors of a symmetric matrix [n, n], one per row, by descending eigenvalue (Jacobi's method: rotations of
 * two coordinates each, until nothing is left beside the diagonal).
 */
export function eigenvectorsOf(matrix: Float64Array, n: number): Float64Array {
  const a = Float64Array.from(matrix);
  const vectors = new Float64Array(n * n);
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
  const scale = a.reduce((sum, value) => sum + value * value, 0);
  for (let sweep = 0; sweep < 30; sweep++) {
    let beside = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) beside += a[i * n + j] ** 2;
    if (beside <= 1e-20 * scale) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(a, vectors, n, p, q);
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j * n + j] - a[i * n + i]);
  const sorted = new Float64Array(n * n);
  for (const [to, from] of order.entries()) sorted.set(vectors.subarray(from * n, (from + 1) * n), to * n);
  return sorted;
}

/** The rotation that makes a[p, q] zero, applied to rows and columns, and to the rows of eigenvectors. */
function rotate(a: Float64Array, vectors: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q];
  if (apq === 0) return;
  const theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
  const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const c = 1 / Math.hypot(t, 1);
  const s = t * c;
  turnRows(a, n, p, q, c, s);
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[i * n + p], a[i * n + q]];
    a[i * n + p] = c * x - s * y;
    a[i * n + q] = s * x + c * y;
  }
  turnRows(vectors, n, p, q, c, s);
}

function turnRows(a: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[p * n + i], a[q * n + i]];
    a[p * n + i] = c * x - s * y;
    a[q * n + i] = s * x + c * y;
  }
}

/** A TopK autoencoder, as SAELens's two files have it. */
export interface TopKParts {
  readonly dIn: number;
  readonly latents: number;
  readonly k: number;
  /** [dIn, latents]. */
  readonly W_enc: Float32Array;
  /** [latents, dIn]. */
  readonly W_dec: Float32Array;
  /** [dIn]. */
  readonly b_dec: Float32Array;
}

/** PCA-k: each direction is a latent twice, with both signs, so that the k largest values are the k largest |projections|. */
export function principalAutoencoder(rows: Float32Array, dIn: number, k: number): TopKParts {
  const { mean, covariance } = covarianceOf(rows, dIn);
  const directions = eigenvectorsOf(covariance, dIn);
  const W_dec = new Float32Array(2 * dIn * dIn);
  W_dec.set(directions);
  W_dec.set(
    directions.map((value) => -value),
    dIn * dIn,
  );
  return topKAutoencoder(W_dec, Float32Array.from(mean), dIn, k);
}

/** A TopK autoencoder whose encoder is its decoder [latents, dIn] turned over. */
export function topKAutoencoder(W_dec: Float32Array, b_dec: Float32Array, dIn: number, k: number): TopKParts {
  const latents = W_dec.length / dIn;
  const W_enc = new Float32Array(W_dec.length);
  for (let latent = 0; latent < latents; latent++)
    for (let j = 0; j < dIn; j++) W_enc[j * latents + latent] = W_dec[latent * dIn + j];
  return { dIn, latents, k, W_enc, W_dec, b_dec };
}

/** Rows [any number, dIn] with each dimension's values dealt out anew over the rows: no feature is left, each dimension stays as it was. */
export function shuffleDimensions(rows: Float32Array, dIn: number, random: () => number): void {
  const count = rows.length / dIn;
  for (let j = 0; j < dIn; j++) {
    for (let row = count - 1; row > 0; row--) {
      const other = Math.floor(random() * (row + 1));
      const held = rows[row * dIn + j];
      rows[row * dIn + j] = rows[other * dIn + j];
      rows[other * dIn + j] = held;
    }
  }
}
