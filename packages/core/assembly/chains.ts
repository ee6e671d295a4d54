/**
 * Products of rows with chosen latents: canonical pre-activations of screening's candidates, gradients of the active
 * latents. Up to sixteen chains at a time: lanes are latents, whose weights are transposed in registers, four dimensions at
 * once.
 */
import { madd } from "./simd";

/** Vectors of four chains that are computed at once: a link of a chain waits for the one before it, and meanwhile those of the other vectors are done. */
const VECTORS: usize = 4;
/** Bytes of a vector that waits: pointers to its row, its latents' indices, the last of these, and where its values go. */
const VECTOR_BYTES: usize = 16;
/** Words of scratch for vectors that wait. */
export const CHAIN_WORDS: usize = 4 * 4;

/**
 * values[i] = start[latents[i]] + Σ_j x[j]·w[latents[i]][j] for i < count, each one chain ascending in j; from 0 where
 * `start` is 0. Vectors are spread evenly over as few turns as there can be: one of eight latents takes as long as one of twelve.
 */
export function chains(values: usize, latents: usize, count: usize, x: usize, start: usize, w: usize, dIn: usize): void {
  const last = latents + (count << 2) - 4;
  let vectors = (count + 3) >> 2;
  for (let turn = (vectors + 3) >> 2; turn > 0; turn--) {
    const some = min<usize>(4, vectors - 3 * (turn - 1));
    if (some == 4) chainsOfFour(x, latents, last, values, start, w, dIn);
    else if (some == 3) chainsOfRow(3, x, latents, last, values, start, w, dIn);
    else chainsOfRow(2, x, latents, last, values, start, w, dIn);
    latents += some << 4;
    values += some << 4;
    vectors -= some;
  }
}

/**
 * Adds the chains of a row x with `count` latents to those that wait in `filled` vectors at `waiting`, which holds CHAIN_WORDS words, and computes
 * four vectors as often as there are; see {@link chains}. Returns how many then wait. Their rows, latents and values must stay where they are.
 */
@inline
export function addChains(
  waiting: usize, filled: usize, values: usize, latents: usize, count: usize, x: usize, start: usize, w: usize, dIn: usize,
): usize {
  const end = latents + (count << 2);
  for (; latents < end; latents += 16, values += 16) {
    const vector = waiting + filled * VECTOR_BYTES;
    store<i32>(vector, <i32>x);
    store<i32>(vector, <i32>latents, 4);
    store<i32>(vector, <i32>(end - 4), 8);
    store<i32>(vector, <i32>values, 12);
    filled++;
    if (filled == VECTORS) {
      chainsOfRows(waiting, start, w, dIn);
      filled = 0;
    }
  }
  return filled;
}

/** Computes the chains of the `filled` vectors that still wait. */
export function endChains(waiting: usize, filled: usize, start: usize, w: usize, dIn: usize): void {
  if (filled == 0) return;
  // The last one once more in place of those that lack.
  const last = waiting + (filled - 1) * VECTOR_BYTES;
  for (; filled < VECTORS; filled++) memory.copy(waiting + filled * VECTOR_BYTES, last, VECTOR_BYTES);
  chainsOfRows(waiting, start, w, dIn);
}

/** The chains of four vectors that waited. */
function chainsOfRows(waiting: usize, start: usize, w: usize, dIn: usize): void {
  const x0 = <usize>load<i32>(waiting);
  const x1 = <usize>load<i32>(waiting, 16);
  const x2 = <usize>load<i32>(waiting, 32);
  const x3 = <usize>load<i32>(waiting, 48);
  const l0 = <usize>load<i32>(waiting, 4);
  const l1 = <usize>load<i32>(waiting, 20);
  const l2 = <usize>load<i32>(waiting, 36);
  const l3 = <usize>load<i32>(waiting, 52);
  const last3 = <usize>load<i32>(waiting, 56);
  const v0 = <usize>load<i32>(waiting, 12);
  if (x0 == x1 && x0 == x2 && x0 == x3 && l3 == l0 + 48) {
    chainsOfFour(x0, l0, last3, v0, start, w, dIn);
    return;
  }
  turn(
    4, false, x0, x1, x2, x3, l0, l1, l2, l3,
    <usize>load<i32>(waiting, 8), <usize>load<i32>(waiting, 24), <usize>load<i32>(waiting, 40), last3,
    v0, <usize>load<i32>(waiting, 28), <usize>load<i32>(waiting, 44), <usize>load<i32>(waiting, 60), start, w, dIn,
  );
}

