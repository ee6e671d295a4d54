/** Decoding a row from its records, and the gradient of the loss with respect to each of them. */
import { axpy, axpyTwice, laneDot, madd, squaredDistance } from "./simd";

/** residual = b_dec + Σ value·W_dec[latent] − x, in ascending latent order; returns its lane-order square. */
export function decodeRow(
  residual: usize,
  x: usize,
  bias: usize,
  W_dec: usize,
  dIn: usize,
  latents: usize,
  values: usize,
  count: usize,
): f32 {
  memory.copy(residual, bias, dIn << 2);
  let record: usize = 0;
  for (; record + 2 <= count; record += 2) {
    const first = load<i32>(latents + (record << 2));
    const second = load<i32>(latents + (record << 2), 4);
    axpyTwice(
      residual,
      load<f32>(values + (record << 2)),
      W_dec + <usize>first * dIn * 4,
      load<f32>(values + (record << 2), 4),
      W_dec + <usize>second * dIn * 4,
      dIn,
    );
  }
  if (record < count) {
    axpy(
      residual,
      load<f32>(values + (record << 2)),
      W_dec + <usize>load<i32>(latents + (record << 2)) * dIn * 4,
      dIn,
    );
  }
  return subtractRow(residual, x, dIn);
}

/** residual −= x; returns the residual's lane-order square. */
export function subtractRow(residual: usize, x: usize, dIn: usize): f32 {
  let at: usize = 0;
  for (; at + 4 <= dIn; at += 4) {
    const out = residual + (at << 2);
    v128.store(out, f32x4.sub(v128.load(out), v128.load(x + (at << 2))));
  }
  for (; at < dIn; at++)
    store<f32>(residual + (at << 2), load<f32>(residual + (at << 2)) - load<f32>(x + (at << 2)));
  return laneDot(residual, residual, dIn);
}

/** Writes a row's records into a dense row of `units` numbers, zero elsewhere. */
export function spreadRow(dense: usize, units: usize, latents: usize, values: usize, count: usize): void {
  memory.fill(dense, 0, units << 2);
  for (let record: usize = 0; record < count << 2; record += 4) {
    store<f32>(dense + (<usize>load<i32>(latents + record) << 2), load<f32>(values + record));
  }
}

/** The way back from a panel z [unit][8]: gradients[r] = z[latents[r]][lane]. */
export function collectRow(gradients: usize, z: usize, lane: usize, latents: usize, count: usize): void {
  const from = z + (lane << 2);
  for (let record: usize = 0; record < count << 2; record += 4) {
    store<f32>(gradients + record, load<f32>(from + (<usize>load<i32>(latents + record) << 5)));
  }
}

/** values[j] *= scale. */
export function scaleRow(values: usize, scale: f32, length: usize): void {
  const s = f32x4.splat(scale);
  let at: usize = 0;
  for (; at + 4 <= length; at += 4)
    v128.store(values + (at << 2), f32x4.mul(s, v128.load(values + (at << 2))));
  for (; at < length; at++) store<f32>(values + (at << 2), scale * load<f32>(values + (at << 2)));
}

/** Σ (x − mean)² of a row in lane order. */
export function rowSquares(x: usize, mean: usize, dIn: usize): f32 {
  return squaredDistance(x, mean, dIn);
}

/**
 * gradients[r] = Σ_j residual[j]·W_dec[latents[r]][j], each a chain ascending in j: eight records at a time, whose
 * rows are transposed in registers, so that a vector holds the same dimension of four latents.
 */
export function latentGradients(
  residual: usize,
  W_dec: usize,
  dIn: usize,
  latents: usize,
  count: usize,
  gradients: usize,
): void {
  const rowBytes = dIn << 2;
  for (let record: usize = 0; record < count; record += 8) {
    // Past the last record the last one is repeated, and its result not stored.
    const last = min<usize>(count - record, 8) - 1;
    const at = latents + (record << 2);
    const p0 = W_dec + <usize>load<i32>(at) * rowBytes;
    const p1 = W_dec + <usize>load<i32>(at + (min<usize>(1, last) << 2)) * rowBytes;
    const p2 = W_dec + <usize>load<i32>(at + (min<usize>(2, last) << 2)) * rowBytes;
    const p3 = W_dec + <usize>load<i32>(at + (min<usize>(3, last) << 2)) * rowBytes;
    const p4 = W_dec + <usize>load<i32>(at + (min<usize>(4, last) << 2)) * rowBytes;
    const p5 = W_dec + <usize>load<i32>(at + (min<usize>(5, last) << 2)) * rowBytes;
    const p6 = W_dec + <usize>load<i32>(at + (min<usize>(6, last) << 2)) * rowBytes;
    const p7 = W_dec + <usize>load<i32>(at + (min<usize>(7, last) << 2)) * rowBytes;
    let low = f32x4.splat(0);
    let high = low;
    const whole = rowBytes & ~15;
    let j: usize = 0;
    for (; j < whole; j += 16) {
      const g = residual + j;
      const g0 = v128.load_splat<f32>(g);
      const g1 = v128.load_splat<f32>(g, 4);
      const g2 = v128.load_splat<f32>(g, 8);
      const g3 = v128.load_splat<f32>(g, 12);
      let r0 = v128.load(p0 + j);
      let r1 = v128.load(p1 + j);
      let r2 = v128.load(p2 + j);
      let r3 = v128.load(p3 + j);
      let a = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
      let b = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
      let c = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
      let d = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
      low = madd(g0, v128.shuffle<f64>(a, b, 0, 2), low);
      low = madd(g1, v128.shuffle<f64>(a, b, 1, 3), low);
      low = madd(g2, v128.shuffle<f64>(c, d, 0, 2), low);
      low = madd(g3, v128.shuffle<f64>(c, d, 1, 3), low);
      r0 = v128.load(p4 + j);
      r1 = v128.load(p5 + j);
      r2 = v128.load(p6 + j);
      r3 = v128.load(p7 + j);
      a = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
      b = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
      c = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
      d = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
      high = madd(g0, v128.shuffle<f64>(a, b, 0, 2), high);
      high = madd(g1, v128.shuffle<f64>(a, b, 1, 3), high);
      high = madd(g2, v128.shuffle<f64>(c, d, 0, 2), high);
      high = madd(g3, v128.shuffle<f64>(c, d, 1, 3), high);
    }
    for (; j < rowBytes; j += 4) {
      const g = v128.load_splat<f32>(residual + j);
      low = madd(g, f32x4(load<f32>(p0 + j), load<f32>(p1 + j), load<f32>(p2 + j), load<f32>(p3 + j)), low);
      high = madd(g, f32x4(load<f32>(p4 + j), load<f32>(p5 + j), load<f32>(p6 + j), load<f32>(p7 + j)), high);
    }
    const out = gradients + (record << 2);
    if (last == 7) {
      v128.store(out, low);
      v128.store(out, high, 16);
    } else {
      store<f32>(out, f32x4.extract_lane(low, 0));
      if (last > 0) store<f32>(out, f32x4.extract_lane(low, 1), 4);
      if (last > 1) store<f32>(out, f32x4.extract_lane(low, 2), 8);
      if (last > 2) store<f32>(out, f32x4.extract_lane(low, 3), 12);
      if (last > 3) store<f32>(out, f32x4.extract_lane(high, 0), 16);
      if (last > 4) store<f32>(out, f32x4.extract_lane(high, 1), 20);
      if (last > 5) store<f32>(out, f32x4.extract_lane(high, 2), 24);
    }
  }
}
