/**
 * Rows and latents as small integers, for the screening product of screen.ts. Both are scaled to
 * some steps each way from zero, after an equaliser per dimension that takes from the rows what it gives to the latents.
 * Latents are stored with an offset added, because one factor of WebAssembly's integer product must not be negative: a latent
 * has `latentLevels` steps each way at most, which is also the offset. That factor has seven bits, so 63 steps; where the machine takes it for
 * one of eight bits without a sign, 127. How many of a row, and how many latents lie together, depends on how the products are
 * added up: `wideSums`, see screen.ts. With 63, two products, 2·126·127, fit 16 bits: instructions for these add them without wrapping.
 *
 * Sums of 16 bits wrap around, and are right whenever the sum without the offset fits: Σ q_x·q_w over what one of them adds up,
 * two neighbouring dimensions of each four of a part. Sums of 32 bits must stay within ±2²², which takes no conversion to make them
 * numbers, see {@link ROUNDER}. By Cauchy and Schwarz both do where the norms of q_x and q_w over these dimensions are at most
 * {@link MOST_NORM} or {@link MOST_WIDE_NORM}, which the scales see to.
 */
import { PANEL } from "./product";
import { loadPart, root } from "./simd";

/** Steps of a row each way from zero at most: those of a byte. */
const ROW_LEVELS: f32 = 127;
/** Vectors of four dimensions whose products are added up in 16 bits before they are widened: a part of a row. */
export const DOTS: usize = 32;
/**
 * Norm at most of what one sum of 16 bits adds up, of rows and of latents: its square must not exceed 32,767. Of normally
 * distributed numbers, whose largest is some three standard deviations, that leaves about 60 steps to either.
 */
const MOST_NORM: f32 = 181;
/** What rounding may add to such a norm: half a step to each of two dimensions of DOTS vectors, √64/2. */
const ROUNDING_NORM: f32 = 4;
/**
 * Norm at most of rows and latents for sums of 32 bits: its square and a margin's steps must not exceed 2²². Of normally distributed
 * numbers only those with more than some 3,000 dimensions have fewer steps for it.
 */
const MOST_WIDE_NORM: f32 = 2040;
/** Dimensions are filled up with zeros to a multiple of this. */
export const DEPTH: usize = 32;
/** Latents that are stored together, as [dimension / 4][latents of a tile][4 dimensions]: as many as have their sums in registers. */
export const NARROW_TILE: usize = 5;
export const WIDE_TILE: usize = 6;

/** Latents of a tile. */
@inline
export function tileOf(wideSums: bool): usize {
  return wideSums ? WIDE_TILE : NARROW_TILE;
}

/** Bytes of a latent's terms: scale s_w, ‖w‖²/s_w, bias. */
export const LATENT_TERMS: usize = 12;
/** Bytes of a panel's terms: six numbers of each of eight rows, see {@link quantiseRows}. */
export const ROW_TERMS: usize = 6 * 32;

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

/** Bytes of a panel of rows, [dimension / 4][8 rows][4]; without `wideSums`, each part's begin with what its sums start at, [8 rows][2 sums]. */
@inline
export function panelBytes(steps: usize, wideSums: bool): usize {
  return 4 * PANEL * (wideSums ? steps : steps + (steps + DOTS - 1) / DOTS);
}

/** Entries [j, j + 4) of a row of `length` times those of `factors`; zeros past its end. */
@inline
function scaled(values: usize, factors: usize, j: usize, length: usize): v128 {
  const at = j << 2;
  if (j + 4 <= length) return f32x4.mul(v128.load(values + at), v128.load(factors + at));
  if (j >= length) return f32x4.splat(0);
  return f32x4.mul(loadPart(values + at, length - j), loadPart(factors + at, length - j));
}

/**
 * Added to a number between −2²² and 2²², it leaves the nearest integer in the lower bits, ties to even. Its bits plus an integer,
 * taken for a number, are it plus that integer; past ±2²² more than that.
 */
const ROUNDER: f32 = 12582912;
const ROUNDER_BITS: i32 = 0x4b400000;
/**
 * Steps that rounding may take off a bound: 0.75 by −ROUNDER·s, a rounded number; one by ROUNDER plus a sum, up to 2²⁴, times s where the
 * machine rounds between multiplication and addition.
 */
const LOST_STEPS: f32 = 2;