/** {@link chainsOfRow} of four vectors. */
function chainsOfFour(x: usize, latents: usize, last: usize, values: usize, start: usize, w: usize, dIn: usize): void {
  chainsOfRow(4, x, latents, last, values, start, w, dIn);
}

/** {@link turn} of vectors of one row, whose latents lie one behind the other, as do their values. */
@inline
function chainsOfRow(vectors: i32, x: usize, latents: usize, last: usize, values: usize, start: usize, w: usize, dIn: usize): void {
  turn(
    vectors, true, x, x, x, x, latents, latents + 16, latents + 32, latents + 48, last, last, last, last,
    values, values + 16, values + 32, values + 48, start, w, dIn,
  );
}

/**
 * {@link chains} of 2 to 4 `vectors` of latents, of `oneRow` x0 or of a row each. Indices of a vector's latents begin at l0 to l3; the last one
 * is at last0 to last3: past it, it is repeated, and its values are not stored.
 */
@inline
function turn(
  vectors: i32, oneRow: bool, x0: usize, x1: usize, x2: usize, x3: usize, l0: usize, l1: usize, l2: usize, l3: usize,
  last0: usize, last1: usize, last2: usize, last3: usize, v0: usize, v1: usize, v2: usize, v3: usize, start: usize, w: usize, dIn: usize,
): void {
  const rowBytes = dIn << 2;
  const whole = rowBytes & ~15;
  const p0 = w + latentAt(l0, 0, last0) * rowBytes;
  const p1 = w + latentAt(l0, 4, last0) * rowBytes;
  const p2 = w + latentAt(l0, 8, last0) * rowBytes;
  const p3 = w + latentAt(l0, 12, last0) * rowBytes;
  const p4 = w + latentAt(l1, 0, last1) * rowBytes;
  const p5 = w + latentAt(l1, 4, last1) * rowBytes;
  const p6 = w + latentAt(l1, 8, last1) * rowBytes;
  const p7 = w + latentAt(l1, 12, last1) * rowBytes;
  const p8 = vectors > 2 ? w + latentAt(l2, 0, last2) * rowBytes : 0;
  const p9 = vectors > 2 ? w + latentAt(l2, 4, last2) * rowBytes : 0;
  const p10 = vectors > 2 ? w + latentAt(l2, 8, last2) * rowBytes : 0;
  const p11 = vectors > 2 ? w + latentAt(l2, 12, last2) * rowBytes : 0;
  const p12 = vectors > 3 ? w + latentAt(l3, 0, last3) * rowBytes : 0;
  const p13 = vectors > 3 ? w + latentAt(l3, 4, last3) * rowBytes : 0;
  const p14 = vectors > 3 ? w + latentAt(l3, 8, last3) * rowBytes : 0;
  const p15 = vectors > 3 ? w + latentAt(l3, 12, last3) * rowBytes : 0;
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  if (start != 0) {
    a = startsAt(start, l0, last0);
    b = startsAt(start, l1, last1);
    if (vectors > 2) c = startsAt(start, l2, last2);
    if (vectors > 3) d = startsAt(start, l3, last3);
  }
  let j: usize = 0;
  for (; j < whole; j += 16) {
    const s0 = v128.load_splat<f32>(x0 + j);
    const s1 = v128.load_splat<f32>(x0 + j, 4);
    const s2 = v128.load_splat<f32>(x0 + j, 8);
    const s3 = v128.load_splat<f32>(x0 + j, 12);
    a = fourLinks(a, s0, s1, s2, s3, p0 + j, p1 + j, p2 + j, p3 + j);
    if (oneRow) {
      b = fourLinks(b, s0, s1, s2, s3, p4 + j, p5 + j, p6 + j, p7 + j);
      if (vectors > 2) c = fourLinks(c, s0, s1, s2, s3, p8 + j, p9 + j, p10 + j, p11 + j);
      if (vectors > 3) d = fourLinks(d, s0, s1, s2, s3, p12 + j, p13 + j, p14 + j, p15 + j);
    } else {
      b = fourLinksOf(b, x1 + j, p4 + j, p5 + j, p6 + j, p7 + j);
      if (vectors > 2) c = fourLinksOf(c, x2 + j, p8 + j, p9 + j, p10 + j, p11 + j);
      if (vectors > 3) d = fourLinksOf(d, x3 + j, p12 + j, p13 + j, p14 + j, p15 + j);
    }
  }
  for (; j < rowBytes; j += 4) {
    a = madd(v128.load_splat<f32>(x0 + j), four(p0 + j, p1 + j, p2 + j, p3 + j), a);
    b = madd(v128.load_splat<f32>(x1 + j), four(p4 + j, p5 + j, p6 + j, p7 + j), b);
    if (vectors > 2) c = madd(v128.load_splat<f32>(x2 + j), four(p8 + j, p9 + j, p10 + j, p11 + j), c);
    if (vectors > 3) d = madd(v128.load_splat<f32>(x3 + j), four(p12 + j, p13 + j, p14 + j, p15 + j), d);
  }
  storeUpTo(last0, l0, v0, a);
  storeUpTo(last1, l1, v1, b);
  if (vectors > 2) storeUpTo(last2, l2, v2, c);
  if (vectors > 3) storeUpTo(last3, l3, v3, d);
}

