/** Seeded random numbers: those of a measurement need not be good ones, only always the same. */

/** A generator of uniform numbers in [0, 1) (mulberry32). */
export function randomSource(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Fills `values` with numbers of mean 0 and variance 1 (sums of four uniform ones, stretched). */
export function fillNormal(values: Float32Array | Float64Array, random: () => number): void {
  for (let i = 0; i < values.length; i++) {
    values[i] = Math.sqrt(3) * (random() + random() + random() + random() - 2);
  }
}
