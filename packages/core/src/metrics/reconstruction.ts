/** How reconstructions lie to their rows, beyond the squared error: direction, length and bias. All in raw units. */
import type { FloatArray } from "../precision.ts";

/** Sums over rows, to be added up by {@link addReconstructions}. */
export interface ReconstructionSums {
  rows: number;
  /** Σ cos(x, x̂) over rows that are not 0; 0 where x̂ is. */
  cosine: number;
  /** Σ ‖x̂‖/‖x‖ over rows that are not 0. */
  normRatio: number;
  /** Rows that are not 0. */
  nonZeroRows: number;
  /** Σ ‖x̂‖². */
  squares: number;
  /** Σ x·x̂. */
  products: number;
}

/** Norm at which a row counts as 0 (as in SAELens's synthetic evaluation). */
const ZERO_NORM = 1e-6;

/** Sums over no rows. */
export function emptyReconstructionSums(): ReconstructionSums {
  return { rows: 0, cosine: 0, normRatio: 0, nonZeroRows: 0, squares: 0, products: 0 };
}

/** Adds rows x [rows, dIn] and their reconstructions x̂ [rows, dIn]. */
export function addReconstructions(
  sums: ReconstructionSums,
  x: FloatArray,
  reconstruction: FloatArray,
  rows: number,
  dIn: number,
): void {
  for (let row = 0; row < rows; row++) {
    let square = 0;
    let rebuilt = 0;
    let product = 0;
    for (let j = row * dIn; j < (row + 1) * dIn; j++) {
      square += x[j] * x[j];
      rebuilt += reconstruction[j] * reconstruction[j];
      product += x[j] * reconstruction[j];
    }
    sums.rows++;
    sums.squares += rebuilt;
    sums.products += product;
    if (square > ZERO_NORM ** 2) {
      sums.nonZeroRows++;
      sums.normRatio += Math.sqrt(rebuilt / square);
      if (rebuilt > 0) sums.cosine += product / Math.sqrt(square * rebuilt);
    }
  }
}

/** Reported numbers of a set of rows. NaN where there is no row to measure. */
export interface ReconstructionMetrics {
  /** Mean cosine between row and reconstruction, over rows that are not 0. */
  readonly cosineSimilarity: number;
  /** Mean of ‖x̂‖/‖x‖ over rows that are not 0: below 1 when the penalty shrinks activations. */
  readonly shrinkage: number;
  /** γ = mean ‖x̂‖² / mean x·x̂: 1 without bias, below 1 when reconstructions are too short (Rajamanoharan 2024). */
  readonly relativeBias: number;
}

/** The reported numbers of `sums`. */
export function reconstructionMetrics(sums: ReconstructionSums): ReconstructionMetrics {
  return {
    cosineSimilarity: sums.cosine / sums.nonZeroRows,
    shrinkage: sums.normRatio / sums.nonZeroRows,
    relativeBias: sums.squares / sums.products,
  };
}
