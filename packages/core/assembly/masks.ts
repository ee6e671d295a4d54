/**
 * Which values of a panel [unit][8 rows] are chosen, in masks of a bit each, four units at a time. First all masks with a bit are noted,
 * without a branch for each unit, then their values are taken one by one: nothing foretells which units have some. Scratch for MASKS
 * masks with their first units takes two words each.
 */
import { keepLargest } from "./lists";
import { PANEL } from "./product";

/** Masks that are taken together, at least those of two groups of latents. */
export const MASKS: usize = 128;
/** Units of a mask: four times eight lanes. */
export const MASKED: usize = 4;

/** From where on `masks` may lack room for those of another `units` units. */
@inline
export function fullWith(masks: usize, units: usize): usize {
  // Two are read past the last, and up to three units have masks of their own.
  return masks + ((MASKS - 1 - MASKED - units / MASKED) << 3);
}

/** The mask of a unit that has 16 bits of each lane set or not. */
@inline
export function maskOfUnit(lanes: v128): i32 {
  return i8x16.bitmask(i8x16.narrow_i16x8_s(lanes, i16x8.splat(0)));
}

/** The mask of four such units. */
@inline
export function maskOfUnits(a: v128, b: v128, c: v128, d: v128): i32 {
  return i8x16.bitmask(i8x16.narrow_i16x8_s(a, b)) | (i8x16.bitmask(i8x16.narrow_i16x8_s(c, d)) << 16);
}

/** Notes a mask and its first unit, unless it is empty. Returns where the next goes. */
@inline
export function noteMask(end: usize, mask: i32, unit: usize): usize {
  store<i32>(end, mask);
  store<i32>(end, <i32>unit, 4);
  return end + (<usize>(mask != 0) << 3);
}

/**
 * Adds the values of z that masks before `end` tell of, and their units, to their lanes' lists, which have `counts` [8] entries, and room for
 * `capacity`: those of lane l begin `listBytes`·l behind `lists`, their units `unitsAt` further on. What a full list has no room for is
 * dropped; but where `best`, it then keeps its k largest values, and its lane's bound in `bounds` rises. Reads, but does not use, two masks from `end` on.
 */
@inline
export function takeMasked(
  best: bool, z: usize, lists: usize, listBytes: usize, unitsAt: usize, capacity: usize, counts: usize, masks: usize, end: usize,
  k: i32, bounds: usize,
): void {
  let mask = load<i32>(masks);
  let next = load<i32>(masks, 8);
  for (let at = masks; at < end; ) {
    const bit = <usize>ctz(mask);
    const word = (bit & (PANEL - 1)) << 2;
    const unit = <usize>load<i32>(at, 4) + bit / PANEL;
    // The next mask without a branch, which nothing foretells, and loaded early: it is what the next turn waits for.
    mask &= mask - 1;
    const done = mask == 0;
    mask = select(next, mask, done);
    at += <usize>done << 3;
    next = load<i32>(at, 8);

    const value = load<i32>(z + unit * (PANEL << 2) + word);
    const list = lists + (word >> 2) * listBytes;
    let count = <usize>load<i32>(counts + word);
    if (count == capacity) {
      if (!best) continue;
      // Whatever comes later must be larger than the least of the k best: ties lose.
      count = <usize>keepLargest(list, capacity, <i32>count, k, bounds + word);
      store<i32>(counts + word, <i32>count);
    }
    if (best && value < load<i32>(bounds + word)) continue;
    store<i32>(list + (count << 2), value);
    store<i32>(list + unitsAt + (count << 2), <i32>unit);
    store<i32>(counts + word, <i32>count + 1);
  }
}
