/**
 * LayerNorm of each row, without gains: x′ = (x − m)/(σ + ε), m the mean of the row's numbers and σ their standard
 * deviation. What it does differs from row to row, so no weights can take it over: it is done whenever a model is used.
 * The form is that of SAELens's `layer_norm`, which openai/sparse_autoencoder has too (decision 025).
 */

/** ε, which is added to σ and not to the variance. */
export const LAYER_NORM_EPSILON = 1e-5;

/** What LayerNorm took from rows of one or several vectors: [rows, vectors], vector by vector. */
export interface RowMoments {
  /** m of each vector. */
  readonly mean: Float32Array;
  /** σ of each vector, of n − 1, without ε. */
  readonly deviation: Float32Array;
}

/** Rows after LayerNorm, and what it took from them. */
export interface NormalisedRows extends RowMoments {
  /** [rows, dIn]. */
  readonly values: Float32Array;
}

/**
 * Normalises each vector of rows [any number, Σ widths] by itself. Sums are float64 in four lanes, and each number is
 * rounded to float32 once, as the data path does. Equal numbers become zeros; what is not finite makes its vector NaN.
 *
 * @param widths of the vectors that lie side by side in a row, each at least 2
 */
export function layerNormRows(rows: ArrayLike<number>, widths: readonly number[]): NormalisedRows {
  const dIn = widths.reduce((sum, width) => sum + width, 0);
  const count = rows.length / dIn;
  const values = new Float32Array(rows.length);
  const mean = new Float32Array(count * widths.length);
  const deviation = new Float32Array(count * widths.length);
  let at = 0;
  for (let vector = 0; vector < mean.length; vector++) {
    const width = widths[vector % widths.length];
    const end = at + width;
    const m = sumOfLanes(rows, at, end, 0, 1) / width;
    const sigma = Math.sqrt(sumOfLanes(rows, at, end, m, 2) / (width - 1));
    const factor = 1 / (sigma + LAYER_NORM_EPSILON);
    for (; at < end; at++) values[at] = (rows[at] - m) * factor;
    mean[vector] = m;
    deviation[vector] = sigma;
  }
  return { values, mean, deviation };
}

/** Σ (x − centre)^power in float64: four sums, each of every fourth number; the rest goes to the first. */
function sumOfLanes(x: ArrayLike<number>, from: number, end: number, centre: number, power: 1 | 2): number {
  const lanes = [0, 0, 0, 0];
  const whole = end - ((end - from) % 4);
  for (let i = from; i < end; i++) {
    const value = x[i] - centre;
    lanes[i < whole ? (i - from) % 4 : 0] += power === 1 ? value : value * value;
  }
  return lanes[0] + lanes[1] + (lanes[2] + lanes[3]);
}

/** Gives rows of y [rows, Σ widths], in normalised coordinates, what LayerNorm took: x̂ = y·σ + m, in place. */
export function undoLayerNorm(
  y: Float32Array,
  widths: readonly number[],
  { mean, deviation }: RowMoments,
): void {
  let at = 0;
  for (let vector = 0; vector < mean.length; vector++) {
    const end = at + widths[vector % widths.length];
    for (; at < end; at++) y[at] = y[at] * deviation[vector] + mean[vector];
  }
}
