/**
 * Randomness as a pure function of (seed, purpose, index, counter): nothing runs, nothing is stored, so any
 * place of a stream can be recomputed. The mathematics package has its own; the two packages do not know each
 * other, and a shared one would tie their streams together for no gain. Depends on nothing.
 */

/** What a number is drawn for: equal indices give unrelated numbers for different purposes. */
export const Purpose = {
  blockOrder: 1,
  rowOrder: 2,
  heldOut: 3,
  statisticsSample: 4,
  rowSample: 5,
  directions: 6,
  activeFeature: 7,
  magnitude: 8,
  noise: 9,
  correlation: 10,
  correlationFactor: 11,
  featureSkip: 12,
  siblingOrder: 13,
  magnitudeSd: 14,
  bias: 15,
  fullOrder: 32,
} as const;

const TWO_32 = 4294967296;

/**
 * 32 pseudo-random bits, as an unsigned integer, from a seed and up to three numbers.
 * @param seed any safe integer.
 * @param purpose a small integer, see `Purpose`.
 * @param index any safe integer of 0 or more; its high word counts too.
 * @param counter an unsigned 32-bit integer.
 */
export function hash32(seed: number, purpose: number, index = 0, counter = 0): number {
  const { x, y } = hashPair(seed, purpose, index);
  return drawFrom(x, y, counter);
}

/** What `hash32` makes of everything but the counter: draws of one index are `drawFrom(x, y, counter)`. */
function hashPair(seed: number, purpose: number, index: number): { x: number; y: number } {
  // Two 32-bit lanes; each word changes x by a bijection and y by a hash of x, so that two inputs meet only
  // if 64 bits agree, and neighbouring inputs share nothing.
  let x = mixA(seed | 0);
  let y = mixB(Math.floor(seed / TWO_32) | 0);
  x = mixA(x ^ purpose);
  y = mixB(y ^ x);
  x = mixA(x ^ (index | 0));
  y = mixB(y ^ x);
  if (index >= TWO_32) {
    x = mixA(x ^ Math.floor(index / TWO_32));
    y = mixB(y ^ x);
  }
  return { x, y };
}

/** One number of a row's own sequence, when (x, y) are two hashes of the row: faster than four words each. */
export function drawFrom(x: number, y: number, counter: number): number {
  return mixB(y ^ mixA(x ^ counter)) >>> 0;
}

/** The key of a row's own number sequence for one purpose: draws of it are `drawFrom(x, y, counter)`. */
export interface RowKey {
  readonly x: number;
  readonly y: number;
}

/** The key of row `index`; arguments as in `hash32`. */
export function rowKey(seed: number, purpose: number, index: number): RowKey {
  return { x: hash32(seed, purpose, index, 0), y: hash32(seed, purpose, index, 1) };
}

/** 32 bits as a number in [0, 1). */
export function toUniform(bits: number): number {
  return bits / TWO_32;
}

/** A number in [0, 1), uniformly distributed. Arguments as in `hash32`. */
export function uniform(seed: number, purpose: number, index = 0, counter = 0): number {
  return hash32(seed, purpose, index, counter) / TWO_32;
}

/** A standard normal number (Box-Muller) from counters `2 * counter` and `2 * counter + 1`. */
export function gaussian(seed: number, purpose: number, index = 0, counter = 0): number {
  const radius = boxMullerRadius(hash32(seed, purpose, index, 2 * counter));
  return radius * Math.cos(2 * Math.PI * uniform(seed, purpose, index, 2 * counter + 1));
}

/** Box-Muller's radius from 32 bits, taken as a number in (0, 1] so that its logarithm is finite. */
export function boxMullerRadius(bits: number): number {
  return Math.sqrt(-2 * Math.log((bits + 1) / TWO_32));
}

/**
 * A permutation of 0 .. length - 1 (Fisher-Yates), every order equally likely up to the resolution of 32 bits.
 * @param length at most 2^32.
 */
export function permutation(length: number, seed: number, purpose: number, index = 0): Uint32Array {
  const order = new Uint32Array(length);
  for (let i = 0; i < length; i++) order[i] = i;
  shuffleInPlace(order, length, seed, purpose, index);
  return order;
}

/** Permutes the first `length` elements of `items` in place; see `permutation`. */
export function shuffleInPlace(
  items: Uint32Array,
  length: number,
  seed: number,
  purpose: number,
  index = 0,
): void {
  const { x, y } = hashPair(seed, purpose, index);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor((drawFrom(x, y, i) / TWO_32) * (i + 1));
    const held = items[i]!;
    items[i] = items[j]!;
    items[j] = held;
  }
}

/** Rounds of an `IndexPermutation`: neighbours are as far apart as chance has it after 4; the rest is margin. */
const ROUNDS = 6;

/**
 * A permutation of 0 .. length - 1 of which any place can be asked, and that takes no memory. Not every order is
 * possible, as it is with `permutation`: shuffle what was drawn together once more. A Feistel network over pairs
 * (a, b) of remainders, whose few values beyond `length` are sent through again.
 */
export class IndexPermutation {
  readonly #length: number;
  readonly #rowsOfPairs: number;
  readonly #columnsOfPairs: number;
  readonly #keys: readonly { readonly x: number; readonly y: number }[];

  /** @param length at most 2^53; arguments as in `hash32`, of which `index` is below 2^48. */
  constructor(length: number, seed: number, purpose: number, index = 0) {
    this.#length = length;
    this.#columnsOfPairs = Math.max(1, Math.ceil(Math.sqrt(length)));
    this.#rowsOfPairs = Math.max(1, Math.ceil(length / this.#columnsOfPairs));
    this.#keys = Array.from({ length: ROUNDS }, (_, round) =>
      hashPair(seed, purpose, index * ROUNDS + round),
    );
  }

  /** What stands at `place`, an integer from 0 on, below the length. */
  at(place: number): number {
    const rows = this.#rowsOfPairs;
    const columns = this.#columnsOfPairs;
    let value = place;
    do {
      let a = Math.floor(value / columns);
      let b = value - a * columns;
      for (let round = 0; round < ROUNDS; round += 2) {
        const even = this.#keys[round]!;
        a += Math.floor((drawFrom(even.x, even.y, b) / TWO_32) * rows);
        if (a >= rows) a -= rows;
        const odd = this.#keys[round + 1]!;
        b += Math.floor((drawFrom(odd.x, odd.y, a) / TWO_32) * columns);
        if (b >= columns) b -= columns;
      }
      value = a * columns + b;
    } while (value >= this.#length);
    return value;
  }
}

/** 32 bits of a string, by its UTF-16 code units; `seed` and `purpose` as in `hash32`. */
export function hashString(seed: number, purpose: number, text: string): number {
  let x = hash32(seed, purpose, text.length);
  let y = mixB(x);
  for (let i = 0; i < text.length; i++) {
    x = mixA(x ^ text.charCodeAt(i));
    y = mixB(y ^ x);
  }
  return y >>> 0;
}

// Two bijections of 32 bits with good avalanche. The multipliers of the first are Chris Wellons's "lowbias32",
// those of the second MurmurHash3's finaliser, both in the public domain.

function mixA(value: number): number {
  let h = (value + 0x9e3779b9) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return h ^ (h >>> 16);
}

function mixB(value: number): number {
  let h = (value + 0x7f4a7c15) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
