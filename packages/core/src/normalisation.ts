/**
 * Scaling of rows by statistics of the corpus, x′ = s·(x − μ), and its folding into an exported model, so that
 * the model works on raw activations. The two scalings differ when norms have outliers. LayerNorm, by each row's own
 * statistics, comes before that and stays outside the model's weights.
 */
import { layerNormRows } from "./layer-norm.ts";

/** How the scalar s is chosen. With centring, norms are those of x − μ. */
export type ScaleKind =
  /** s = 1. */
  | "none"
  /** s = √d / mean‖x‖, as SAELens's `expected_average_only_in`. */
  | "sqrt-d"
  /** s = 1 / √(mean‖x‖²), as dictionary_learning. */
  | "unit-mean-square";

/** What the transform needs to know of a corpus. */
export interface ScaleStatistics {
  readonly dIn: number;
  /** μ [dIn]. */
  readonly mean: ArrayLike<number>;
  /** mean‖x‖. */
  readonly meanNorm: number;
  /** mean‖x‖². */
  readonly meanSquareNorm: number;
  /** mean‖x − μ‖. */
  readonly meanCentredNorm: number;
  /** mean‖x − μ‖². */
  readonly totalVariance: number;
}

/**
 * x′ = scale·(x − mean); without mean x′ = scale·x. Both are float32 numbers: what is applied is what is folded. Where
 * columns differ in scale, `scales` has one for each dimension, and `scale` is 1. With `layerNorm` x is what LayerNorm
 * makes of a row.
 */
export interface RowTransform {
  readonly mean: Float32Array | undefined;
  readonly scale: number;
  readonly scales?: Float32Array | undefined;
  /** Widths of the vectors in a row, each of which LayerNorm normalises first. Absent: rows are not normalised. */
  readonly layerNorm?: readonly number[] | undefined;
}

/** What dimension `i` is multiplied by. */
export function scaleOf({ scale, scales }: RowTransform, i: number): number {
  return scales === undefined ? scale : (scales[i] as number);
}

/** The transform that leaves rows as they are. */
export const IDENTITY_TRANSFORM: RowTransform = { mean: undefined, scale: 1 };

/**
 * Variance over mean square below which rows count as equal: they then differ by less than the spacing of float32
 * numbers, and what is left is rounding of the mean. Scaling it up would make a model of noise.
 */
const NO_VARIANCE = 2 ** -46;

/** Chooses the transform. A corpus whose rows are all equal (or zero) gets scale 1. */
export function rowTransform(kind: ScaleKind, centre: boolean, statistics: ScaleStatistics): RowTransform {
  if (centre && statistics.totalVariance <= NO_VARIANCE * statistics.meanSquareNorm) kind = "none";
  const norm = centre ? statistics.meanCentredNorm : statistics.meanNorm;
  const square = centre ? statistics.totalVariance : statistics.meanSquareNorm;
  let scale = 1;
  if (kind === "sqrt-d" && norm > 0) scale = Math.sqrt(statistics.dIn) / norm;
  if (kind === "unit-mean-square" && square > 0) scale = 1 / Math.sqrt(square);
  return { mean: centre ? Float32Array.from(statistics.mean) : undefined, scale: Math.fround(scale) };
}

/** Chooses the transform of rows that are vectors side by side: for each by its own statistics. */
export function columnsTransform(
  kind: ScaleKind,
  centre: boolean,
  columns: readonly ScaleStatistics[],
): RowTransform {
  const parts = columns.map((statistics) => rowTransform(kind, centre, statistics));
  const scales = columns.flatMap(({ dIn }, i) => Array<number>(dIn).fill(parts[i]?.scale ?? 1));
  return {
    mean: centre ? Float32Array.from(columns.flatMap(({ mean }) => Array.from(mean))) : undefined,
    scale: 1,
    scales: Float32Array.from(scales),
  };
}

/** Applies the transform to raw rows [any number, dIn], as the data path does: subtract and multiply in float32. */
export function transformRows(rows: ArrayLike<number>, dIn: number, transform: RowTransform): Float32Array {
  const { layerNorm } = transform;
  const normalised = layerNorm === undefined ? rows : layerNormRows(rows, layerNorm).values;
  return scaleAndCentre(normalised, dIn, transform);
}

/**
 * The mean of transformed rows, from the rows' mean [dIn]. LayerNorm does not take means to means: with it `mean` must
 * be that of the normalised rows.
 */
export function transformMean(mean: ArrayLike<number>, transform: RowTransform): Float32Array {
  return scaleAndCentre(mean, mean.length, transform);
}

function scaleAndCentre(rows: ArrayLike<number>, dIn: number, transform: RowTransform): Float32Array {
  const { mean } = transform;
  const out = new Float32Array(rows.length);
  for (let i = 0; i < rows.length; i++) {
    const value = rows[i] as number;
    out[i] =
      scaleOf(transform, i % dIn) *
      (mean === undefined ? value : Math.fround(value - (mean[i % dIn] as number)));
  }
  return out;
}
