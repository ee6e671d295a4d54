/** Decoding a row from its records. */
import { axpy, axpyTwice, laneDot, squaredDistance } from "./simd";

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
