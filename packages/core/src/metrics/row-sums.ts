/** What our numbers mean: see the formulas at each function. */
import type { Arena } from "../arena.ts";
import { SUMMARY, SUMMARY_FIELDS } from "../fields.ts";

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
