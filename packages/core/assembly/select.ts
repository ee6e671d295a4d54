/**
 * Selection of active latents from a panel of pre-activations z [latent][8 rows]; rows are lanes. Numbers are
 * compared by their bits as signed integers: for what matters here, positive numbers, that is their order.
 *
 * Top k: the k-th largest of a row's group maxima bounds its k-th largest value from below, because k groups each
 * hold one value as large. Only groups that reach the bound are looked into; what they hold above it are
 * candidates, about k and a few. Nothing is sorted, and no row looks at all its values one by one.
 */
import { PANEL } from "./product";

/** Bits of the smallest positive float32: 0 and negative numbers are below. */
export const SMALLEST: i32 = 1;
/** Bits above those of +Infinity, which no number reaches. */
export const ABOVE_ALL: i32 = 0x7f800001;
/**
 * Searches begin this far below the largest value's bits, a factor of two, and go twice as far each time until enough values
 * are reached; from then on, with a width of all that can be left, they halve it.
 */
const FIRST_WIDTH: i32 = 1 << 23;
const ALL_WIDTH: i32 = 1 << 29;
/** A bound that lets through this many groups more than k is good enough: each costs less than a bisection step. */
export const SLACK: i32 = 4;

/** Bit `lane` is set where z of that row is NaN somewhere in the maxima [groups][8]. */
export function nanRows(maxima: usize, groups: usize): i32 {
  let low = i32x4.splat(0);
  let high = low;
  for (let group: usize = 0; group < groups; group++) {
    const a = v128.load(maxima + group * 32);
    const b = v128.load(maxima + group * 32, 16);
    low = v128.or(low, f32x4.ne(a, a));
    high = v128.or(high, f32x4.ne(b, b));
  }
  return i32x4.bitmask(low) | (i32x4.bitmask(high) << 4);
}

/** Writes per row [8] bits that at least k of `count` values [count][8] reach, or SMALLEST where fewer are positive. */
export function lowerBounds(bounds: usize, values: usize, count: usize, k: i32, slack: i32): void {
  const wanted = i32x4.splat(k);
  const enough = i32x4.splat(k + slack);
  const end = values + count * 32;
  let below0 = i32x4.splat(SMALLEST);
  let below1 = below0;
  let above0 = below0;
  let above1 = below0;
  for (let at = values; at < end; at += 32) {
    above0 = i32x4.max_s(above0, v128.load(at));
    above1 = i32x4.max_s(above1, v128.load(at, 16));
  }
  // What is not a number is above all.
  const one = i32x4.splat(1);
  const all = i32x4.splat(ALL_WIDTH);
  const infinity = i32x4.splat(ABOVE_ALL - 1);
  above0 = i32x4.add(i32x4.min_s(above0, infinity), one);
  above1 = i32x4.add(i32x4.min_s(above1, infinity), one);
  let width0 = i32x4.splat(FIRST_WIDTH);
  let width1 = width0;
  for (;;) {
    // Done where the interval holds one number only; its lower end is reached by k values or is SMALLEST.
    const open0 = i32x4.gt_s(i32x4.sub(above0, below0), one);
    const open1 = i32x4.gt_s(i32x4.sub(above1, below1), one);
    if (!v128.any_true(v128.or(open0, open1))) break;
    const half0 = i32x4.add(below0, i32x4.shr_u(i32x4.sub(above0, below0), 1));
    const half1 = i32x4.add(below1, i32x4.shr_u(i32x4.sub(above1, below1), 1));
    const middle0 = i32x4.max_s(i32x4.sub(above0, width0), half0);
    const middle1 = i32x4.max_s(i32x4.sub(above1, width1), half1);
    let reached0 = i32x4.splat(0);
    let reached1 = reached0;
    for (let at = values; at < end; at += 32) {
      // A true comparison is −1.
      reached0 = i32x4.sub(reached0, i32x4.ge_s(v128.load(at), middle0));
      reached1 = i32x4.sub(reached1, i32x4.ge_s(v128.load(at, 16), middle1));
    }
    const ok0 = i32x4.ge_s(reached0, wanted);
    const ok1 = i32x4.ge_s(reached1, wanted);
    below0 = v128.bitselect(middle0, below0, ok0);
    below1 = v128.bitselect(middle1, below1, ok1);
    width0 = i32x4.min_s(v128.bitselect(all, i32x4.add(width0, width0), ok0), all);
    width1 = i32x4.min_s(v128.bitselect(all, i32x4.add(width1, width1), ok1), all);
    // Where enough is reached and not much more, the bound is good: close the interval.
    const close0 = v128.and(ok0, i32x4.le_s(reached0, enough));
    const close1 = v128.and(ok1, i32x4.le_s(reached1, enough));
    above0 = v128.bitselect(v128.bitselect(above0, middle0, ok0), below0, v128.not(close0));
    above1 = v128.bitselect(v128.bitselect(above1, middle1, ok1), below1, v128.not(close1));
  }
  v128.store(bounds, below0);
  v128.store(bounds, below1, 16);
}

