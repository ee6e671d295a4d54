/** Arithmetic of latents: projection, norms, Adam, sums over rows. */
import { axpy, laneDot, root } from "./simd";

/** Removes from a gradient its component along a unit row: g − (g·w)·w. */
export function project(gradient: usize, weights: usize, dIn: usize): void {
  axpy(gradient, -laneDot(gradient, weights, dIn), weights, dIn);
}

/** ‖weights‖, by lane order. */
export function rowNorm(weights: usize, dIn: usize): f32 {
  return root(laneDot(weights, weights, dIn));
}

/** weights[j] /= norm. */
export function divideRow(weights: usize, norm: f32, dIn: usize): void {
  const divisor = f32x4.splat(norm);
  let at: usize = 0;
  for (; at + 4 <= dIn; at += 4) v128.store(weights + (at << 2), f32x4.div(v128.load(weights + (at << 2)), divisor));
  for (; at < dIn; at++) store<f32>(weights + (at << 2), load<f32>(weights + (at << 2)) / norm);
}

/** Adam on `length` elements; every operation rounds on its own, in the reference's order. */
export function adam(
  value: usize, m: usize, v: usize, gradient: usize, length: usize,
  beta1: f32, complement1: f32, beta2: f32, complement2: f32, epsilon: f32, stepSize: f32, inverseRootCorrection2: f32,
): void {
  const b1 = f32x4.splat(beta1);
  const c1 = f32x4.splat(complement1);
  const b2 = f32x4.splat(beta2);
  const c2 = f32x4.splat(complement2);
  const e = f32x4.splat(epsilon);
  const step = f32x4.splat(stepSize);
  const correction = f32x4.splat(inverseRootCorrection2);
  let rest = length;
  for (; rest >= 4; rest -= 4) {
    const g = v128.load(gradient);
    const mNext = f32x4.add(f32x4.mul(b1, v128.load(m)), f32x4.mul(c1, g));
    const vNext = f32x4.add(f32x4.mul(b2, v128.load(v)), f32x4.mul(c2, f32x4.mul(g, g)));
    v128.store(m, mNext);
    v128.store(v, vNext);
    const denominator = f32x4.add(f32x4.mul(f32x4.sqrt(vNext), correction), e);
    v128.store(value, f32x4.sub(v128.load(value), f32x4.mul(step, f32x4.div(mNext, denominator))));
    value += 16;
    m += 16;
    v += 16;
    gradient += 16;
  }
  for (; rest > 0; rest--) {
    const g = load<f32>(gradient);
    const mNext = beta1 * load<f32>(m) + complement1 * g;
    const vNext = beta2 * load<f32>(v) + complement2 * (g * g);
    store<f32>(m, mNext);
    store<f32>(v, vNext);
    const denominator = root(vNext) * inverseRootCorrection2 + epsilon;
    store<f32>(value, load<f32>(value) - stepSize * (mNext / denominator));
    value += 4;
    m += 4;
    v += 4;
    gradient += 4;
  }
}

/** sum[first … last) over rows of values [rows, dIn], in ascending row order from 0; first is a multiple of 4. */
export function sumRows(sum: usize, values: usize, rows: usize, dIn: usize, first: usize, last: usize): void {
  memory.fill(sum + (first << 2), 0, (last - first) << 2);
  for (let row: usize = 0; row < rows; row++) accumulate(sum, values + ((row * dIn) << 2), first, last, false);
}

/** sum[first … last) −= each of `rows` rows of values [rows, dIn], in ascending row order. */
export function subtractRows(sum: usize, values: usize, rows: usize, dIn: usize, first: usize, last: usize): void {
  for (let row: usize = 0; row < rows; row++) accumulate(sum, values + ((row * dIn) << 2), first, last, true);
}

@inline
function accumulate(sum: usize, row: usize, first: usize, last: usize, negative: bool): void {
  let at = first << 2;
  const end = last << 2;
  for (; at + 16 <= end; at += 16) {
    const old = v128.load(sum + at);
    v128.store(sum + at, negative ? f32x4.sub(old, v128.load(row + at)) : f32x4.add(old, v128.load(row + at)));
  }
  for (; at < end; at += 4) {
    const old = load<f32>(sum + at);
    store<f32>(sum + at, negative ? old - load<f32>(row + at) : old + load<f32>(row + at));
  }
}

