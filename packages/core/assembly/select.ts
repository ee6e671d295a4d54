/**
 * Selection of active latents from a panel of pre-activations z [latent][8 rows]; rows are lanes. Numbers are
 * compared by their bits, see lists.ts.
 *
 * Top k: the k-th largest of a row's group maxima bounds its k-th largest value from below, because k groups each
 * hold one value as large. Only groups that reach the bound are looked into; what they hold above it are
 * candidates, about k and a few. Nothing is sorted, and no row looks at all its values one by one.
 */
import { ABOVE_ALL, ALL_WIDTH, FIRST_WIDTH, keepLargest, SMALLEST } from "./lists";
import { fullWith, MASKED, maskOfUnit, maskOfUnits, noteMask, takeMasked } from "./masks";
import { PANEL } from "./product";

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
 * Row `lane`'s are left in list `lane` of `lists` (see lists.ts); counts [8] receives how many. `masks`: see masks.ts.
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
 * All values of z [units][8] that reach their row's bound, with their latents, in ascending order, in list `lane` of
 * `lists`; counts [8] receives how many, or `capacity` where there are at least as many. `masks`: see masks.ts.
 */
export function collectReaching(
  z: usize, units: usize, maxima: usize, groups: usize, groupUnits: usize, lists: usize, capacity: usize, counts: usize, bounds: usize,
  masks: usize,
): void {
  collect(false, z, units, maxima, groups, groupUnits, 0, lists, capacity, counts, bounds, masks);
}

/** {@link collectReaching}; where `best`, a full list keeps its k largest values and raises its row's bound. `masks`: see masks.ts. */
@inline
function collect(
  best: bool, z: usize, units: usize, maxima: usize, groups: usize, groupUnits: usize, k: i32, lists: usize, capacity: usize, counts: usize,
  bounds: usize, masks: usize,
): void {
  v128.store(counts, i32x4.splat(0));
  v128.store(counts, i32x4.splat(0), 16);
  let below0 = belowBound(bounds);
  let below1 = belowBound(bounds + 16);
  const full = fullWith(masks, groupUnits);
  const listBytes = capacity << 3;
  const latentsAt = capacity << 2;
  let end = masks;
  for (let group: usize = 0; group < groups; group++) {
    if (lanesAbove(maxima + group * 32, below0, below1) == 0) continue;
    const after = min((group + 1) * groupUnits, units);
    let unit = group * groupUnits;
    for (; unit + MASKED <= after; unit += MASKED) end = noteMask(end, unitsAbove(z + unit * 32, below0, below1), unit);
    for (; unit < after; unit++) end = noteMask(end, lanesAbove(z + unit * 32, below0, below1), unit);
    if (end <= full) continue;
    takeMasked(best, z, lists, listBytes, latentsAt, capacity, counts, masks, end, k, bounds);
    end = masks;
    if (best) {
      below0 = belowBound(bounds);
      below1 = belowBound(bounds + 16);
    }
  }
  takeMasked(best, z, lists, listBytes, latentsAt, capacity, counts, masks, end, k, bounds);
}

/** The largest bits that do not reach a bound. Bounds are positive. */
@inline
function belowBound(bounds: usize): v128 {
  return i32x4.sub(v128.load(bounds), i32x4.splat(1));
}

/** A bit of each of the eight lanes at `at` that are above `below0`, `below1`. */
@inline
function lanesAbove(at: usize, below0: v128, below1: v128): i32 {
  return maskOfUnit(halvesAbove(at, below0, below1));
}

/** {@link lanesAbove} of four units, eight bits each. */
@inline
function unitsAbove(at: usize, below0: v128, below1: v128): i32 {
  return maskOfUnits(
    halvesAbove(at, below0, below1),
    halvesAbove(at + 32, below0, below1),
    halvesAbove(at + 64, below0, below1),
    halvesAbove(at + 96, below0, below1),
  );
}

/** 16 bits for each of the eight lanes at `at`, set where it is above `below0`, `below1`. */
@inline
function halvesAbove(at: usize, below0: v128, below1: v128): v128 {
  return i16x8.narrow_i32x4_s(i32x4.gt_s(v128.load(at), below0), i32x4.gt_s(v128.load(at, 16), below1));
}

/** Takes the latents of a list from what is reached in z [units][8] of row `lane`. */
export function takeOut(z: usize, lane: usize, list: usize, capacity: usize, count: usize): void {
  const latents = list + (capacity << 2);
  const at = z + (lane << 2);
  for (let i: usize = 0; i < count; i++) store<i32>(at + (<usize>load<i32>(latents + (i << 2)) << 5), 0);
}
