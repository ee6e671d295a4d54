/** What the machine can do on registers alone: the product's limit, and which integer products are fast. */
import { madd } from "./simd";

/**
 * Multiply-adds on registers alone, 12 chains of 4 lanes: the machine's limit for the product, whatever
 * the memory does. Returns something that depends on all of them.
 */
export function multiplyAdds(rounds: i32, factor: f32): f32 {
  // From an argument: a constant would be built anew for every operation.
  const x = f32x4.splat(factor);
  const w = x;
  // Different starts: equal chains would be computed once.
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(1);
  let a2 = f32x4.splat(2);
  let a3 = f32x4.splat(3);
  let b0 = f32x4.splat(4);
  let b1 = f32x4.splat(5);
  let b2 = f32x4.splat(6);
  let b3 = f32x4.splat(7);
  let c0 = f32x4.splat(8);
  let c1 = f32x4.splat(9);
  let c2 = f32x4.splat(10);
  let c3 = f32x4.splat(11);
  for (let round = 0; round < rounds; round++) {
    a0 = madd(w, x, a0);
    a1 = madd(w, x, a1);
    a2 = madd(w, x, a2);
    a3 = madd(w, x, a3);
    b0 = madd(w, x, b0);
    b1 = madd(w, x, b1);
    b2 = madd(w, x, b2);
    b3 = madd(w, x, b3);
    c0 = madd(w, x, c0);
    c1 = madd(w, x, c1);
    c2 = madd(w, x, c2);
    c3 = madd(w, x, c3);
  }
  const sum = f32x4.add(f32x4.add(f32x4.add(a0, a1), f32x4.add(a2, a3)), f32x4.add(f32x4.add(b0, b1), f32x4.add(b2, b3)));
  return f32x4.extract_lane(f32x4.add(sum, f32x4.add(f32x4.add(c0, c1), f32x4.add(c2, c3))), 0);
}

/**
 * The integer products of screen.ts, on registers, twelve chains: `wide` those to 32 bits, else pairs in 16 bits. A round
 * of either works on as many numbers. Returns something that depends on all of them.
 */
export function integerProducts(rounds: i32, factor: i32, wide: bool): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return unreachable();
  const x = i8x16.splat(<i8>factor);
  let a = i8x16.splat(1);
  let b = i8x16.splat(2);
  let c = i8x16.splat(3);
  let d = i8x16.splat(4);
  let e = i8x16.splat(5);
  let f = i8x16.splat(6);
  let g = i8x16.splat(7);
  let h = i8x16.splat(8);
  let i = i8x16.splat(9);
  let j = i8x16.splat(10);
  let k = i8x16.splat(11);
  let l = i8x16.splat(12);
  if (wide) {
    for (let round = 0; round < rounds; round++) {
      a = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, a);
      b = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, b);
      c = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, c);
      d = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, d);
      e = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, e);
      f = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, f);
      g = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, g);
      h = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, h);
      i = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, i);
      j = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, j);
      k = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, k);
      l = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, x, l);
    }
  } else {
    for (let round = 0; round < rounds; round++) {
      // The accumulator is a factor, or the product would be the same in every round and leave the loop.
      a = i16x8.add(a, i16x8.relaxed_dot_i8x16_i7x16_s(a, x));
      b = i16x8.add(b, i16x8.relaxed_dot_i8x16_i7x16_s(b, x));
      c = i16x8.add(c, i16x8.relaxed_dot_i8x16_i7x16_s(c, x));
      d = i16x8.add(d, i16x8.relaxed_dot_i8x16_i7x16_s(d, x));
      e = i16x8.add(e, i16x8.relaxed_dot_i8x16_i7x16_s(e, x));
      f = i16x8.add(f, i16x8.relaxed_dot_i8x16_i7x16_s(f, x));
      g = i16x8.add(g, i16x8.relaxed_dot_i8x16_i7x16_s(g, x));
      h = i16x8.add(h, i16x8.relaxed_dot_i8x16_i7x16_s(h, x));
      i = i16x8.add(i, i16x8.relaxed_dot_i8x16_i7x16_s(i, x));
      j = i16x8.add(j, i16x8.relaxed_dot_i8x16_i7x16_s(j, x));
      k = i16x8.add(k, i16x8.relaxed_dot_i8x16_i7x16_s(k, x));
      l = i16x8.add(l, i16x8.relaxed_dot_i8x16_i7x16_s(l, x));
    }
  }
  const abcd = v128.or(v128.or(a, b), v128.or(c, d));
  const efgh = v128.or(v128.or(e, f), v128.or(g, h));
  const ijkl = v128.or(v128.or(i, j), v128.or(k, l));
  return i32x4.extract_lane(v128.or(v128.or(abcd, efgh), ijkl), 0);
}
