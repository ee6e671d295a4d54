/**
 * Products of one row with chosen latents: canonical pre-activations of screening's candidates, gradients of the active
 * latents. Eight chains at a time: lanes are latents, whose weights are transposed in registers, four dimensions at once.
 */
import { marginOf } from "./screen";
import { LATENT_TERMS, MARGIN } from "./quantise";
import { madd } from "./simd";

/**
 * Replaces the bounds in a list (see select.ts) by canonical values. Returns the largest error of screening among
 * them, in its standard deviations, or NaN where a value is not a number. `values` is scratch for `capacity` numbers.
 */
export function evaluateList(
  list: usize, capacity: usize, count: usize, values: usize, x: usize, start: usize, w: usize, dIn: usize, rowTerms: usize, latentTerms: usize,
): f32 {
  const latents = list + (capacity << 2);
  chains(values, latents, count, x, start, w, dIn);
  let largest: f32 = 0;
  for (let i: usize = 0; i < count; i++) {
    const at = i << 2;
    const value = load<f32>(values + at);
    largest = worst(largest, value, load<f32>(list + at), rowTerms, latentTerms + <usize>load<i32>(latents + at) * LATENT_TERMS);
    store<f32>(list + at, value);
  }
  return largest;
}

/**
 * The same for a list of which some values are `known`: an evaluated list, in the same order. `values` is scratch for
 * twice `capacity` numbers.
 */
export function evaluateRest(
  list: usize, capacity: usize, count: usize, known: usize, knownCapacity: usize, knownCount: usize, values: usize, x: usize, start: usize, w: usize,
  dIn: usize, rowTerms: usize, latentTerms: usize,
): f32 {
  const latents = list + (capacity << 2);
  const knownLatents = known + (knownCapacity << 2);
  const rest = values + (capacity << 2);
  let missing: usize = 0;
  let next: usize = 0;
  for (let i: usize = 0; i < count; i++) {
    const latent = load<i32>(latents + (i << 2));
    while (next < knownCount && load<i32>(knownLatents + (next << 2)) < latent) next++;
    if (next < knownCount && load<i32>(knownLatents + (next << 2)) == latent) continue;
    store<i32>(rest + (missing << 2), latent);
    missing++;
  }
  chains(values, rest, missing, x, start, w, dIn);
  let largest: f32 = 0;
  missing = 0;
  next = 0;
  for (let i: usize = 0; i < count; i++) {
    const at = i << 2;
    const latent = load<i32>(latents + at);
    while (next < knownCount && load<i32>(knownLatents + (next << 2)) < latent) next++;
    if (next < knownCount && load<i32>(knownLatents + (next << 2)) == latent) {
      store<f32>(list + at, load<f32>(known + (next << 2)));
      continue;
    }
    const value = load<f32>(values + (missing << 2));
    missing++;
    largest = worst(largest, value, load<f32>(list + at), rowTerms, latentTerms + <usize>latent * LATENT_TERMS);
    store<f32>(list + at, value);
  }
  return largest;
}

/** The larger of `largest` and the error of a bound, in standard deviations; NaN stays, or comes of a value. */
@inline
function worst(largest: f32, value: f32, bound: f32, rowTerms: usize, latentTerms: usize): f32 {
  if (value != value) return NaN;
  const margin = marginOf(rowTerms, latentTerms);
  // A latent that is not screened has an infinite bound and no error, as has a row of zeros.
  if (margin == Infinity || margin < 1e-12) return largest;
  return f32(Math.max(largest, (MARGIN * abs(value - (bound - margin))) / margin));
}

/**
 * values[i] = start[latents[i]] + Σ_j x[j]·w[latents[i]][j] for i < count, each one chain ascending in j; from 0 where
 * `start` is 0. Eight latents at a time; past the last one the last is repeated, and its values not stored.
 */
