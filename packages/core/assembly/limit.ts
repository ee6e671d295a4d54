/** The machine's limit, to hold the product against. */
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
