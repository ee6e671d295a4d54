/** What our numbers mean: see the formulas at each function. */
import { type Arena, SUMMARY } from "./arena.ts";
import { SUMMARY_FIELDS } from "./plan.ts";

/** Sums over rows, from which every reported number follows; add up over mini-batches with {@link addSums}. */
export interface RowSums {
  rows: number;
  /** Σ ‖x − x̂‖². */
  squaredError: number;
  /** Σ ‖x − x̄‖² about the corpus's mean. */
  squares: number;
  /** Active latents over all rows. */
  active: number;
}

/** Reported numbers of a set of rows. */
export interface Metrics {
  /** Mean over rows of the squared error summed over dimensions. */
  readonly mse: number;
  /** Fraction of variance unexplained: Σ‖x − x̂‖² / Σ‖x − x̄‖² with the corpus's mean; 1 − explained variance. */
  readonly fvu: number;
  /** Mean number of active latents per row. */
  readonly l0: number;
}

/** Sums over no rows. */
export function emptySums(): RowSums {
  return { rows: 0, squaredError: 0, squares: 0, active: 0 };
}

/** Adds the summary of the step in `slot` to `sums`. */
export function addSums(sums: RowSums, arena: Arena, slot: number): void {
  const at = slot * SUMMARY_FIELDS;
  const field = (index: number): number => arena.summaries[at + index];
  sums.rows += field(SUMMARY.rows);
  sums.squaredError += field(SUMMARY.squaredError);
  sums.squares += field(SUMMARY.squares);
  sums.active += field(SUMMARY.active);
}

/** The reported numbers of `sums`. FVU of rows without variance is NaN. */
export function metricsOf(sums: RowSums): Metrics {
  return {
    mse: sums.squaredError / sums.rows,
    fvu: sums.squaredError / sums.squares,
    l0: sums.active / sums.rows,
  };
}

/** A histogram of activation densities: how often each latent is active. */
export interface DensityHistogram {
  /** Latents that were never active. */
  readonly never: number;
  /** Lower edges of the bins as powers of ten: −6 means densities from 1e-6. The first bin takes all below, too. */
  readonly log10Edges: readonly number[];
  /** Latents per bin. */
  readonly counts: readonly number[];
}

/** Bins the densities fireCount/examples of all latents into half decades from 10⁻⁶ to 1. */
export function densityHistogram(fireCount: ArrayLike<number>, examples: number): DensityHistogram {
  const log10Edges = Array.from({ length: 12 }, (_, bin) => -6 + bin / 2);
  const counts = log10Edges.map(() => 0);
  let never = 0;
  for (let latent = 0; latent < fireCount.length; latent++) {
    const count = fireCount[latent] as number;
    if (count === 0) {
      never++;
      continue;
    }
    const bin = Math.floor((Math.log10(count / examples) + 6) * 2);
    const clamped = Math.min(Math.max(bin, 0), counts.length - 1);
    counts[clamped] = (counts[clamped] as number) + 1;
  }
  return { never, log10Edges, counts };
}

/**
 * Mean over the true features [features, dIn] of the largest cosine with any learned direction [latents, dIn]:
 * 1 when every true feature was found (MMCS, Sharkey et al. 2022).
 */
export function meanMaximumCosine(features: Float32Array, learned: Float32Array, dIn: number): number {
  const count = features.length / dIn;
  const latents = learned.length / dIn;
  const norms = new Float64Array(latents);
  for (let latent = 0; latent < latents; latent++) norms[latent] = rowNorm(learned, latent, dIn);
  let sum = 0;
  for (let feature = 0; feature < count; feature++) {
    const norm = rowNorm(features, feature, dIn);
    let best = -1;
    for (let latent = 0; latent < latents; latent++) {
      let dot = 0;
      for (let j = 0; j < dIn; j++) dot += features[feature * dIn + j] * learned[latent * dIn + j];
      const cosine = dot / (norm * norms[latent]);
      if (cosine > best) best = cosine;
    }
    sum += best;
  }
  return sum / count;
}

function rowNorm(rows: Float32Array, row: number, dIn: number): number {
  let square = 0;
  for (let j = 0; j < dIn; j++) square += rows[row * dIn + j] ** 2;
  return Math.sqrt(square);
}
