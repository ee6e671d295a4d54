/**
 * Rows and latents as small integers, for the screening product of screen.ts. Both are scaled by their largest entry
 * to LEVELS steps each way, after an equaliser per dimension that takes from the rows what it gives to the latents.
 * Latents are stored with OFFSET added, because one factor of WebAssembly's integer product must not be negative.
 */
import { PANEL } from "./product";

/**
 * Steps each way from zero. DOTS products of pairs are added up in 16 bits before they are widened, so
 * 2 · DOTS · LEVELS · 2·LEVELS = 30,752 must not exceed 32,767. Finer steps would spare few candidates.
 */
const LEVELS: f32 = 31;
const OFFSET: i32 = 31;
/** Vectors of dimensions whose products are added up in 16 bits. */
export const DOTS: usize = 8;
/** Dimensions are filled up with zeros to a multiple of this: DOTS vectors of 4. */
export const DEPTH: usize = 32;
/** Latents that are stored together, as [dimension / 4][4 latents][4 dimensions]. */
export const TILE: usize = 4;
/** Bytes of a latent's terms: scale, scale², ‖w‖², unused. */
export const LATENT_TERMS: usize = 16;
/** Bytes of a panel's terms: scale, P, Q and OFFSET·Σ of eight rows each, see {@link quantiseRows}. */
export const ROW_TERMS: usize = 4 * 32;

/** Margin of screening in standard deviations of the rounding errors. */
export const MARGIN: f32 = 7;
/** A margin factor that is never zero: zero times the infinity of an unscreened latent would not be a number. */
const TINY: f32 = 1e-30;

/** Dimensions filled up. */
@inline
function paddedLength(dIn: usize): usize {
  return (dIn + DEPTH - 1) & ~(DEPTH - 1);
}

@inline
function lanesSum(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}

/**
 * Quantises latent w [dIn]: its 4-byte pieces go to `out`, 16 bytes apart; its scale, scale² and norm² to `terms`.
 * A latent of which more than half of what is not zero would become zero, or that is not finite, gets an infinite
 * norm: its bound is then infinite and it is always a candidate. Returns 1 for such a latent, else 0.
 */
export function quantiseLatent(out: usize, terms: usize, w: usize, equaliser: usize, dIn: usize): i32 {
  const whole = dIn & ~3;
  let largest = f32x4.splat(0);
  let squares = f32x4.splat(0);
  for (let j: usize = 0; j < whole; j += 4) {
    const value = f32x4.mul(v128.load(w + (j << 2)), v128.load(equaliser + (j << 2)));
    largest = f32x4.max(largest, f32x4.abs(value));
    squares = f32x4.add(squares, f32x4.mul(value, value));
  }
  let most: f32 = f32(Math.max(Math.max(lane0(largest), lane1(largest)), Math.max(lane2(largest), lane3(largest))));
  let norm = lane0(squares) + lane1(squares) + lane2(squares) + lane3(squares);
  for (let j = whole; j < dIn; j++) {
    const value = load<f32>(w + (j << 2)) * load<f32>(equaliser + (j << 2));
    most = f32(Math.max(most, abs(value)));
    norm += value * value;
  }
  const usable = most > 1e-30 && norm < f32.MAX_VALUE;
  const inverse: f32 = usable ? LEVELS / most : 0;
  const scale: f32 = usable ? most / LEVELS : 0;
  let zeros = 0;
  let nonZeros = 0;
  const factor = f32x4.splat(inverse);
  const offset = i32x4.splat(OFFSET);
  let zeroLanes = i32x4.splat(0);
  let nonZeroLanes = zeroLanes;
  for (let j: usize = 0; j < whole; j += 4) {
    const value = f32x4.mul(v128.load(w + (j << 2)), v128.load(equaliser + (j << 2)));
    const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(value, factor)));
    const present = f32x4.ne(value, f32x4.splat(0));
    nonZeroLanes = i32x4.sub(nonZeroLanes, present);
    zeroLanes = i32x4.sub(zeroLanes, v128.and(present, i32x4.eq(q, i32x4.splat(0))));
    const words = i16x8.narrow_i32x4_s(i32x4.add(q, offset), i32x4.splat(0));
    store<i32>(out + (j << 2), i32x4.extract_lane(i8x16.narrow_i16x8_u(words, words), 0));
  }
  zeros = lanesSum(zeroLanes);
  nonZeros = lanesSum(nonZeroLanes);
  const padded = paddedLength(dIn);
  for (let j = whole; j < padded; j++) {
    let q = 0;
    if (j < dIn) {
      const value = load<f32>(w + (j << 2)) * load<f32>(equaliser + (j << 2));
      q = i32(nearest(value * inverse));
      if (value != 0) {
        nonZeros++;
        if (q == 0) zeros++;
      }
    }
    store<u8>(out + ((j & ~3) << 2) + (j & 3), <u8>(q + OFFSET));
  }
  const unscreened = (!usable && most != 0) || 2 * zeros > nonZeros;
  store<f32>(terms, unscreened ? 0 : scale);
  store<f32>(terms, unscreened ? 0 : scale * scale, 4);
  store<f32>(terms, unscreened ? Infinity : norm, 8);
  return unscreened ? 1 : 0;
}

