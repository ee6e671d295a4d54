/**
 * Quantiles of any number of magnitudes in bounded memory: a histogram over the leading bits of their float32
 * representation. No randomness and no order: the same numbers give the same answers. Depends on nothing.
 */

/** Bits of the mantissa that tell bins apart: a bin is 1/512 wide, relative to its lower edge. */
const MANTISSA_BITS = 9;
const SHIFT: number = 23 - MANTISSA_BITS;
const BINS: number = 2 ** (8 + MANTISSA_BITS);

/** Counts magnitudes (numbers of at least 0) by size. 2 MB, whatever is added. */
export class MagnitudeSketch {
  readonly #counts: Float64Array = new Float64Array(BINS);
  /** Sum of the squares in each bin. */
  readonly #squares: Float64Array = new Float64Array(BINS);
  readonly #float: Float32Array = new Float32Array(1);
  readonly #bits: Uint32Array = new Uint32Array(this.#float.buffer);
  #count = 0;
  #least = Infinity;
  #greatest = 0;

  /** How many were added. */
  get count(): number {
    return this.#count;
  }

  /** Adds a finite magnitude. */
  add(magnitude: number): void {
    this.#float[0] = magnitude;
    const bin = this.#bits[0]! >>> SHIFT;
    this.#counts[bin]!++;
    this.#squares[bin]! += magnitude * magnitude;
    this.#count++;
    if (magnitude < this.#least) this.#least = magnitude;
    if (magnitude > this.#greatest) this.#greatest = magnitude;
  }

  /**
   * Quantiles, between neighbours linearly as numpy's default: exact at 0 and 1, else off by at most one part in
   * 512, for magnitudes that float32 can hold. NaN when nothing was added.
   * @param shares from 0 to 1.
   */
  quantiles(shares: readonly number[]): number[] {
    if (this.#count === 0) return shares.map(() => NaN);
    return shares.map((share) => {
      const rank = share * (this.#count - 1);
      const below = Math.floor(rank);
      const low = this.#atRank(below);
      return below === rank ? low : low + (rank - below) * (this.#atRank(below + 1) - low);
    });
  }

  /** Share of the sum of all squares that the `rows` largest hold. 0 when the sum is 0. */
  squaresOfTop(rows: number): number {
    let left = rows;
    let top = 0;
    let total = 0;
    for (let bin = BINS - 1; bin >= 0; bin--) {
      const count = this.#counts[bin]!;
      if (count === 0) continue;
      total += this.#squares[bin]!;
      // Of the bin that is cut, whose magnitudes differ by 1/512, a proportional part.
      top += this.#squares[bin]! * Math.min(1, left / count);
      left = Math.max(0, left - count);
    }
    return total === 0 ? 0 : top / total;
  }

  /** Sum of a function over all magnitudes, each taken as the middle of its bin. */
  sum(of: (magnitude: number) => number): number {
    let sum = 0;
    for (let bin = 0; bin < BINS; bin++) {
      const count = this.#counts[bin]!;
      if (count > 0) sum += count * of((lowerEdge(bin) + lowerEdge(bin + 1)) / 2);
    }
    return sum;
  }

  /** About the magnitude that has `rank` smaller ones. */
  #atRank(rank: number): number {
    if (rank === 0) return this.#least;
    if (rank === this.#count - 1) return this.#greatest;
    let bin = 0;
    let before = 0;
    while (before + this.#counts[bin]! <= rank) before += this.#counts[bin++]!;
    // Zeros, and what is no more than that.
    if (bin === 0) return this.#least;
    const low = lowerEdge(bin);
    const value = low + ((rank - before + 0.5) / this.#counts[bin]!) * (lowerEdge(bin + 1) - low);
    return Math.min(Math.max(value, this.#least), this.#greatest);
  }
}

function lowerEdge(bin: number): number {
  const exponent = bin >>> MANTISSA_BITS;
  const fraction = (bin & (2 ** MANTISSA_BITS - 1)) / 2 ** MANTISSA_BITS;
  return exponent === 0 ? fraction * 2 ** -126 : (1 + fraction) * 2 ** (exponent - 127);
}
