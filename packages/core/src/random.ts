/**
 * Randomness as a pure function of (seed, purpose, step, index): no generator state to save, and the same
 * numbers on every thread and after every resume.
 *
 * The hash is pcg4d of Jarzynski & Olano, "Hash Functions for GPU Rendering" (JCGT 2020): four 32-bit words
 * in, four well-mixed 32-bit words out, with integer operations that JavaScript has exactly (`Math.imul`).
 */

/** What the random numbers are for; two purposes never share a number. The values are part of the run's identity; 2 is free. */
export const PURPOSE = {
  decoderDirection: 1,
  layerWeight: 3,
  synthetic: 4,
  auditedRow: 5,
  encoderDirection: 6,
  resampledRow: 7,
} as const;

/** One of {@link PURPOSE}'s values. */
export type Purpose = (typeof PURPOSE)[keyof typeof PURPOSE];

/** Word 0 or 1 of the hash of four words. */
function pcg4d(a: number, b: number, c: number, d: number, word: 0 | 1): number {
  let x = (Math.imul(a, 1664525) + 1013904223) | 0;
  let y = (Math.imul(b, 1664525) + 1013904223) | 0;
  let z = (Math.imul(c, 1664525) + 1013904223) | 0;
  let w = (Math.imul(d, 1664525) + 1013904223) | 0;
  for (let round = 0; round < 2; round++) {
    x = (x + Math.imul(y, w)) | 0;
    y = (y + Math.imul(z, x)) | 0;
    z = (z + Math.imul(x, y)) | 0;
    w = (w + Math.imul(y, z)) | 0;
    if (round === 0) {
      x ^= x >>> 16;
      y ^= y >>> 16;
      z ^= z >>> 16;
      w ^= w >>> 16;
    }
  }
  return (word === 0 ? x : y) >>> 0;
}

function hash(seed: number, purpose: Purpose, step: number, index: number, word: 0 | 1): number {
  // The high half of a large index goes into the purpose word, so that no two indices share a hash.
  const high = Math.floor(index / 2 ** 32);
  return pcg4d(seed, purpose ^ (high << 8), step, index >>> 0, word);
}

/** A uniform number in [0, 1) with 32 random bits, for (seed, purpose, step, index). */
export function uniform(seed: number, purpose: Purpose, step: number, index: number): number {
  return hash(seed, purpose, step, index, 0) / 2 ** 32;
}

/** A standard normal number (Box–Muller on two words of the hash), for (seed, purpose, step, index). */
export function gaussian(seed: number, purpose: Purpose, step: number, index: number): number {
  const radius = Math.sqrt(-2 * Math.log((hash(seed, purpose, step, index, 0) + 1) / 2 ** 32));
  return radius * Math.cos((2 * Math.PI * hash(seed, purpose, step, index, 1)) / 2 ** 32);
}
