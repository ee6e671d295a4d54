/** Choosing dead latents for the auxiliary loss: the k largest of a row's pre-activations, negative ones included. */

/**
 * Keeps the k largest of `count` values with their latents, in their order, ties to the earlier. Returns how many.
 * Bits of floats are in the order of signed integers once those below the sign of negative ones are turned over.
 */
export function keepLargestSigned(values: usize, latents: usize, count: usize, k: usize): usize {
  if (count <= k) return count;
  let low: i64 = -0x80000000;
  let high: i64 = 0x80000000;
  while (high - low > 1) {
    const middle = low + ((high - low) >> 1);
    if (countReaching(values, count, <i32>middle) >= k) low = middle;
    else high = middle;
  }
  const least = <i32>low;
  // The least of them is reached by at least k values; of those that equal it, the first ones are kept.
  const larger = least == i32.MAX_VALUE ? <usize>0 : countReaching(values, count, least + 1);
  let ties = <i32>(k - larger);
  let kept: usize = 0;
  for (let i: usize = 0; i < count; i++) {
    const bits = load<i32>(values + (i << 2));
    const order = ordered(bits);
    if (order < least) continue;
    if (order == least && --ties < 0) continue;
    store<i32>(values + (kept << 2), bits);
    store<i32>(latents + (kept << 2), load<i32>(latents + (i << 2)));
    kept++;
  }
  return kept;
}

@inline
function ordered(bits: i32): i32 {
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

function countReaching(values: usize, count: usize, bound: i32): usize {
  const wanted = i32x4.splat(bound);
  const magnitude = i32x4.splat(0x7fffffff);
  let reached = i32x4.splat(0);
  let i: usize = 0;
  for (; i + 4 <= count; i += 4) {
    const bits = v128.load(values + (i << 2));
    reached = i32x4.sub(reached, i32x4.ge_s(v128.xor(bits, v128.and(i32x4.shr_s(bits, 31), magnitude)), wanted));
  }
  let sum = i32x4.extract_lane(reached, 0) + i32x4.extract_lane(reached, 1) + i32x4.extract_lane(reached, 2) + i32x4.extract_lane(reached, 3);
  for (; i < count; i++) if (ordered(load<i32>(values + (i << 2))) >= bound) sum++;
  return <usize>sum;
}
