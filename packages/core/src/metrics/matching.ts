/**
 * Which latent found which true feature, by the directions of decoder and features: one-to-one (MCC) and each latent
 * for itself (uniqueness). By |cosine|, as SynthSAEBench (arXiv 2602.14687) and arXiv 2505.20254 define both.
 */
import type { CosineMatrix } from "./cosines.ts";

/**
 * Solves the assignment problem: pairs [row, column], each row and column at most once, min(rows, columns) of them,
 * with the least sum of costs. Core has no dependencies, so the caller brings the solver.
 */
export type Assign = (costs: readonly Float32Array[]) => readonly (readonly [row: number, column: number])[];

/** A latent (row) and the feature (column) that it was matched with. */
export interface Match {
  readonly row: number;
  readonly column: number;
  readonly cosine: number;
}

/** The one-to-one matching of rows and columns with the largest sum of |cosine|: min(rows, columns) pairs, by row. */
export function matchDirections({ rows, columns, values }: CosineMatrix, assign: Assign): Match[] {
  const costs = Array.from({ length: rows }, (_, row) =>
    values.slice(row * columns, (row + 1) * columns).map((cosine) => -Math.abs(cosine)),
  );
  return assign(costs)
    .map(([row, column]) => ({ row, column, cosine: values[row * columns + column] }))
    .sort((a, b) => a.row - b.row);
}

/** Mean correlation coefficient (MCC): mean |cosine| of matched pairs. NaN without pairs. */
export function meanCorrelation(matches: readonly Match[]): number {
  return matches.reduce((sum, { cosine }) => sum + Math.abs(cosine), 0) / matches.length;
}

/** For each row (latent) the column (feature) with the largest |cosine|, ties to the lower column. */
export function bestMatches({ rows, columns, values }: CosineMatrix): Int32Array {
  const best = new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    const at = row * columns;
    for (let column = 1; column < columns; column++)
      if (Math.abs(values[at + column]) > Math.abs(values[at + best[row]])) best[row] = column;
  }
  return best;
}

/** Different features among the best matches, divided by the number of latents: 1 when no two track the same. */
export function uniqueness(best: Int32Array): number {
  return new Set(best).size / best.length;
}