/**
 * The k largest positive values of each of the panel's 8 rows, ties to the lower latent, in ascending latent order.
 * Row `lane`'s are left in list `lane` of `lists` (see {@link listValues}); counts [8] receives how many. `masks`: see {@link collect}.
 */
export function selectTopK(
  z: usize, units: usize, maxima: usize, groups: usize, groupUnits: usize, k: i32, lists: usize, capacity: usize, counts: usize, bounds: usize,
  masks: usize,
): void {
  lowerBounds(bounds, maxima, groups, k, SLACK);
  collect(true, z, units, maxima, groups, groupUnits, k, lists, capacity, counts, bounds, masks);
  for (let lane: usize = 0; lane < PANEL; lane++) {
    const count = load<i32>(counts + (lane << 2));
    if (count > k) {
      store<i32>(counts + (lane << 2), keepLargest(lists + lane * capacity * 8, capacity, count, k, bounds + (lane << 2)));
    }
  }
}

/**
 * Keeps the k largest of a list of `count` values (bits) and latents, in their order, ties to the earlier; the list
 * has room for a multiple of 4. Writes to `bound` the bits that a later value must reach to belong to them.
 */
export function keepLargest(list: usize, capacity: usize, count: i32, k: i32, bound: usize): i32 {
  padWithZeros(list, count);
  const low = reachedBy(list, count, k);
  let ties = k - countReaching(list, count, low + 1);
  let kept: usize = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const value = load<i32>(list + (i << 2));
    store<i32>(list + (kept << 2), value);
    store<i32>(list + (capacity + kept) * 4, load<i32>(list + (capacity + i) * 4));
    // Without a branch, which could not be predicted: what is not kept is overwritten.
    const tie = <i32>(value == low);
    kept += <usize>(<i32>(value > low) | (tie & <i32>(ties > 0)));
    ties -= tie;
  }
  store<i32>(bound, low + 1);
  return <i32>kept;
}

/**
 * Bits that k of a list's `count` values reach, filled up with zeros: exactly k, or the k-th largest's own where values are equal;
 * or SMALLEST where fewer are positive.
 */
function reachedBy(list: usize, count: i32, k: i32): i32 {
  const end = list + (((<usize>count + 3) & ~3) << 2);
  let largest = i32x4.splat(SMALLEST);
  for (let at = list; at < end; at += 16) largest = i32x4.max_s(largest, v128.load(at));
  let low = SMALLEST;
  let high = min(largestLane(largest), ABOVE_ALL - 1) + 1;
  let width = FIRST_WIDTH;
  while (high - low > 1) {
    const middle = max(high - width, low + ((high - low) >> 1));
    const reached = countReaching(list, count, middle);
    if (reached < k) {
      high = middle;
      width = min(2 * width, ALL_WIDTH);
    } else {
      low = middle;
      width = ALL_WIDTH;
      if (reached == k) break;
    }
  }
  return low;
}