/** The integers next to {@link scaled}·factor, plus `offset`, of entries [j, j + 8), in 16 bits. Of what is not a number, any. */
@inline
function eightSteps(values: usize, factors: usize, j: usize, length: usize, factor: v128, offset: i32): v128 {
  const rounder = f32x4.splat(ROUNDER);
  const bits = i32x4.splat(ROUNDER_BITS - offset);
  const low = f32x4.add(f32x4.mul(scaled(values, factors, j, length), factor), rounder);
  const high = f32x4.add(f32x4.mul(scaled(values, factors, j + 4, length), factor), rounder);
  return i16x8.narrow_i32x4_s(i32x4.sub(low, bits), i32x4.sub(high, bits));
}

/** Stores the words of 16 dimensions `stride` bytes apart. */
@inline
function storeWords(out: usize, stride: usize, words: v128): void {
  v128.store_lane<i32>(out, words, 0);
  v128.store_lane<i32>(out + stride, words, 1);
  v128.store_lane<i32>(out + 2 * stride, words, 2);
  v128.store_lane<i32>(out + 3 * stride, words, 3);
}

/** How many of 16 bytes are `zero`. */
@inline
function countBytes(words: v128, zero: v128): i32 {
  return popcnt<i32>(i8x16.bitmask(i8x16.eq(words, zero)));
}

/** Whether more than half of what is not zero became zero: `zeros` of the `length` entries did, or were. */
@inline
function mostlyLost(zeros: i32, values: usize, factors: usize, length: usize): bool {
  if (2 * zeros <= <i32>length) return false;
  let present: i32 = 0;
  for (let j: usize = 0; j < length; j += 4) {
    present += popcnt<i32>(i32x4.bitmask(f32x4.ne(scaled(values, factors, j, length), f32x4.splat(0))));
  }
  return 2 * (zeros - (<i32>length - present)) > present;
}

/** The larger of `largest`, two numbers and each again, and the sums of two neighbours of `squares`. */
@inline
function largerSums(largest: v128, squares: v128): v128 {
  return f32x4.max(largest, f32x4.add(squares, v128.shuffle<f32>(squares, squares, 1, 0, 3, 2)));
}

/**
 * Steps each way from zero for numbers of which `most` is the largest, and `square` the largest square of the norm of what one
 * sum adds up. A whole number: rows of few different magnitudes then have no errors that add up.
 */
@inline
function levelsOf(most: f32, square: f32, levels: f32, dIn: usize, wideSums: bool): f32 {
  const norm: f32 = wideSums ? MOST_WIDE_NORM - 0.5 * root(<f32>dIn) : MOST_NORM - ROUNDING_NORM;
  return floor<f32>(min<f32>(levels, (norm * most) / root(square)));
}

@inline
function largestLane(v: v128): f32 {
  return f32(Math.max(Math.max(lane0(v), lane1(v)), Math.max(lane2(v), lane3(v))));
}

/**
 * Quantises latent w [dIn]: its 4-byte pieces go to `out`, those of the tile's other latents between them; its scale, square/scale and bias to
 * `terms`. A latent of which more than half of what is not zero would become zero, or that is not finite, gets an infinite
 * square and bias: its bounds are then infinite and it is always a candidate. Returns 1 for such a latent, else 0.
 */
