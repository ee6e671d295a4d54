/**
 * Lists of what may be among a row's active latents: `capacity` values, by their bits, which as signed integers have the order of
 * the numbers that matter here, positive ones; then as many latents.
 */

/** Bits of the smallest positive float32: 0 and negative numbers are below. */
export const SMALLEST: i32 = 1;
/** Bits above those of +Infinity, which no number reaches. */
export const ABOVE_ALL: i32 = 0x7f800001;
/**
 * Searches begin this far below the largest value's bits, a factor of two, and go twice as far each time until enough values
 * are reached; from then on, with a width of all that can be left, they halve it.
 */
export const FIRST_WIDTH: i32 = 1 << 23;
export const ALL_WIDTH: i32 = 1 << 29;

/** Adds a latent and its value's bits to a list of `count`. */
@inline
export function push(list: usize, capacity: usize, count: usize, value: i32, latent: usize): void {
  store<i32>(list + (count << 2), value);
  store<i32>(list + ((capacity + count) << 2), <i32>latent);
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
