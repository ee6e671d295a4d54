/**
 * Products of one row with chosen latents: canonical pre-activations of screening's candidates, gradients of the active
 * latents. Up to sixteen chains at a time: lanes are latents, whose weights are transposed in registers, four dimensions at
 * once.
 */
import { marginOf, varianceOf } from "./screen";
import { LATENT_TERMS } from "./quantise";
import { madd, root } from "./simd";

/**
 * Replaces the bounds in a list (see lists.ts) of `count` by canonical `values`. Returns the largest error of screening among
 * them, in its standard deviations, or NaN where a value is not a number.
 */
export function replaceBounds(list: usize, capacity: usize, count: usize, values: usize, rowTerms: usize, latentTerms: usize): f32 {
  const latents = list + (capacity << 2);
  let largest: f32 = 0;
  for (let i: usize = 0; i < count; i++) {
    const at = i << 2;
    const value = load<f32>(values + at);
    largest = worst(largest, value, load<f32>(list + at), rowTerms, latentTerms + <usize>load<i32>(latents + at) * LATENT_TERMS);
    store<f32>(list + at, value);
  }
  return root(largest);
}

/**
 * {@link replaceBounds}, but the list stays as it is: those of its latents whose values, which are at `reaching`, reach `least`, bits
 * of a positive number, become a list there of the same capacity, and `kept` receives how many.
 */
export function keepReaching(
  reaching: usize, kept: usize, least: i32, list: usize, capacity: usize, count: usize, rowTerms: usize, latentTerms: usize,
): f32 {
  const latents = list + (capacity << 2);
  let largest: f32 = 0;
  let some: usize = 0;
  for (let i: usize = 0; i < count; i++) {
    const at = i << 2;
    const latent = load<i32>(latents + at);
    const value = load<f32>(reaching + at);
    largest = worst(largest, value, load<f32>(list + at), rowTerms, latentTerms + <usize>latent * LATENT_TERMS);
    // Without a branch, which could not be predicted: what does not reach is overwritten.
    store<f32>(reaching + (some << 2), value);
    store<i32>(reaching + ((capacity + some) << 2), latent);
    some += <usize>(reinterpret<i32>(value) >= least);
  }
  store<i32>(kept, <i32>some);
  return root(largest);
}

/**
 * The larger of `largest` and the error of a bound, as the square of it in standard deviations; NaN stays, or comes of a value.
 * Squares, since one division then is all that takes time.
 */
@inline
function worst(largest: f32, value: f32, bound: f32, rowTerms: usize, latentTerms: usize): f32 {
  if (value != value) return NaN;
  const margin = marginOf(rowTerms, latentTerms);
  // A latent that is not screened has an infinite bound and no error, as has a row of zeros.
  if (margin == Infinity || margin < 1e-12) return largest;
  const error = value - (bound - margin);
  const square = (error * error) / varianceOf(rowTerms, latentTerms);
  return square > largest ? square : largest;
}

/**
 * values[i] = start[latents[i]] + Σ_j x[j]·w[latents[i]][j] for i < count, each one chain ascending in j; from 0 where
 * `start` is 0. Up to sixteen latents at a time: a link of a chain waits for the one before it, and meanwhile those of three more
 * vectors of chains are done. Vectors are spread evenly over as few turns as there can be: one of eight latents takes as long as one of twelve.
 */
export function chains(values: usize, latents: usize, count: usize, x: usize, start: usize, w: usize, dIn: usize): void {
  const end = latents + (count << 2);
  let vectors = (count + 3) >> 2;
  for (let turn = (vectors + 3) >> 2; turn > 0; turn--) {
    const some = min<usize>(4, vectors - 3 * (turn - 1));
    const bytes = min(some << 4, end - latents);
    if (some == 4) chainsOf(4, values, latents, bytes, x, start, w, dIn);
    else if (some == 3) chainsOf(3, values, latents, bytes, x, start, w, dIn);
    else chainsOf(2, values, latents, bytes, x, start, w, dIn);
    latents += some << 4;
    values += some << 4;
    vectors -= some;
  }
}

/**
 * {@link chains} of up to 4·`vectors` latents, 8 to 16, whose indices take `bytes` bytes. Past the last one the last is
 * repeated, and its values not stored.
 */