/**
 * Moves the k largest of a list of `count` values to the list `into`, in their order, ties to the earlier; the others stay. Returns how
 * many are moved. `into` has room for one more than k.
 */
export function splitLargest(list: usize, capacity: usize, count: i32, k: i32, into: usize, intoCapacity: usize): i32 {
  padWithZeros(list, count);
  const low = reachedBy(list, count, k);
  let ties = k - countReaching(list, count, low + 1);
  let moved: usize = 0;
  let left: usize = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const value = load<i32>(list + (i << 2));
    const latent = <usize>load<i32>(list + ((capacity + i) << 2));
    push(into, intoCapacity, moved, value, latent);
    push(list, capacity, left, value, latent);
    // Without a branch, which could not be predicted: what does not belong is overwritten.
    const tie = <i32>(value == low);
    const belongs = <usize>(<i32>(value > low) | (tie & <i32>(ties > 0)));
    moved += belongs;
    left += 1 - belongs;
    ties -= tie;
  }
  return <i32>moved;
}

/** Drops values below `least` from a list of `count`. Returns how many stay, in their order. */
export function dropLower(list: usize, capacity: usize, count: i32, least: i32): i32 {
  let kept: usize = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const value = load<i32>(list + (i << 2));
    push(list, capacity, kept, value, <usize>load<i32>(list + ((capacity + i) << 2)));
    kept += <usize>(value >= least);
  }
  return <i32>kept;
}

/** Fills a list's values up to whole vectors. */
@inline
function padWithZeros(list: usize, count: i32): void {
  for (let i = <usize>count; (i & 3) != 0; i++) store<i32>(list + (i << 2), 0);
}

@inline
function countReaching(list: usize, count: i32, bits: i32): i32 {
  const bound = i32x4.splat(bits);
  let reached = i32x4.splat(0);
  const end = list + (((<usize>count + 3) & ~3) << 2);
  for (let at = list; at < end; at += 16) reached = i32x4.sub(reached, i32x4.ge_s(v128.load(at), bound));
  return i32x4.extract_lane(reached, 0) + i32x4.extract_lane(reached, 1) + i32x4.extract_lane(reached, 2) + i32x4.extract_lane(reached, 3);
}

@inline
function largestLane(v: v128): i32 {
  return max(max(i32x4.extract_lane(v, 0), i32x4.extract_lane(v, 1)), max(i32x4.extract_lane(v, 2), i32x4.extract_lane(v, 3)));
}

@inline
function leastLane(v: v128): i32 {
  return min(min(i32x4.extract_lane(v, 0), i32x4.extract_lane(v, 1)), min(i32x4.extract_lane(v, 2), i32x4.extract_lane(v, 3)));
}

/**
 * All values of z [units][8] that reach their row's bound, with their latents, in ascending order, in list `lane` of
 * `lists`; counts [8] receives how many, or `capacity` where there are at least as many. `masks`: see {@link collect}.
 */
export function collectReaching(
  z: usize, units: usize, maxima: usize, groups: usize, groupUnits: usize, lists: usize, capacity: usize, counts: usize, bounds: usize,
  masks: usize,
): void {
  collect(false, z, units, maxima, groups, groupUnits, 0, lists, capacity, counts, bounds, masks);
}

/** Masks that are taken together, at least those of two groups. */
const MASKS: usize = 128;
/** Units of a mask: four times eight lanes. */
const MASKED: usize = 4;

/**
 * {@link collectReaching}; where `best`, a full list keeps its k largest values and raises its row's bound. First it is noted in masks
 * where there are values, without a branch for each unit, then they are taken one by one: nothing foretells which units have some.
 * `masks` is scratch for MASKS masks with their first units, two words each.
 */
