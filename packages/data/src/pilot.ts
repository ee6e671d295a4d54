/**
 * A first look at rows: their mean and median norm, about which the statistics are summed up. Depends on the sketch
 * only.
 */
import { MagnitudeSketch } from "./magnitude-sketch.ts";

/** What is known of the rows beforehand. */
export interface ProvisionalStatistics {
  /** About mu, `[dIn]`; the nearer, the better `meanCentredNorm` and `topVarianceShare`. */
  readonly mean: ArrayLike<number>;
  /** About the median of ||x||; decides which rows are typical. */
  readonly medianNorm: number;
}

/** ||x||^2, in a fixed order: four sums, because one alone waits for itself. */
export function squareNorm(values: Float32Array, from: number, dIn: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const end = from + dIn;
  let i = from;
  for (; i + 3 < end; i += 4) {
    const w = values[i]!;
    const x = values[i + 1]!;
    const y = values[i + 2]!;
    const z = values[i + 3]!;
    a += w * w;
    b += x * x;
    c += y * y;
    d += z * z;
  }
  for (; i < end; i++) a += values[i]! * values[i]!;
  return a + b + (c + d);
}

/** Mean and median norm only: what `StatisticsAccumulator` wants to know beforehand. */
export class PilotAccumulator {
  readonly #sum: Float64Array;
  readonly #norms: MagnitudeSketch = new MagnitudeSketch();

  constructor(dIn: number) {
    this.#sum = new Float64Array(dIn);
  }

  /** Takes in a row; false when it has a number that is not finite, which leaves it out. */
  addRow(values: Float32Array, from: number): boolean {
    const sum = this.#sum;
    const square = squareNorm(values, from, sum.length);
    if (!Number.isFinite(square)) return false;
    for (let i = 0; i < sum.length; i++) sum[i]! += values[from + i]!;
    this.#norms.add(Math.sqrt(square));
    return true;
  }

  /** Undefined when there was no row. */
  finish(): ProvisionalStatistics | undefined {
    const rows = this.#norms.count;
    if (rows === 0) return undefined;
    const [medianNorm] = this.#norms.quantiles([0.5]);
    return { mean: this.#sum.map((value) => value / rows), medianNorm: medianNorm! };
  }
}