export function chains(values: usize, latents: usize, count: usize, x: usize, start: usize, w: usize, dIn: usize): void {
  const rowBytes = dIn << 2;
  const whole = rowBytes & ~15;
  for (let i: usize = 0; i < count; i += 8) {
    const at = latents + (i << 2);
    const last = min<usize>(count - i, 8) - 1;
    const l0 = <usize>load<i32>(at);
    const l1 = <usize>load<i32>(at + (min<usize>(1, last) << 2));
    const l2 = <usize>load<i32>(at + (min<usize>(2, last) << 2));
    const l3 = <usize>load<i32>(at + (min<usize>(3, last) << 2));
    const l4 = <usize>load<i32>(at + (min<usize>(4, last) << 2));
    const l5 = <usize>load<i32>(at + (min<usize>(5, last) << 2));
    const l6 = <usize>load<i32>(at + (min<usize>(6, last) << 2));
    const l7 = <usize>load<i32>(at + (min<usize>(7, last) << 2));
    let low = f32x4.splat(0);
    let high = low;
    if (start != 0) {
      low = four(start + (l0 << 2), start + (l1 << 2), start + (l2 << 2), start + (l3 << 2));
      high = four(start + (l4 << 2), start + (l5 << 2), start + (l6 << 2), start + (l7 << 2));
    }
    const p0 = w + l0 * rowBytes;
    const p1 = w + l1 * rowBytes;
    const p2 = w + l2 * rowBytes;
    const p3 = w + l3 * rowBytes;
    const p4 = w + l4 * rowBytes;
    const p5 = w + l5 * rowBytes;
    const p6 = w + l6 * rowBytes;
    const p7 = w + l7 * rowBytes;
    let j: usize = 0;
    for (; j < whole; j += 16) {
      const s0 = v128.load_splat<f32>(x + j);
      const s1 = v128.load_splat<f32>(x + j, 4);
      const s2 = v128.load_splat<f32>(x + j, 8);
      const s3 = v128.load_splat<f32>(x + j, 12);
      let r0 = v128.load(p0 + j);
      let r1 = v128.load(p1 + j);
      let r2 = v128.load(p2 + j);
      let r3 = v128.load(p3 + j);
      let a = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
      let b = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
      let c = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
      let d = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
      low = madd(s0, v128.shuffle<f64>(a, b, 0, 2), low);
      low = madd(s1, v128.shuffle<f64>(a, b, 1, 3), low);
      low = madd(s2, v128.shuffle<f64>(c, d, 0, 2), low);
      low = madd(s3, v128.shuffle<f64>(c, d, 1, 3), low);
      r0 = v128.load(p4 + j);
      r1 = v128.load(p5 + j);
      r2 = v128.load(p6 + j);
      r3 = v128.load(p7 + j);
      a = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
      b = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
      c = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
      d = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
      high = madd(s0, v128.shuffle<f64>(a, b, 0, 2), high);
      high = madd(s1, v128.shuffle<f64>(a, b, 1, 3), high);
      high = madd(s2, v128.shuffle<f64>(c, d, 0, 2), high);
      high = madd(s3, v128.shuffle<f64>(c, d, 1, 3), high);
    }
    for (; j < rowBytes; j += 4) {
      const s = v128.load_splat<f32>(x + j);
      low = madd(s, four(p0 + j, p1 + j, p2 + j, p3 + j), low);
      high = madd(s, four(p4 + j, p5 + j, p6 + j, p7 + j), high);
    }
    const out = values + (i << 2);
    if (last == 7) {
      v128.store(out, low);
      v128.store(out, high, 16);
    } else {
      store<f32>(out, f32x4.extract_lane(low, 0));
      if (last > 0) store<f32>(out, f32x4.extract_lane(low, 1), 4);
      if (last > 1) store<f32>(out, f32x4.extract_lane(low, 2), 8);
      if (last > 2) store<f32>(out, f32x4.extract_lane(low, 3), 12);
      if (last > 3) store<f32>(out, f32x4.extract_lane(high, 0), 16);
      if (last > 4) store<f32>(out, f32x4.extract_lane(high, 1), 20);
      if (last > 5) store<f32>(out, f32x4.extract_lane(high, 2), 24);
    }
  }
}

@inline
function four(a: usize, b: usize, c: usize, d: usize): v128 {
  return f32x4(load<f32>(a), load<f32>(b), load<f32>(c), load<f32>(d));
}
