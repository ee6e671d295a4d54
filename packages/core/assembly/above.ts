/**
 * Selection of all values above a floor, from a panel of pre-activations z [latent][8 rows]. Floors are one per latent
 * (`stride` 4) or one for all (`stride` 0), and may be negative: values are compared as numbers. NaN is above nothing.
 */
import { fullWith, MASKED, maskOfUnit, maskOfUnits, noteMask, takeMasked } from "./masks";

/** Per row [8] the number of values of z [units][8] above their floors. */
export function countAbove(z: usize, units: usize, floors: usize, stride: usize, counts: usize): void {
  let low = i32x4.splat(0);
  let high = low;
  const end = z + units * 32;
  for (let at = z; at < end; at += 32, floors += stride) {
    const floor = v128.load_splat<f32>(floors);
    low = i32x4.sub(low, f32x4.gt(v128.load(at), floor));
    high = i32x4.sub(high, f32x4.gt(v128.load(at, 16), floor));
  }
  v128.store(counts, low);
  v128.store(counts, high, 16);
}

/**
 * Appends each row's values above their floors to records, at its index in `cursors` [8], which moves on; only rows whose bit is in
 * `inUse`. `masks`: see masks.ts.
 */
export function copyAbove(
  z: usize, units: usize, floors: usize, stride: usize, inUse: i32, cursors: usize, latents: usize, values: usize, masks: usize,
): void {
  const full = fullWith(masks, MASKED);
  let end = masks;
  for (let unit: usize = 0; unit < units; unit += MASKED) {
    end = noteAbove(end, z, unit, min(unit + MASKED, units), floors, stride, inUse);
    if (end <= full) continue;
    takeMasked(false, z, values, 0, latents - values, <usize>i32.MAX_VALUE, cursors, masks, end, 0, 0);
    end = masks;
  }
  takeMasked(false, z, values, 0, latents - values, <usize>i32.MAX_VALUE, cursors, masks, end, 0, 0);
}

/**
 * All bounds u [units][8] above their latents' floors, with their latents, in ascending order, in list `lane` of `lists`
 * (see lists.ts), for rows whose bit is in `inUse`; counts [8] receives how many, or `capacity` where there are at
 * least as many. `least`: a number that no floor is below, so that groups whose maxima do not exceed it are passed over. `masks`: see masks.ts.
 */
export function collectAbove(
  u: usize, units: usize, maxima: usize, groups: usize, groupUnits: usize, lists: usize, capacity: usize, counts: usize,
  floors: usize, stride: usize, least: f32, inUse: i32, masks: usize,
): void {
  v128.store(counts, i32x4.splat(0));
  v128.store(counts, i32x4.splat(0), 16);
  const lowest = f32x4.splat(least);
  const full = fullWith(masks, groupUnits);
  let end = masks;
  for (let group: usize = 0; group < groups; group++) {
    if ((maskOfUnit(halvesAbove(maxima + group * 32, lowest)) & inUse) == 0) continue;
    end = noteAbove(end, u, group * groupUnits, min((group + 1) * groupUnits, units), floors, stride, inUse);
    if (end <= full) continue;
    takeMasked(false, u, lists, capacity << 3, capacity << 2, capacity, counts, masks, end, 0, 0);
    end = masks;
  }
  takeMasked(false, u, lists, capacity << 3, capacity << 2, capacity, counts, masks, end, 0, 0);
}

/** Keeps those values of a list that are above their latents' floors, in their order. Returns how many. */
export function keepAbove(list: usize, capacity: usize, count: usize, floors: usize, stride: usize): usize {
  let kept: usize = 0;
  for (let i: usize = 0; i < count; i++) {
    const latent = load<i32>(list + (capacity + i) * 4);
    const value = load<f32>(list + (i << 2));
    // Without a branch, which could not be predicted: what is not kept is overwritten.
    store<f32>(list + (kept << 2), value);
    store<i32>(list + (capacity + kept) * 4, latent);
    kept += <usize>(value > load<f32>(floors + <usize>latent * stride));
  }
  return kept;
}

/** Notes what of z [unit][8] is above its floor, of units [unit, after) and rows whose bit is in `inUse`. Returns where the next mask goes. */
@inline
function noteAbove(end: usize, z: usize, unit: usize, after: usize, floors: usize, stride: usize, inUse: i32): usize {
  const lanes = inUse * 0x01010101;
  let floor = floors + unit * stride;
  for (; unit + MASKED <= after; unit += MASKED, floor += MASKED * stride) {
    const at = z + unit * 32;
    const mask = maskOfUnits(
      halvesAbove(at, v128.load_splat<f32>(floor)),
      halvesAbove(at + 32, v128.load_splat<f32>(floor + stride)),
      halvesAbove(at + 64, v128.load_splat<f32>(floor + 2 * stride)),
      halvesAbove(at + 96, v128.load_splat<f32>(floor + 3 * stride)),
    );
    end = noteMask(end, mask & lanes, unit);
  }
  for (; unit < after; unit++, floor += stride) {
    end = noteMask(end, maskOfUnit(halvesAbove(z + unit * 32, v128.load_splat<f32>(floor))) & inUse, unit);
  }
  return end;
}

/** 16 bits for each of the eight lanes at `at`, set where it is above the floor. */
@inline
function halvesAbove(at: usize, floor: v128): v128 {
  return i16x8.narrow_i32x4_s(f32x4.gt(v128.load(at), floor), f32x4.gt(v128.load(at, 16), floor));
}
