/**
 * Selection of all values above a floor, from a panel of pre-activations z [latent][8 rows]. Floors are one per latent
 * (`stride` 4) or one for all (`stride` 0), and may be negative: values are compared as numbers. NaN is above nothing.
 */

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

/** Appends each row's values above their floors to records, at its index in `cursors` [8], which moves on; only rows whose bit is in `inUse`. */
export function copyAbove(
  z: usize, units: usize, floors: usize, stride: usize, inUse: i32, cursors: usize, latents: usize, values: usize,
): void {
  for (let unit: usize = 0; unit < units; unit++, floors += stride) {
    const at = z + unit * 32;
    let mask = above(at, v128.load_splat<f32>(floors)) & inUse;
    while (mask != 0) {
      const lane = <usize>ctz(mask);
      mask &= mask - 1;
      const cursor = <usize>load<i32>(cursors + (lane << 2));
      store<i32>(values + (cursor << 2), load<i32>(at + (lane << 2)));
      store<i32>(latents + (cursor << 2), <i32>unit);
      store<i32>(cursors + (lane << 2), <i32>cursor + 1);
    }
  }
}

/**
 * All bounds u [units][8] above their latents' floors, with their latents, in ascending order, in list `lane` of `lists`
 * (see select.ts), for rows whose bit is in `inUse`; counts [8] receives how many, or `capacity` where there are at
 * least as many. `least`: a number that no floor is below, so that groups whose maxima do not exceed it are passed over.
 */
export function collectAbove(
  u: usize, units: usize, maxima: usize, groups: usize, groupUnits: usize, lists: usize, capacity: usize, counts: usize,
  floors: usize, stride: usize, least: f32, inUse: i32,
): void {
  v128.store(counts, i32x4.splat(0));
  v128.store(counts, i32x4.splat(0), 16);
  const lowest = f32x4.splat(least);
  for (let group: usize = 0; group < groups; group++) {
    if ((above(maxima + group * 32, lowest) & inUse) == 0) continue;
    const end = min((group + 1) * groupUnits, units);
    for (let unit = group * groupUnits; unit < end; unit++) {
      const at = u + unit * 32;
      let mask = above(at, v128.load_splat<f32>(floors + unit * stride)) & inUse;
      while (mask != 0) {
        const lane = <usize>ctz(mask);
        mask &= mask - 1;
        const list = lists + lane * capacity * 8;
        const count = <usize>load<i32>(counts + (lane << 2));
        if (count == capacity) continue;
        store<i32>(list + (count << 2), load<i32>(at + (lane << 2)));
        store<i32>(list + (capacity + count) * 4, <i32>unit);
        store<i32>(counts + (lane << 2), <i32>count + 1);
      }
    }
  }
}

/** Keeps those values of a list that are above their latents' floors, in their order. Returns how many. */
export function keepAbove(list: usize, capacity: usize, count: usize, floors: usize, stride: usize): usize {
  let kept: usize = 0;
  for (let i: usize = 0; i < count; i++) {
    const latent = load<i32>(list + (capacity + i) * 4);
    const value = load<f32>(list + (i << 2));
    if (!(value > load<f32>(floors + <usize>latent * stride))) continue;
    store<f32>(list + (kept << 2), value);
    store<i32>(list + (capacity + kept) * 4, latent);
    kept++;
  }
  return kept;
}

/** Bit `lane` is set where the value of that row is above the floor. */
@inline
function above(at: usize, floor: v128): i32 {
  return i32x4.bitmask(f32x4.gt(v128.load(at), floor)) | (i32x4.bitmask(f32x4.gt(v128.load(at, 16), floor)) << 4);
}