@inline
function collect(
  best: bool, z: usize, units: usize, maxima: usize, groups: usize, groupUnits: usize, k: i32, lists: usize, capacity: usize, counts: usize,
  bounds: usize, masks: usize,
): void {
  v128.store(counts, i32x4.splat(0));
  v128.store(counts, i32x4.splat(0), 16);
  let below0 = belowBound(bounds);
  let below1 = belowBound(bounds + 16);
  const full = masks + ((MASKS - 1 - groupUnits / MASKED - MASKED) << 3);
  let end = masks;
  for (let group: usize = 0; group < groups; group++) {
    if (lanesAbove(maxima + group * 32, below0, below1) == 0) continue;
    const after = min((group + 1) * groupUnits, units);
    let unit = group * groupUnits;
    for (; unit + MASKED <= after; unit += MASKED) end = noteMask(end, unitsAbove(z + unit * 32, below0, below1), unit);
    for (; unit < after; unit++) end = noteMask(end, lanesAbove(z + unit * 32, below0, below1), unit);
    if (end <= full) continue;
    takeMasked(best, z, k, lists, capacity, counts, bounds, masks, end);
    end = masks;
    if (best) {
      below0 = belowBound(bounds);
      below1 = belowBound(bounds + 16);
    }
  }
  takeMasked(best, z, k, lists, capacity, counts, bounds, masks, end);
}

/** Notes a mask and its first unit, unless it is empty. Returns where the next goes. */
@inline
function noteMask(end: usize, mask: i32, unit: usize): usize {
  store<i32>(end, mask);
  store<i32>(end, <i32>unit, 4);
  return end + (<usize>(mask != 0) << 3);
}

/** Adds the values that masks before `end` tell of to their rows' lists. Reads, but does not use, what lies at `end`. */
@inline
function takeMasked(best: bool, z: usize, k: i32, lists: usize, capacity: usize, counts: usize, bounds: usize, masks: usize, end: usize): void {
  let mask = load<i32>(masks);
  for (let at = masks; at < end; ) {
    const bit = <usize>ctz(mask);
    const lane = bit & (PANEL - 1);
    const unit = <usize>load<i32>(at, 4) + bit / PANEL;
    // The next mask without a branch, which nothing foretells.
    mask &= mask - 1;
    const done = mask == 0;
    at += <usize>done << 3;
    mask = select(load<i32>(at), mask, done);

    const value = load<i32>(z + ((unit * PANEL + lane) << 2));
    const list = lists + lane * capacity * 8;
    let count = <usize>load<i32>(counts + (lane << 2));
    if (count == capacity) {
      if (!best) continue;
      // Keep the k best. Whatever comes later must be larger than the least of them, ties lose.
      count = <usize>keepLargest(list, capacity, <i32>count, k, bounds + (lane << 2));
      store<i32>(counts + (lane << 2), <i32>count);
    }
    if (best && value < load<i32>(bounds + (lane << 2))) continue;
    push(list, capacity, count, value, unit);
    store<i32>(counts + (lane << 2), <i32>count + 1);
  }
}

/** The largest bits that do not reach a bound. Bounds are positive. */
@inline
function belowBound(bounds: usize): v128 {
  return i32x4.sub(v128.load(bounds), i32x4.splat(1));
}

/** A bit of each of the eight lanes at `at` that are above `below0`, `below1`. */
@inline
function lanesAbove(at: usize, below0: v128, below1: v128): i32 {
  const lanes = halvesAbove(at, below0, below1);
  return i8x16.bitmask(i8x16.narrow_i16x8_s(lanes, i16x8.splat(0)));
}

/** {@link lanesAbove} of four units, eight bits each. */
@inline
function unitsAbove(at: usize, below0: v128, below1: v128): i32 {
  const two = i8x16.narrow_i16x8_s(halvesAbove(at, below0, below1), halvesAbove(at + 32, below0, below1));
  const more = i8x16.narrow_i16x8_s(halvesAbove(at + 64, below0, below1), halvesAbove(at + 96, below0, below1));
  return i8x16.bitmask(two) | (i8x16.bitmask(more) << 16);
}