export function quantiseLatent(
  out: usize, terms: usize, w: usize, bias: f32, equaliser: usize, dIn: usize, wideSums: bool, latentLevels: i32,
): i32 {
  const tile = tileOf(wideSums);
  let largest = f32x4.splat(0);
  let squares = largest;
  let added = largest;
  for (let first: usize = 0; first < dIn; first += 4 * DOTS) {
    let part = f32x4.splat(0);
    let other = part;
    const end = min(first + 4 * DOTS, dIn);
    // Two sums: one would wait for itself.
    for (let j = first; j < end; j += 8) {
      const low = scaled(w, equaliser, j, dIn);
      const high = scaled(w, equaliser, j + 4, dIn);
      largest = f32x4.pmax(largest, f32x4.pmax(f32x4.abs(low), f32x4.abs(high)));
      part = f32x4.add(part, f32x4.mul(low, low));
      other = f32x4.add(other, f32x4.mul(high, high));
    }
    part = f32x4.add(part, other);
    squares = f32x4.add(squares, part);
    added = largerSums(added, part);
  }
  const most = largestLane(largest);
  // Not a number where an entry is none, of which `most` knows nothing.
  const square = lane0(squares) + lane1(squares) + lane2(squares) + lane3(squares);
  const usable = most > 1e-30 && square > 0 && square < f32.MAX_VALUE;
  const levels = levelsOf(most, wideSums ? square : largestLane(added), <f32>latentLevels, dIn, wideSums);
  const inverse = f32x4.splat(usable ? levels / most : 0);
  const zero = i8x16.splat(<i8>latentLevels);
  const padded = paddedLength(dIn);
  let zeros: i32 = 0;
  for (let j: usize = 0; j < padded; j += 16) {
    const low = eightSteps(w, equaliser, j, dIn, inverse, latentLevels);
    const words = i8x16.narrow_i16x8_u(low, eightSteps(w, equaliser, j + 8, dIn, inverse, latentLevels));
    zeros += countBytes(words, zero);
    storeWords(out + j * tile, 4 * tile, words);
  }
  zeros -= <i32>(padded - dIn);
  // A bias that is not a number, or not finite, fails the comparison: what comes of it is to be seen.
  const unscreened = (!usable && (most != 0 || square != 0)) || mostlyLost(zeros, w, equaliser, dIn) || !(abs(bias) < Infinity);
  const scale: f32 = usable && !unscreened ? most / levels : 0;
  store<f32>(terms, scale);
  store<f32>(terms, unscreened ? Infinity : scale > 0 ? square / scale : 0, 4);
  store<f32>(terms, unscreened ? Infinity : bias, 8);
  return unscreened ? 1 : 0;
}

/** Latents that are looked at for what is usual of all. */
export const SAMPLED: usize = 64;

/** ‖w‖²/s_w² of a usual latent: the harmonic mean over some of those whose terms are at `latentTerms`; 1 where none is screened. */
export function usualSquares(latentTerms: usize, latents: usize): f32 {
  const step = (latents + SAMPLED - 1) / SAMPLED;
  let inverses: f32 = 0;
  let count: f32 = 0;
  for (let latent: usize = 0; latent < latents; latent += step) {
    const terms = latentTerms + latent * LATENT_TERMS;
    const scale = load<f32>(terms);
    if (scale == 0) continue;
    inverses += scale / load<f32>(terms, 4);
    count++;
  }
  return count > 0 ? count / inverses : 1;
}

/**
 * Quantises up to eight rows of x [rows, dIn] into a panel (see {@link panelBytes}), each entry times
 * `inverse` [dIn] of the equaliser. Where `bias` is not 0 it is subtracted first, and the difference also written to
 * `centred` [rows, dIn]. A row's scale s is the finest at which its integers fit a byte and, without
 * `wideSums`, their products' sums 16 bits.
 *
 * In steps s·s_w of the sums, the margin is m·√((Q + W)/12) for m standard deviations, with Q = Σ q² and W = ‖w‖²/s_w². Since
 * √y ≤ (y + t²)/(2t) for every t, (m/√12)·(Q + t²)/(2t) + (m/√12)·W/(2t) bounds it from above: a number of steps of the row
 * alone, A, and one times W. The bound is closest at t² = Q + W, for whose W that of a usual latent, `latentSquares`, is taken.
 *
 * Into `terms`, eight numbers each: s; −ROUNDER·s; B = (m/√12)·s/(2t); what the sums start at; A, a whole number; Q. The sums start at A, less the
 * latents' offset times the sum of the row's integers, plus the bits of ROUNDER. Their end, taken for a number, times s plus the second
 * term is then s·(A + Σ q·q_w), without a conversion: the bound is that times s_w, plus B·‖w‖²/s_w, plus the bias.
 *
 * Returns a bit for each row that is not screened: more than half of what is not zero would become zero, or not finite.
 */