/** The latent whose index lies at `latents` + `at`, or the last one's. */
@inline
function latentAt(latents: usize, at: usize, last: usize): usize {
  return <usize>load<i32>(min(latents + at, last));
}

/** The starts of four latents. */
@inline
function startsAt(start: usize, latents: usize, last: usize): v128 {
  return four(
    start + (latentAt(latents, 0, last) << 2),
    start + (latentAt(latents, 4, last) << 2),
    start + (latentAt(latents, 8, last) << 2),
    start + (latentAt(latents, 12, last) << 2),
  );
}

/** Four links of four chains: sum + s0·w[·][0] + … + s3·w[·][3], the weights of each chain at one of four pointers. */
@inline
function fourLinks(sum: v128, s0: v128, s1: v128, s2: v128, s3: v128, p0: usize, p1: usize, p2: usize, p3: usize): v128 {
  const r0 = v128.load(p0);
  const r1 = v128.load(p1);
  const r2 = v128.load(p2);
  const r3 = v128.load(p3);
  const a = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
  const b = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
  const c = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const d = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  sum = madd(s0, v128.shuffle<f64>(a, b, 0, 2), sum);
  sum = madd(s1, v128.shuffle<f64>(a, b, 1, 3), sum);
  sum = madd(s2, v128.shuffle<f64>(c, d, 0, 2), sum);
  return madd(s3, v128.shuffle<f64>(c, d, 1, 3), sum);
}

/** {@link fourLinks} with four dimensions of a row. */
@inline
function fourLinksOf(sum: v128, x: usize, p0: usize, p1: usize, p2: usize, p3: usize): v128 {
  const s0 = v128.load_splat<f32>(x);
  const s1 = v128.load_splat<f32>(x, 4);
  const s2 = v128.load_splat<f32>(x, 8);
  const s3 = v128.load_splat<f32>(x, 12);
  return fourLinks(sum, s0, s1, s2, s3, p0, p1, p2, p3);
}

@inline
function four(a: usize, b: usize, c: usize, d: usize): v128 {
  return f32x4(load<f32>(a), load<f32>(b), load<f32>(c), load<f32>(d));
}

/** Stores at `values` those of four numbers whose latents' indices begin up to `last`. */
@inline
function storeUpTo(last: usize, latents: usize, values: usize, v: v128): void {
  if (latents + 12 <= last) {
    v128.store(values, v);
    return;
  }
  if (latents <= last) store<f32>(values, f32x4.extract_lane(v, 0));
  if (latents + 4 <= last) store<f32>(values, f32x4.extract_lane(v, 1), 4);
  if (latents + 8 <= last) store<f32>(values, f32x4.extract_lane(v, 2), 8);
}
