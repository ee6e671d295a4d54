/** The few vector operations that everything is made of. Pointers are byte offsets into the arena. */

/**
 * a·b + c. With relaxed SIMD this is one fused multiply-add where the machine has it: the canonical link of a
 * chain. Without, it rounds twice, and gives other last bits: a variant of its own.
 */
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** a·b + c of single numbers; WebAssembly has no scalar fused multiply-add. */
@inline
export function maddScalar(a: f32, b: f32, c: f32): f32 {
  return f32x4.extract_lane(madd(f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)), 0);
}

/**
 * √x, correctly rounded as `sqrt` is, by the vectors' instruction: V8 gives the scalar one its old encoding, which on some
 * machines costs 0.2 µs after a function with 256-bit vectors (decision 026).
 */
@inline
export function root(x: f32): f32 {
  return f32x4.extract_lane(f32x4.sqrt(f32x4.splat(x)), 0);
}

/** out[j] += scale·a[j] for j < length: one link of `length` chains. */
export function axpy(out: usize, scale: f32, a: usize, length: usize): void {
  const s = f32x4.splat(scale);
  const whole = out + ((length & ~15) << 2);
  while (out < whole) {
    v128.store(out, madd(s, v128.load(a), v128.load(out)));
    v128.store(out, madd(s, v128.load(a, 16), v128.load(out, 16)), 16);
    v128.store(out, madd(s, v128.load(a, 32), v128.load(out, 32)), 32);
    v128.store(out, madd(s, v128.load(a, 48), v128.load(out, 48)), 48);
    out += 64;
    a += 64;
  }
  for (let rest = length & 15; rest > 0; rest--) {
    store<f32>(out, maddScalar(scale, load<f32>(a), load<f32>(out)));
    out += 4;
    a += 4;
  }
}

/**
 * Four links after each other: out[j] = (((out[j] + s0·a0[j]) + s1·a1[j]) + s2·a2[j]) + s3·a3[j]. One pass over `out`
 * instead of four, and four rows on their way from memory at a time.
 */
export function axpyFour(
  out: usize, s0: f32, a0: usize, s1: f32, a1: usize, s2: f32, a2: usize, s3: f32, a3: usize, length: usize,
): void {
  const v0 = f32x4.splat(s0);
  const v1 = f32x4.splat(s1);
  const v2 = f32x4.splat(s2);
  const v3 = f32x4.splat(s3);
  const whole = (length & ~15) << 2;
  const fours = (length & ~3) << 2;
  let j: usize = 0;
  for (; j < whole; j += 64) {
    let sum0 = v128.load(out + j);
    let sum1 = v128.load(out + j, 16);
    let sum2 = v128.load(out + j, 32);
    let sum3 = v128.load(out + j, 48);
    sum0 = madd(v0, v128.load(a0 + j), sum0);
    sum1 = madd(v0, v128.load(a0 + j, 16), sum1);
    sum2 = madd(v0, v128.load(a0 + j, 32), sum2);
    sum3 = madd(v0, v128.load(a0 + j, 48), sum3);
    sum0 = madd(v1, v128.load(a1 + j), sum0);
    sum1 = madd(v1, v128.load(a1 + j, 16), sum1);
    sum2 = madd(v1, v128.load(a1 + j, 32), sum2);
    sum3 = madd(v1, v128.load(a1 + j, 48), sum3);
    sum0 = madd(v2, v128.load(a2 + j), sum0);
    sum1 = madd(v2, v128.load(a2 + j, 16), sum1);
    sum2 = madd(v2, v128.load(a2 + j, 32), sum2);
    sum3 = madd(v2, v128.load(a2 + j, 48), sum3);
    sum0 = madd(v3, v128.load(a3 + j), sum0);
    sum1 = madd(v3, v128.load(a3 + j, 16), sum1);
    sum2 = madd(v3, v128.load(a3 + j, 32), sum2);
    sum3 = madd(v3, v128.load(a3 + j, 48), sum3);
    v128.store(out + j, sum0);
    v128.store(out + j, sum1, 16);
    v128.store(out + j, sum2, 32);
    v128.store(out + j, sum3, 48);
  }
  for (; j < fours; j += 16) {
    let sum = madd(v0, v128.load(a0 + j), v128.load(out + j));
    sum = madd(v1, v128.load(a1 + j), sum);
    sum = madd(v2, v128.load(a2 + j), sum);
    v128.store(out + j, madd(v3, v128.load(a3 + j), sum));
  }
  for (; j < length << 2; j += 4) {
    let sum = maddScalar(s0, load<f32>(a0 + j), load<f32>(out + j));
    sum = maddScalar(s1, load<f32>(a1 + j), sum);
    sum = maddScalar(s2, load<f32>(a2 + j), sum);
    store<f32>(out + j, maddScalar(s3, load<f32>(a3 + j), sum));
  }
}

