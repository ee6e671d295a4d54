/**
 * Resampling of dead latents as in Towards Monosemanticity (Bricken et al. 2023, appendix): each becomes a latent for
 * one row that the model rebuilds badly, drawn with probability proportional to the square of the row's loss. Its
 * decoder row is the row's direction from b_dec, its encoder the same direction with 0.2 of the living encoders' mean
 * norm, its bias 0, and the optimiser begins anew for all of them. For plain L1 with unit decoder rows, where a dead
 * latent gets no gradient at all. See decision 020.
 */
import type { SparseArena } from "./arena-sparse.ts";
import { type FloatArray, roundingTo } from "./precision.ts";
import { CONTROL } from "./control.ts";
import { PURPOSE, uniform } from "./random.ts";
import { startCopies } from "./optimizers/index.ts";
import { finishDecoderRow } from "./decoder-parts.ts";
import { laneScratch } from "./reference/chains.ts";

/** Norm of a resampled latent's encoder, as a share of the living ones' mean. */
const ENCODER_SHARE = 0.2;

/** Latents without activation in the last `window` of `examples`, in ascending order. */
export function latentsSilentFor(arena: SparseArena, examples: number, window: number): number[] {
  const silent: number[] = [];
  arena.lastFired.forEach((last, latent) => {
    if (examples - last >= window) silent.push(latent);
  });
  return silent;
}

/**
 * Draws at most `capacity` rows without replacement, each next one with probability proportional to its weight among
 * those left (Efraimidis & Spirakis 2006): the rows with the least −ln(u)/weight, u being a function of (seed, step, row
 * index). So it does not matter in which order the rows pass.
 */
export class WeightedRows {
  readonly #capacity: number;
  readonly #seed: number;
  readonly #step: number;
  readonly #rows: Float32Array;
  readonly #dIn: number;
  /** A heap, the greatest key first: who goes next. */
  readonly #heap: { key: number; rowId: number; place: number }[] = [];

  constructor(capacity: number, dIn: number, seed: number, step: number) {
    this.#capacity = capacity;
    this.#dIn = dIn;
    this.#seed = seed;
    this.#step = step;
    this.#rows = new Float32Array(capacity * dIn);
  }

  /** Takes in row `rowId`, which lies in `rows` from element `at` on. A weight that is not above 0 is never drawn. */
  add(rowId: number, weight: number, rows: FloatArray, at: number): void {
    if (!(weight > 0) || this.#capacity === 0) return;
    const heap = this.#heap;
    const key = -Math.log(1 - uniform(this.#seed, PURPOSE.resampledRow, this.#step, rowId)) / weight;
    const entry = { key, rowId, place: heap.length };
    if (heap.length < this.#capacity) {
      heap.push(entry);
      this.#rise(heap.length - 1);
    } else if (isAfter(heap[0], entry)) {
      entry.place = heap[0].place;
      heap[0] = entry;
      this.#sink(0);
    } else {
      return;
    }
    this.#rows.set(rows.subarray(at, at + this.#dIn), entry.place * this.#dIn);
  }

  /** The drawn rows [at most capacity, dIn], in the order in which they were drawn. */
  drawn(): Float32Array {
    const order = this.#heap.toSorted((a, b) => (isAfter(a, b) ? 1 : -1));
    const rows = new Float32Array(order.length * this.#dIn);
    order.forEach(({ place }, i) => {
      rows.set(this.#rows.subarray(place * this.#dIn, (place + 1) * this.#dIn), i * this.#dIn);
    });
    return rows;
  }

  #rise(at: number): void {
    const heap = this.#heap;
    for (let i = at; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!isAfter(heap[i], heap[parent])) return;
      [heap[i], heap[parent]] = [heap[parent], heap[i]];
      i = parent;
    }
  }

  #sink(at: number): void {
    const heap = this.#heap;
    for (let i = at; ; ) {
      let greatest = i;
      for (const child of [2 * i + 1, 2 * i + 2])
        if (child < heap.length && isAfter(heap[child], heap[greatest])) greatest = child;
      if (greatest === i) return;
      [heap[i], heap[greatest]] = [heap[greatest], heap[i]];
      i = greatest;
    }
  }
}

/** Whether `a` is drawn after `b`: by key, then by row. */
function isAfter(a: { key: number; rowId: number }, b: { key: number; rowId: number }): boolean {
  return a.key > b.key || (a.key === b.key && a.rowId > b.rowId);
}

/**
 * Gives each of `dead` a row of `rows` [any number, dIn], in order, as far as they go; a row at b_dec itself has no
 * direction and leaves its latent as it is. Returns how many latents were made anew. Between steps, on one thread.
 */
export function resampleLatents(arena: SparseArena, dead: readonly number[], rows: Float32Array): number {
  const { model, W_enc, b_enc, W_dec, b_dec, plan, control } = arena;
  const { dIn, latents } = model;
  const lanes = laneScratch(plan.precision);
  const round = roundingTo(plan.precision);
  const encoderNorm = ENCODER_SHARE * meanNormOfOthers(W_enc.value, dIn, latents, new Set(dead));
  const direction = new Float64Array(dIn);
  let resampled = 0;
  for (let i = 0; i < dead.length && (i + 1) * dIn <= rows.length; i++) {
    let square = 0;
    for (let j = 0; j < dIn; j++) {
      direction[j] = rows[i * dIn + j] - b_dec.value[j];
      square += direction[j] ** 2;
    }
    if (square === 0) continue;
    const at = dead[i] * dIn;
    for (let j = 0; j < dIn; j++) {
      const unit = direction[j] / Math.sqrt(square);
      W_dec.value[at + j] = unit;
      W_enc.value[at + j] = encoderNorm * unit;
    }
    finishDecoderRow(arena, dead[i], lanes, round);
    b_enc.value[dead[i]] = 0;
    for (const moments of [W_enc.m, W_enc.v, W_dec.m, W_dec.v]) moments.fill(0, at, at + dIn);
    for (const moments of [b_enc.m, b_enc.v]) moments[dead[i]] = 0;
    for (const weights of [W_enc, W_dec]) startCopies(weights, at, dIn);
    startCopies(b_enc, dead[i], 1);
    resampled++;
  }
  // All latents are quantised anew at the next step: nobody else knows of the changed ones.
  if (resampled > 0) control[CONTROL.equaliseAt] = 0;
  return resampled;
}

/** Mean norm of the rows that are not in `without`; 1 where there are none. */
function meanNormOfOthers(
  values: FloatArray,
  dIn: number,
  rows: number,
  without: ReadonlySet<number>,
): number {
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    if (without.has(row)) continue;
    let square = 0;
    for (let j = row * dIn; j < (row + 1) * dIn; j++) square += values[j] ** 2;
    sum += Math.sqrt(square);
  }
  const others = rows - without.size;
  return others === 0 ? 1 : sum / others;
}
