/**
 * Row gathers in WebAssembly SIMD: stored rows of a shuffle window, in a given order, widened to float32, centred
 * and scaled. Pointers are byte offsets into the imported memory; nothing is allocated. src/transform.ts defines
 * what each must compute, to the bit.
 *
 * Each function writes x' = (x - mean) * scale for `rows` rows of `dIn` numbers to `out`; row r is the one in slot
 * order[r] of `source`. It returns the first r that has a number that is not finite, having written that row too,
 * or `rows`.
 *
 * A number that is finite gives 0 when it is subtracted from itself, all bits zero; another gives NaN.
 */

/** Address of the row in slot `order[r]`. */
@inline
function rowAt(source: usize, order: usize, r: i32, rowBytes: usize): usize {
  return source + rowBytes * <usize>load<u32>(order + ((<usize>r) << 2));
}

/** Writes one vector, and returns zeros where its numbers are finite. */
@inline
function put(out: usize, x: v128, mean: v128, scale: v128): v128 {
  const value = f32x4.mul(f32x4.sub(x, mean), scale);
  v128.store(out, value);
  return f32x4.sub(value, value);
}

/** One number of a row. */
@inline
function putScalar(out: usize, x: f32, mean: usize, scale: f32): bool {
  const value = (x - load<f32>(mean)) * scale;
  store<f32>(out, value);
  return value - value == 0;
}

/** Rows come four at a time: their pages are far apart, and four misses are waited for as one. */
export function gatherFloat32(
  source: usize,
  order: usize,
  rows: i32,
  dIn: i32,
  mean: usize,
  scale: f32,
  out: usize,
): i32 {
  const s = f32x4.splat(scale);
  const rowBytes = (<usize>dIn) << 2;
  const wholeBytes = (<usize>(dIn & ~3)) << 2;
  let r = 0;
  for (; r + 4 <= rows; r += 4) {
    let a = rowAt(source, order, r, rowBytes);
    let b = rowAt(source, order, r + 1, rowBytes);
    let c = rowAt(source, order, r + 2, rowBytes);
    let d = rowAt(source, order, r + 3, rowBytes);
    let toA = out;
    let toB = out + rowBytes;
    let toC = toB + rowBytes;
    let toD = toC + rowBytes;
    let seenA = i32x4.splat(0);
    let seenB = i32x4.splat(0);
    let seenC = i32x4.splat(0);
    let seenD = i32x4.splat(0);
    let m = mean;
    const whole = mean + wholeBytes;
    while (m < whole) {
      const centre = v128.load(m);
      seenA = v128.or(seenA, put(toA, v128.load(a), centre, s));
      seenB = v128.or(seenB, put(toB, v128.load(b), centre, s));
      seenC = v128.or(seenC, put(toC, v128.load(c), centre, s));
      seenD = v128.or(seenD, put(toD, v128.load(d), centre, s));
      m += 16;
      a += 16;
      b += 16;
      c += 16;
      d += 16;
      toA += 16;
      toB += 16;
      toC += 16;
      toD += 16;
    }
    let finiteA = !v128.any_true(seenA);
    let finiteB = !v128.any_true(seenB);
    let finiteC = !v128.any_true(seenC);
    let finiteD = !v128.any_true(seenD);
    const rest = mean + rowBytes - whole;
    for (let i: usize = 0; i < rest; i += 4) {
      finiteA = putScalar(toA + i, load<f32>(a + i), m + i, scale) && finiteA;
      finiteB = putScalar(toB + i, load<f32>(b + i), m + i, scale) && finiteB;
      finiteC = putScalar(toC + i, load<f32>(c + i), m + i, scale) && finiteC;
      finiteD = putScalar(toD + i, load<f32>(d + i), m + i, scale) && finiteD;
    }
    if (!finiteA) return r;
    if (!finiteB) return r + 1;
    if (!finiteC) return r + 2;
    if (!finiteD) return r + 3;
    out += rowBytes << 2;
  }
  for (; r < rows; r++) {
    const from = rowAt(source, order, r, rowBytes);
    let seen = i32x4.splat(0);
    let i: usize = 0;
    for (; i < wholeBytes; i += 16) {
      seen = v128.or(seen, put(out + i, v128.load(from + i), v128.load(mean + i), s));
    }
    let finite = !v128.any_true(seen);
    for (; i < rowBytes; i += 4) finite = putScalar(out + i, load<f32>(from + i), mean + i, scale) && finite;
    if (!finite) return r;
    out += rowBytes;
  }
  return rows;
}

/**
 * The float32 of half-precision numbers, given in the low halves of four words. Their bits, moved to float32's
 * places, are the number times 2^-112, also of subnormal ones; from 65536 on, which half precision has not, the
 * exponent was the highest, and infinity or NaN is meant.
 */
@inline
function widen(half: v128, unbias: v128, beyond: v128, infinity: v128): v128 {
  const magnitude = f32x4.mul(i32x4.shr_u(i32x4.shl(half, 17), 4), unbias);
  const sign = i32x4.shl(i32x4.shr_u(half, 15), 31);
  return v128.or(v128.or(magnitude, sign), v128.and(f32x4.ge(magnitude, beyond), infinity));
}

/**
 * `unbias` is 2^112, `beyond` 65536, `infinity` that: they are arguments because V8 makes a constant vector anew
 * wherever it is used, which took half of the time.
 */
export function gatherFloat16(
  source: usize,
  order: usize,
  rows: i32,
  dIn: i32,
  mean: usize,
  scale: f32,
  out: usize,
  unbias: f32,
  beyond: f32,
  infinity: f32,
): i32 {
  const s = f32x4.splat(scale);
  const u = f32x4.splat(unbias);
  const b = f32x4.splat(beyond);
  const i = f32x4.splat(infinity);
  const rowBytes = (<usize>dIn) << 1;
  const wholeBytes = (<usize>(dIn & ~7)) << 2;
  for (let r = 0; r < rows; r++) {
    let from = source + rowBytes * <usize>load<u32>(order + ((<usize>r) << 2));
    let m = mean;
    let seen = i32x4.splat(0);
    const whole = out + wholeBytes;
    const end = out + ((<usize>dIn) << 2);
    while (out < whole) {
      const halves = v128.load(from);
      const low = f32x4.mul(f32x4.sub(widen(i32x4.extend_low_i16x8_u(halves), u, b, i), v128.load(m)), s);
      v128.store(out, low);
      seen = v128.or(seen, f32x4.sub(low, low));
      const high = f32x4.mul(f32x4.sub(widen(i32x4.extend_high_i16x8_u(halves), u, b, i), v128.load(m, 16)), s);
      v128.store(out, high, 16);
      seen = v128.or(seen, f32x4.sub(high, high));
      out += 32;
      from += 16;
      m += 32;
    }
    let isFinite = !v128.any_true(seen);
    while (out < end) {
      const x = f32x4.extract_lane(widen(i32x4.splat(<i32>load<u16>(from)), u, b, i), 0);
      const a = (x - load<f32>(m)) * scale;
      store<f32>(out, a);
      isFinite = isFinite && a - a == 0;
      out += 4;
      from += 2;
      m += 4;
    }
    if (!isFinite) return r;
  }
  return rows;
}