export function quantiseRows(
  packed: usize, terms: usize, x: usize, bias: usize, centred: usize, inverse: usize, rows: usize, dIn: usize, latentSquares: f32,
  wideSums: bool, latentLevels: i32,
): i32 {
  let unscreened = 0;
  const padded = paddedLength(dIn);
  const bytes = panelBytes(padded >> 2, wideSums);
  const one = i16x8.splat(1);
  for (let lane: usize = 0; lane < PANEL; lane++) {
    const out = packed + lane * 4;
    const term = terms + lane * 4;
    if (lane >= rows) {
      for (let at: usize = 0; at < bytes; at += 4 * PANEL) store<i32>(out + at, 0);
      for (let field: usize = 0; field < ROW_TERMS; field += 32) store<i32>(term + field, 0);
      store<f32>(term, TINY, 64);
      continue;
    }
    let row = x + lane * dIn * 4;
    if (bias != 0) {
      const to = centred + lane * dIn * 4;
      subtract(to, row, bias, dIn);
      row = to;
    }
    let largest = f32x4.splat(0);
    let all = largest;
    let added = largest;
    for (let first: usize = 0; first < dIn; first += 4 * DOTS) {
      let part = f32x4.splat(0);
      let other = part;
      const end = min(first + 4 * DOTS, dIn);
      for (let j = first; j < end; j += 8) {
        const low = scaled(row, inverse, j, dIn);
        const high = scaled(row, inverse, j + 4, dIn);
        largest = f32x4.pmax(largest, f32x4.pmax(f32x4.abs(low), f32x4.abs(high)));
        part = f32x4.add(part, f32x4.mul(low, low));
        other = f32x4.add(other, f32x4.mul(high, high));
      }
      // What is not a number stays so.
      part = f32x4.add(part, other);
      all = f32x4.add(all, part);
      added = largerSums(added, part);
    }
    const most = largestLane(largest);
    const square = wideSums ? lane0(all) + lane1(all) + lane2(all) + lane3(all) : largestLane(added);
    // A number too small for its inverse to be finite cannot be scaled by it.
    const usable = most > 1e-30 && square > 0 && square < f32.MAX_VALUE;
    const levels = levelsOf(most, square, ROW_LEVELS, dIn, wideSums);
    const factorOne: f32 = usable ? levels / most : 0;
    const factor = f32x4.splat(factorOne);
    let sums = i32x4.splat(0);
    let squares = sums;
    let zeros: i32 = 0;
    let at = out;
    for (let first: usize = 0; first < padded; first += 4 * DOTS) {
      const start = at;
      if (!wideSums) at += 4 * PANEL;
      let part = i32x4.splat(0);
      const end = min(first + 4 * DOTS, padded);
      for (let j = first; j < end; j += 16, at += 16 * PANEL) {
        const low = eightSteps(row, inverse, j, dIn, factor, 0);
        const high = eightSteps(row, inverse, j + 8, dIn, factor, 0);
        part = i32x4.add(part, i32x4.add(i32x4.dot_i16x8_s(low, one), i32x4.dot_i16x8_s(high, one)));
        squares = i32x4.add(squares, i32x4.add(i32x4.dot_i16x8_s(low, low), i32x4.dot_i16x8_s(high, high)));
        const words = i8x16.narrow_i16x8_s(low, high);
        zeros += countBytes(words, i8x16.splat(0));
        storeWords(at, 4 * PANEL, words);
      }
      sums = i32x4.add(sums, part);
      if (!wideSums) {
        // Two sums, of the first two and the last two of every four dimensions.
        store<i16>(start, <i16>(-latentLevels * (i32x4.extract_lane(part, 0) + i32x4.extract_lane(part, 2))));
        store<i16>(start, <i16>(-latentLevels * (i32x4.extract_lane(part, 1) + i32x4.extract_lane(part, 3))), 2);
      }
    }
    zeros -= <i32>(padded - dIn);
    // All zero is exact; the rest of what cannot be scaled is not.
    if ((!usable && !(most == 0 && square == 0)) || mostlyLost(zeros, row, inverse, dIn)) unscreened |= 1 << <i32>lane;
    const scale: f32 = usable ? most / levels : 0;
    const integers: f32 = usable ? <f32>lanesSum(squares) : 0;
    const t = root(integers + latentSquares);
    const share: f32 = MARGIN / (root(12) * 2 * t);
    const margin = ceil<f32>(share * (integers + t * t)) + LOST_STEPS;
    const offset = wideSums && usable ? latentLevels * lanesSum(sums) : 0;
    store<f32>(term, scale);
    store<f32>(term, -ROUNDER * scale, 32);
    store<f32>(term, max(share * scale, TINY), 64);
    store<i32>(term, ROUNDER_BITS + <i32>margin - offset, 96);
    store<f32>(term, margin, 128);
    store<f32>(term, integers, 160);
  }
  return unscreened;
}

/** out = a − b, all [length]. */
@inline
function subtract(out: usize, a: usize, b: usize, length: usize): void {
  const end = length << 2;
  let at: usize = 0;
  for (; at + 16 <= end; at += 16) v128.store(out + at, f32x4.sub(v128.load(a + at), v128.load(b + at)));
  for (; at < end; at += 4) store<f32>(out + at, load<f32>(a + at) - load<f32>(b + at));
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