/** 16 bits for each of the eight lanes at `at`, set where it is above `below0`, `below1`. */
@inline
function halvesAbove(at: usize, below0: v128, below1: v128): v128 {
  return i16x8.narrow_i32x4_s(i32x4.gt_s(v128.load(at), below0), i32x4.gt_s(v128.load(at, 16), below1));
}

/** Adds a latent and its value's bits to a list of `count`. */
@inline
function push(list: usize, capacity: usize, count: usize, value: i32, latent: usize): void {
  store<i32>(list + (count << 2), value);
  store<i32>(list + ((capacity + count) << 2), <i32>latent);
}

/** Bits of the k-th largest of a list's values, or those of the smallest positive number where fewer are positive. */
export function kthLargest(list: usize, count: i32, k: i32): i32 {
  padWithZeros(list, count);
  const bits = reachedBy(list, count, k);
  if (bits == SMALLEST) return SMALLEST;
  const bound = i32x4.splat(bits);
  const none = i32x4.splat(ABOVE_ALL);
  let least = none;
  const end = list + (((<usize>count + 3) & ~3) << 2);
  for (let at = list; at < end; at += 16) {
    const values = v128.load(at);
    least = i32x4.min_s(least, v128.bitselect(values, none, i32x4.ge_s(values, bound)));
  }
  return leastLane(least);
}

/** Takes the latents of a list from what is reached in z [units][8] of row `lane`. */
export function takeOut(z: usize, lane: usize, list: usize, capacity: usize, count: usize): void {
  const latents = list + (capacity << 2);
  const at = z + (lane << 2);
  for (let i: usize = 0; i < count; i++) store<i32>(at + (<usize>load<i32>(latents + (i << 2)) << 5), 0);
}

/** Past the last latent of a list. */
const NO_LATENT: i32 = i32.MAX_VALUE;

/**
 * Joins two lists without a latent in common, both with room for one more, to one in ascending order of latents. Each `list`
 * comes with its capacity, and its length.
 */
export function mergeLists(
  list: usize, capacity: usize, a: usize, aCapacity: usize, aCount: usize, b: usize, bCapacity: usize, bCount: usize,
): void {
  const aLatents = a + (aCapacity << 2);
  const bLatents = b + (bCapacity << 2);
  store<i32>(aLatents + (aCount << 2), NO_LATENT);
  store<i32>(bLatents + (bCount << 2), NO_LATENT);
  let i: usize = 0;
  let j: usize = 0;
  for (let n: usize = 0; n < aCount + bCount; n++) {
    const ofA = load<i32>(aLatents + (i << 2));
    const ofB = load<i32>(bLatents + (j << 2));
    // Without a branch, which could not be predicted.
    const first = ofA < ofB;
    push(list, capacity, n, load<i32>(first ? a + (i << 2) : b + (j << 2)), <usize>(first ? ofA : ofB));
    i += <usize>first;
    j += <usize>!first;
  }
}

/** Keeps the positive values of a list, in their order. Returns how many. */
export function keepPositive(list: usize, capacity: usize, count: usize): usize {
  let kept: usize = 0;
  for (let i: usize = 0; i < count; i++) {
    const value = load<i32>(list + (i << 2));
    if (value < SMALLEST) continue;
    store<i32>(list + (kept << 2), value);
    store<i32>(list + (capacity + kept) * 4, load<i32>(list + (capacity + i) * 4));
    kept++;
  }
  return kept;
}

/** Copies a list's values and latents to records. */
export function copyList(list: usize, capacity: usize, count: usize, latents: usize, values: usize): void {
  memory.copy(values, list, count << 2);
  memory.copy(latents, list + (capacity << 2), count << 2);
}