@inline
function chainsOf(vectors: i32, values: usize, latents: usize, bytes: usize, x: usize, start: usize, w: usize, dIn: usize): void {
  const rowBytes = dIn << 2;
  const whole = rowBytes & ~15;
  const last = bytes - 4;
  const p0 = w + latentAt(latents, 0, last) * rowBytes;
  const p1 = w + latentAt(latents, 4, last) * rowBytes;
  const p2 = w + latentAt(latents, 8, last) * rowBytes;
  const p3 = w + latentAt(latents, 12, last) * rowBytes;
  const p4 = w + latentAt(latents, 16, last) * rowBytes;
  const p5 = w + latentAt(latents, 20, last) * rowBytes;
  const p6 = w + latentAt(latents, 24, last) * rowBytes;
  const p7 = w + latentAt(latents, 28, last) * rowBytes;
  const p8 = vectors > 2 ? w + latentAt(latents, 32, last) * rowBytes : 0;
  const p9 = vectors > 2 ? w + latentAt(latents, 36, last) * rowBytes : 0;
  const p10 = vectors > 2 ? w + latentAt(latents, 40, last) * rowBytes : 0;
  const p11 = vectors > 2 ? w + latentAt(latents, 44, last) * rowBytes : 0;
  const p12 = vectors > 3 ? w + latentAt(latents, 48, last) * rowBytes : 0;
  const p13 = vectors > 3 ? w + latentAt(latents, 52, last) * rowBytes : 0;
  const p14 = vectors > 3 ? w + latentAt(latents, 56, last) * rowBytes : 0;
  const p15 = vectors > 3 ? w + latentAt(latents, 60, last) * rowBytes : 0;
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  if (start != 0) {
    a = startsAt(start, latents, 0, last);
    b = startsAt(start, latents, 16, last);
    if (vectors > 2) c = startsAt(start, latents, 32, last);
    if (vectors > 3) d = startsAt(start, latents, 48, last);
  }
  let j: usize = 0;
  for (; j < whole; j += 16) {
    const s0 = v128.load_splat<f32>(x + j);
    const s1 = v128.load_splat<f32>(x + j, 4);
    const s2 = v128.load_splat<f32>(x + j, 8);
    const s3 = v128.load_splat<f32>(x + j, 12);
    a = fourLinks(a, s0, s1, s2, s3, p0 + j, p1 + j, p2 + j, p3 + j);
    b = fourLinks(b, s0, s1, s2, s3, p4 + j, p5 + j, p6 + j, p7 + j);
    if (vectors > 2) c = fourLinks(c, s0, s1, s2, s3, p8 + j, p9 + j, p10 + j, p11 + j);
    if (vectors > 3) d = fourLinks(d, s0, s1, s2, s3, p12 + j, p13 + j, p14 + j, p15 + j);
  }
  for (; j < rowBytes; j += 4) {
    const s = v128.load_splat<f32>(x + j);
    a = madd(s, four(p0 + j, p1 + j, p2 + j, p3 + j), a);
    b = madd(s, four(p4 + j, p5 + j, p6 + j, p7 + j), b);
    if (vectors > 2) c = madd(s, four(p8 + j, p9 + j, p10 + j, p11 + j), c);
    if (vectors > 3) d = madd(s, four(p12 + j, p13 + j, p14 + j, p15 + j), d);
  }
  storeUpTo(values, a, bytes, 0);
  storeUpTo(values, b, bytes, 16);
  if (vectors > 2) storeUpTo(values, c, bytes, 32);
  if (vectors > 3) storeUpTo(values, d, bytes, 48);
}

/** The latent whose index lies `at` bytes on, or the last one's, which lies `last` bytes on. */
@inline
function latentAt(latents: usize, at: usize, last: usize): usize {
  return <usize>load<i32>(latents + min(at, last));
}

/** The starts of four latents. */
@inline
function startsAt(start: usize, latents: usize, at: usize, last: usize): v128 {
  return four(
    start + (latentAt(latents, at, last) << 2),
    start + (latentAt(latents, at + 4, last) << 2),
    start + (latentAt(latents, at + 8, last) << 2),
    start + (latentAt(latents, at + 12, last) << 2),
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

@inline
function four(a: usize, b: usize, c: usize, d: usize): v128 {
  return f32x4(load<f32>(a), load<f32>(b), load<f32>(c), load<f32>(d));
}

/** Stores those of four numbers at `at` that begin before `bytes`. */
@inline
function storeUpTo(values: usize, v: v128, bytes: usize, at: usize): void {
  const out = values + at;
  if (at + 16 <= bytes) {
    v128.store(out, v);
    return;
  }
  if (at < bytes) store<f32>(out, f32x4.extract_lane(v, 0));
  if (at + 4 < bytes) store<f32>(out, f32x4.extract_lane(v, 1), 4);
  if (at + 8 < bytes) store<f32>(out, f32x4.extract_lane(v, 2), 8);
}
