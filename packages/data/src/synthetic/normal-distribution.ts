/**
 * The standard normal distribution: its cumulative function, the inverse, and a quick exact test against a
 * uniform number. Works on numbers only; depends on nothing.
 */

/** Above this |u| a 32-bit uniform number cannot tell the probability from 0 or 1. */
const FAR = 8;
/** Cells of the table for a difference of 1 in u. */
const CELLS = 64;

/** P(N <= u) for a standard normal N, to about 1e-15. */
export function normalCdf(u: number): number {
  if (Number.isNaN(u)) return Number.NaN;
  if (u === Infinity) return 1;
  if (u === -Infinity) return 0;
  const density = Math.exp(-0.5 * u * u) / Math.sqrt(2 * Math.PI);
  const size = Math.abs(u);
  if (size < 3) {
    // P(N <= u) = 1/2 + density * (u + u^3/3 + u^5/(3*5) + ...): the Taylor series about 0.
    let term = u;
    let sum = u;
    for (let n = 3; Math.abs(term) > 1e-18; n += 2) {
      term *= (u * u) / n;
      sum += term;
    }
    return 0.5 + density * sum;
  }
  // The tail's continued fraction, 1/(u + 1/(u + 2/(u + 3/(u + ...)))), from its far end.
  let fraction = size;
  for (let n = 60; n >= 1; n--) fraction = size + n / fraction;
  const tail = density / fraction;
  return u > 0 ? 1 - tail : tail;
}

/** The u with `normalCdf(u) = probability`; -Infinity at 0 (or below), Infinity at 1 (or above). */
export function normalQuantile(probability: number): number {
  if (!(probability > 0)) return -Infinity;
  if (probability >= 1) return Infinity;
  // By symmetry in the lower half, where the probability has its full relative precision.
  if (probability > 0.5) return -normalQuantile(1 - probability);
  let low = -39;
  let high = 0;
  let u = -Math.sqrt(Math.max(0, -2 * Math.log(2 * probability)));
  for (let i = 0; i < 60; i++) {
    const error = normalCdf(u) - probability;
    if (error > 0) high = u;
    else low = u;
    const density = Math.exp(-0.5 * u * u) / Math.sqrt(2 * Math.PI);
    // Newton's step where it stays inside the bracket, else the middle.
    let next = u - error / density;
    if (!(next > low && next < high)) next = (low + high) / 2;
    if (Math.abs(next - u) < 1e-14 * Math.max(1, Math.abs(u))) return next;
    u = next;
  }
  return u;
}

/** Bounds on `normalCdf` from a table, and exact tests that seldom need more than the table. */
export class NormalTable {
  /** normalCdf at -FAR + i / CELLS. */
  readonly #values: Float64Array = Float64Array.from({ length: 2 * FAR * CELLS + 1 }, (_, i) =>
    normalCdf(i / CELLS - FAR),
  );

  /** A number that is at least `normalCdf(u)`, and near it. */
  atLeast(u: number): number {
    if (!(u > -FAR)) return this.#values[0]!;
    if (!(u < FAR)) return 1;
    return this.#values[Math.floor((u + FAR) * CELLS) + 1]!;
  }

  /** Whether `uniform < normalCdf(u)`. */
  isBelow(uniform: number, u: number): boolean {
    if (!(u > -FAR)) return false;
    if (!(u < FAR)) return true;
    const cell = Math.floor((u + FAR) * CELLS);
    if (uniform < this.#values[cell]!) return true;
    if (uniform >= this.#values[cell + 1]!) return false;
    return uniform < normalCdf(u);
  }
}