/**
 * Quantises up to eight rows of x [rows, dIn] into a panel [dimension / 4][8 rows][4 dimensions], each entry times
 * `inverse` [dIn] of the equaliser. Where `bias` is not 0 it is subtracted first, and the difference also written to
 * `centred` [rows, dIn]. Into `terms`, with margin m and scale s: s, P = m²·s²/12 and Q = m²·‖x̂‖²/12, so that the
 * margin of a pair is √(P·‖w‖² + Q·s_w²), and OFFSET times the sum of the row's integers.
 * Returns a bit for each row that is not screened: more than half of what is not zero would become zero, or not finite.
 */
export function quantiseRows(packed: usize, terms: usize, x: usize, bias: usize, centred: usize, inverse: usize, rows: usize, dIn: usize): i32 {
  let unscreened = 0;
  const padded = paddedLength(dIn);
  const whole = dIn & ~3;
  for (let lane: usize = 0; lane < PANEL; lane++) {
    const out = packed + lane * 4;
    const term = terms + lane * 4;
    if (lane >= rows) {
      for (let j: usize = 0; j < padded; j += 4) store<i32>(out + (j << 3), 0);
      store<f32>(term, 0);
      store<f32>(term, TINY, 32);
      store<f32>(term, 0, 64);
      store<i32>(term, 0, 96);
      continue;
    }
    let row = x + lane * dIn * 4;
    if (bias != 0) {
      const to = centred + lane * dIn * 4;
      for (let j: usize = 0; j < whole; j += 4) v128.store(to + (j << 2), f32x4.sub(v128.load(row + (j << 2)), v128.load(bias + (j << 2))));
      for (let j = whole; j < dIn; j++) store<f32>(to + (j << 2), load<f32>(row + (j << 2)) - load<f32>(bias + (j << 2)));
      row = to;
    }
    let largest = f32x4.splat(0);
    for (let j: usize = 0; j < whole; j += 4) {
      largest = f32x4.max(largest, f32x4.abs(f32x4.mul(v128.load(row + (j << 2)), v128.load(inverse + (j << 2)))));
    }
    let most: f32 = f32(Math.max(Math.max(lane0(largest), lane1(largest)), Math.max(lane2(largest), lane3(largest))));
    for (let j = whole; j < dIn; j++) most = f32(Math.max(most, abs(load<f32>(row + (j << 2)) * load<f32>(inverse + (j << 2)))));
    // A number too small for its inverse to be finite cannot be scaled by it.
    const usable = most > 1e-30 && most < f32.MAX_VALUE;
    const factorOne: f32 = usable ? LEVELS / most : 0;
    const factor = f32x4.splat(factorOne);
    let sum = i32x4.splat(0);
    let squares = sum;
    let zeroLanes = sum;
    let nonZeroLanes = sum;
    for (let j: usize = 0; j < whole; j += 4) {
      const value = f32x4.mul(v128.load(row + (j << 2)), v128.load(inverse + (j << 2)));
      const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(value, factor)));
      const present = f32x4.ne(value, f32x4.splat(0));
      nonZeroLanes = i32x4.sub(nonZeroLanes, present);
      zeroLanes = i32x4.sub(zeroLanes, v128.and(present, i32x4.eq(q, i32x4.splat(0))));
      sum = i32x4.add(sum, q);
      squares = i32x4.add(squares, i32x4.mul(q, q));
      const words = i16x8.narrow_i32x4_s(q, q);
      store<i32>(out + (j << 3), i32x4.extract_lane(i8x16.narrow_i16x8_s(words, words), 0));
    }
    let total = lanesSum(sum);
    let square = lanesSum(squares);
    let zeros = lanesSum(zeroLanes);
    let nonZeros = lanesSum(nonZeroLanes);
    for (let j = whole; j < padded; j++) {
      let q = 0;
      if (j < dIn) {
        const value = load<f32>(row + (j << 2)) * load<f32>(inverse + (j << 2));
        q = i32(nearest(value * factorOne));
        if (value != 0) {
          nonZeros++;
          if (q == 0) zeros++;
        }
      }
      total += q;
      square += q * q;
      store<i8>(out + ((j & ~3) << 3) + (j & 3), <i8>q);
    }
    // All zero is exact; the rest of what cannot be scaled is not.
    if ((!usable && nonZeros > 0) || 2 * zeros > nonZeros) unscreened |= 1 << <i32>lane;
    const scale: f32 = usable ? most / LEVELS : 0;
    const variance: f32 = (MARGIN * MARGIN * scale * scale) / 12;
    store<f32>(term, scale);
    store<f32>(term, max(variance, TINY), 32);
    store<f32>(term, variance * <f32>square, 64);
    store<i32>(term, -OFFSET * total, 96);
  }
  return unscreened;
}

@inline
function lane0(v: v128): f32 {
  return f32x4.extract_lane(v, 0);
}
@inline
function lane1(v: v128): f32 {
  return f32x4.extract_lane(v, 1);
}
@inline
function lane2(v: v128): f32 {
  return f32x4.extract_lane(v, 2);
}
@inline
function lane3(v: v128): f32 {
  return f32x4.extract_lane(v, 3);
}
