/**
 * Canonical pre-activations of chosen latents of one row, eight chains at a time: lanes are latents, whose weights are
 * transposed in registers four dimensions at a time.
 */
import { marginOf } from "./screen";
import { LATENT_TERMS, MARGIN } from "./quantise";
import { madd } from "./simd";

/**
 * Replaces the bounds in a list (see select.ts) by canonical values. Returns the largest error of screening among
 * them, in its standard deviations, or NaN where a value is not a number. `values` is scratch for `capacity` numbers;
 * `count` must be at most capacity − 8.
 */
export function evaluateList(
  list: usize, capacity: usize, count: usize, values: usize, x: usize, start: usize, w: usize, dIn: usize, rowTerms: usize, latentTerms: usize,
): f32 {
  if (count == 0) return 0;
  const latents = list + (capacity << 2);
  fillUp(latents, count);
  evaluate(values, latents, count, x, start, w, dIn);
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
  if (missing > 0) {
    fillUp(rest, missing);
    evaluate(values, rest, missing, x, start, w, dIn);
  }
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

/** Fills latents up to a multiple of eight. */
@inline
function fillUp(latents: usize, count: usize): void {
  const last = load<i32>(latents + ((count - 1) << 2));
  for (let i = count; (i & 7) != 0; i++) store<i32>(latents + (i << 2), last);
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
 * values[i] = start[latents[i]] + Σ_j x[j]·w[latents[i]][j], each one chain ascending in j, for i < count.
 * Latents are read up to a multiple of eight: what lies behind them must name latents too.
 */
export function evaluate(values: usize, latents: usize, count: usize, x: usize, start: usize, w: usize, dIn: usize): void {
  const rowBytes = dIn << 2;
  const whole = dIn & ~3;
  for (let i: usize = 0; i < count; i += 8) {
    const at = latents + (i << 2);
    const l0 = <usize>load<i32>(at);
    const l1 = <usize>load<i32>(at, 4);
    const l2 = <usize>load<i32>(at, 8);
    const l3 = <usize>load<i32>(at, 12);
    const l4 = <usize>load<i32>(at, 16);
    const l5 = <usize>load<i32>(at, 20);
    const l6 = <usize>load<i32>(at, 24);
    const l7 = <usize>load<i32>(at, 28);
    let low = four(start, l0, l1, l2, l3);
    let high = four(start, l4, l5, l6, l7);
    let p0 = w + l0 * rowBytes;
    let p1 = w + l1 * rowBytes;
    let p2 = w + l2 * rowBytes;
    let p3 = w + l3 * rowBytes;
    let p4 = w + l4 * rowBytes;
    let p5 = w + l5 * rowBytes;
    let p6 = w + l6 * rowBytes;
    let p7 = w + l7 * rowBytes;
    let from = x;
    const end = x + (whole << 2);
    while (from < end) {
      const a = v128.load(p0);
      const b = v128.load(p1);
      const c = v128.load(p2);
      const d = v128.load(p3);
      const e = v128.load(p4);
      const f = v128.load(p5);
      const g = v128.load(p6);
      const h = v128.load(p7);
      const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
      const ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
      const cd0 = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
      const cd1 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
      const ef0 = v128.shuffle<f32>(e, f, 0, 4, 1, 5);
      const ef1 = v128.shuffle<f32>(e, f, 2, 6, 3, 7);
      const gh0 = v128.shuffle<f32>(g, h, 0, 4, 1, 5);
      const gh1 = v128.shuffle<f32>(g, h, 2, 6, 3, 7);
      let s = v128.load_splat<f32>(from);
      low = madd(s, v128.shuffle<f64>(ab0, cd0, 0, 2), low);
      high = madd(s, v128.shuffle<f64>(ef0, gh0, 0, 2), high);
      s = v128.load_splat<f32>(from, 4);
      low = madd(s, v128.shuffle<f64>(ab0, cd0, 1, 3), low);
      high = madd(s, v128.shuffle<f64>(ef0, gh0, 1, 3), high);
      s = v128.load_splat<f32>(from, 8);
      low = madd(s, v128.shuffle<f64>(ab1, cd1, 0, 2), low);
      high = madd(s, v128.shuffle<f64>(ef1, gh1, 0, 2), high);
      s = v128.load_splat<f32>(from, 12);
      low = madd(s, v128.shuffle<f64>(ab1, cd1, 1, 3), low);
      high = madd(s, v128.shuffle<f64>(ef1, gh1, 1, 3), high);
      from += 16;
      p0 += 16;
      p1 += 16;
      p2 += 16;
      p3 += 16;
      p4 += 16;
      p5 += 16;
      p6 += 16;
      p7 += 16;
    }
    for (let j = whole; j < dIn; j++) {
      const s = v128.load_splat<f32>(x + (j << 2));
      const column = w + (j << 2);
      low = madd(s, four(column, l0 * dIn, l1 * dIn, l2 * dIn, l3 * dIn), low);
      high = madd(s, four(column, l4 * dIn, l5 * dIn, l6 * dIn, l7 * dIn), high);
    }
    v128.store(values + (i << 2), low);
    v128.store(values + (i << 2), high, 16);
  }
}

/** Four numbers of an array as a vector. */
@inline
function four(array: usize, i: usize, j: usize, k: usize, l: usize): v128 {
  let v = f32x4.splat(load<f32>(array + (i << 2)));
  v = f32x4.replace_lane(v, 1, load<f32>(array + (j << 2)));
  v = f32x4.replace_lane(v, 2, load<f32>(array + (k << 2)));
  return f32x4.replace_lane(v, 3, load<f32>(array + (l << 2)));
}
