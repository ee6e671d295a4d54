/**
 * Latents as detectors of true features: precision, recall and F1 of each latent for the feature that its decoder
 * row is most like (SynthSAEBench, arXiv 2602.14687). A ratio without denominator is 0, and counts in the means.
 */

/** Counts over rows, to be added up by {@link countDetections}. */
export interface DetectionCounts {
  /** The feature of each latent [latents]. */
  readonly featureOf: Int32Array;
  rows: number;
  /** Features active, summed over rows. */
  activeFeatures: number;
  /** Rows in which the latent is active [latents]. */
  readonly fired: Float64Array;
  /** Rows in which the feature is active [features]. */
  readonly present: Float64Array;
  /** Rows in which the latent and its feature are active [latents]. */
  readonly together: Float64Array;
  /** The last row that had the feature [features]; scratch. */
  readonly seen: Float64Array;
}

/** Counts over no rows. `featureOf`: the feature of each latent, see bestMatches. */
export function emptyDetections(featureOf: Int32Array, features: number): DetectionCounts {
  return {
    featureOf,
    rows: 0,
    activeFeatures: 0,
    fired: new Float64Array(featureOf.length),
    present: new Float64Array(features),
    together: new Float64Array(featureOf.length),
    seen: new Float64Array(features),
  };
}

/** Adds one row: its active latents latents[from] … latents[to − 1], and its true features. */
export function countDetections(
  counts: DetectionCounts,
  latents: ArrayLike<number>,
  from: number,
  to: number,
  features: ArrayLike<number>,
): void {
  const { featureOf, fired, present, together, seen } = counts;
  counts.rows++;
  counts.activeFeatures += features.length;
  for (let i = 0; i < features.length; i++) {
    present[features[i]]++;
    seen[features[i]] = counts.rows;
  }
  for (let i = from; i < to; i++) {
    const latent = latents[i];
    fired[latent]++;
    if (seen[featureOf[latent]] === counts.rows) together[latent]++;
  }
}

/** How well latents detect features. */
export interface DetectionMetrics {
  /** Means over all latents. */
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** Mean number of true features per row. */
  readonly trueL0: number;
  /** Per latent [latents]. */
  readonly latents: {
    readonly precision: Float64Array;
    readonly recall: Float64Array;
    readonly f1: Float64Array;
  };
}

/** Precision, recall and their harmonic mean F1 from the counts. */
export function detectionMetrics(counts: DetectionCounts): DetectionMetrics {
  const { featureOf, rows, activeFeatures, fired, present, together } = counts;
  const ratio = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);
  const precision = together.map((count, latent) => ratio(count, fired[latent]));
  const recall = together.map((count, latent) => ratio(count, present[featureOf[latent]]));
  const f1 = precision.map((p, latent) => ratio(2 * p * recall[latent], p + recall[latent]));
  const mean = (values: Float64Array): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    precision: mean(precision),
    recall: mean(recall),
    f1: mean(f1),
    trueL0: activeFeatures / rows,
    latents: { precision, recall, f1 },
  };
}