/** out += Σ factors[i]·rows[i] for i < count, rows [count, length]: as many links, in order. */
export function addRows(out: usize, factors: usize, rows: usize, count: usize, length: usize): void {
  const rowBytes = length << 2;
  let left = count;
  for (; left >= 4; left -= 4, factors += 16, rows += 4 * rowBytes) {
    const third = rows + 2 * rowBytes;
    axpyFour(
      out, load<f32>(factors), rows, load<f32>(factors, 4), rows + rowBytes,
      load<f32>(factors, 8), third, load<f32>(factors, 12), third + rowBytes, length,
    );
  }
  for (; left > 0; left--, factors += 4, rows += rowBytes) axpy(out, load<f32>(factors), rows, length);
}

/** Up to three numbers at `pointer` as a vector, the rest zero. */
export function loadPart(pointer: usize, count: usize): v128 {
  let part = f32x4.splat(0);
  if (count > 0) part = f32x4.replace_lane(part, 0, load<f32>(pointer));
  if (count > 1) part = f32x4.replace_lane(part, 1, load<f32>(pointer, 4));
  if (count > 2) part = f32x4.replace_lane(part, 2, load<f32>(pointer, 8));
  return part;
}

/**
 * Σ a[j]·b[j] in lane order: lane l takes j ≡ l mod 16 in ascending order; the lanes are then added pairwise,
 * 8 apart, 4, 2, 1. `spread`: instead the sum of (a[j] − b[j])², its lanes added one after the other in float64.
 */
@inline
function lanes(a: usize, b: usize, length: usize, spread: bool): f32 {
  let l0 = f32x4.splat(0);
  let l1 = f32x4.splat(0);
  let l2 = f32x4.splat(0);
  let l3 = f32x4.splat(0);
  let rest = length;
  while (rest >= 16) {
    l0 = link(v128.load(a), v128.load(b), l0, spread);
    l1 = link(v128.load(a, 16), v128.load(b, 16), l1, spread);
    l2 = link(v128.load(a, 32), v128.load(b, 32), l2, spread);
    l3 = link(v128.load(a, 48), v128.load(b, 48), l3, spread);
    a += 64;
    b += 64;
    rest -= 16;
  }
  // Missing elements are zeros: they add nothing to their lanes.
  if (rest > 0) l0 = rest >= 4 ? link(v128.load(a), v128.load(b), l0, spread) : link(loadPart(a, rest), loadPart(b, rest), l0, spread);
  if (rest > 4) l1 = rest >= 8 ? link(v128.load(a, 16), v128.load(b, 16), l1, spread) : link(loadPart(a + 16, rest - 4), loadPart(b + 16, rest - 4), l1, spread);
  if (rest > 8) l2 = rest >= 12 ? link(v128.load(a, 32), v128.load(b, 32), l2, spread) : link(loadPart(a + 32, rest - 8), loadPart(b + 32, rest - 8), l2, spread);
  if (rest > 12) l3 = link(loadPart(a + 48, rest - 12), loadPart(b + 48, rest - 12), l3, spread);
  if (spread) return <f32>(addInOrder(addInOrder(addInOrder(addInOrder(0, l0), l1), l2), l3));
  const eight = f32x4.add(l0, l2);
  const four = f32x4.add(eight, f32x4.add(l1, l3));
  const two = f32x4.add(four, v128.shuffle<f32>(four, four, 2, 3, 0, 1));
  return f32x4.extract_lane(two, 0) + f32x4.extract_lane(two, 1);
}

@inline
function link(a: v128, b: v128, lane: v128, spread: bool): v128 {
  if (!spread) return madd(a, b, lane);
  const difference = f32x4.sub(a, b);
  return madd(difference, difference, lane);
}

@inline
function addInOrder(sum: f64, lane: v128): f64 {
  sum += <f64>f32x4.extract_lane(lane, 0);
  sum += <f64>f32x4.extract_lane(lane, 1);
  sum += <f64>f32x4.extract_lane(lane, 2);
  return sum + <f64>f32x4.extract_lane(lane, 3);
}

/** Σ a[j]·b[j] in lane order. */
export function laneDot(a: usize, b: usize, length: usize): f32 {
  return lanes(a, b, length, false);
}

/** Σ (a[j] − b[j])² in lane order. */
export function squaredDistance(a: usize, b: usize, length: usize): f32 {
  return lanes(a, b, length, true);
}

/** Zeroes `bytes` bytes. */
export function clear(pointer: usize, bytes: usize): void {
  memory.fill(pointer, 0, bytes);
}
