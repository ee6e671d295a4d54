/**
 * Directions of features: random unit vectors, at right angles where there is room, or pushed apart. The same
 * bits on every machine. Works on memory only.
 */
import { Purpose, gaussian } from "../random.ts";
import { Allocator, allocateShared, instantiate } from "./module.ts";

/** Called after each step of a computation that may take minutes. */
export type OnDirectionStep = (done: number, steps: number) => void;

/** Rows of a panel that fits the second-level cache beside a column of the products. */
const PANEL_ROWS = 64;

/**
 * Random unit vectors, `[features, dIn]`. At right angles (Gram-Schmidt) if `orthogonal`, which takes time in
 * proportion to features^2 * dIn: measured 1.5 s for 768 in 768 dimensions.
 */
export function randomDirections(
  dIn: number,
  features: number,
  seed: number,
  orthogonal: boolean,
): Float32Array {
  const directions = new Float32Array(features * dIn);
  const made: Float64Array[] = [];
  for (let feature = 0; feature < features; feature++) {
    const direction = new Float64Array(dIn);
    for (let i = 0; i < dIn; i++) direction[i] = gaussian(seed, Purpose.directions, feature, i);
    if (orthogonal) {
      // Gram-Schmidt, and once more where little was left: then rounding had its share in what was left.
      const before = norm(direction);
      for (const other of made) removeComponent(direction, other);
      if (norm(direction) < before / 2) for (const other of made) removeComponent(direction, other);
      made.push(direction);
    }
    normalise(direction);
    directions.set(direction, feature * dIn);
  }
  return directions;
}

/**
 * Random unit vectors pushed apart: `steps` steps of Adam on Σ_{i≠j} (w_i·w_j)² + n·Σ_i (‖w_i‖² − 1)², then
 * normalised, as SAELens's synthetic models are made. Both sums of products go through the [dIn, dIn] matrix WᵀW,
 * so that a step costs 3/2 · features · dIn² multiply-adds instead of features² · dIn.
 */
export function repelledDirections(
  dIn: number,
  features: number,
  seed: number,
  { steps, learningRate }: { readonly steps: number; readonly learningRate: number },
  onStep?: OnDirectionStep,
): Float32Array {
  const stride = Math.ceil(dIn / 8) * 8;
  const rows = Math.ceil(features / 4) * 4;
  const allocator = new Allocator();
  const tensor = rows * stride * 4;
  const [w, m, v] = [allocator.take(tensor), allocator.take(tensor), allocator.take(tensor)];
  const gram = allocator.take(stride * stride * 4);
  const product = allocator.take(PANEL_ROWS * stride * 4);
  const memory = allocateShared(allocator.end);
  const kernels = instantiate(memory);
  const numbers = new Float32Array(memory.buffer);
  const start = randomDirections(dIn, features, seed, false);
  for (let f = 0; f < features; f++) {
    numbers.set(start.subarray(f * dIn, (f + 1) * dIn), w / 4 + f * stride);
  }
  for (let step = 1; step <= steps; step++) {
    numbers.fill(0, gram / 4, gram / 4 + stride * stride);
    for (let row = 0; row < rows; row += PANEL_ROWS) {
      kernels.addGram(gram, w + row * stride * 4, Math.min(PANEL_ROWS, rows - row), stride);
    }
    kernels.mirrorGram(gram, stride);
    const rate = learningRate / (1 - 0.9 ** step);
    const root = 1 / Math.sqrt(1 - 0.999 ** step);
    for (let row = 0; row < rows; row += PANEL_ROWS) {
      const offset = row * stride * 4;
      const count = Math.min(PANEL_ROWS, rows - row);
      // The rows that fill up the last four are all zero and must stay so: they are left out of the update.
      const real = Math.min(count, features - row);
      kernels.timesGram(product, w + offset, gram, count, stride);
      kernels.repel(w + offset, m + offset, v + offset, product, real, stride, features, rate, root);
    }
    onStep?.(step, steps);
  }
  const directions = new Float32Array(features * dIn);
  for (let f = 0; f < features; f++) {
    const direction = Float64Array.from(numbers.subarray(w / 4 + f * stride, w / 4 + f * stride + dIn));
    normalise(direction);
    directions.set(direction, f * dIn);
  }
  return directions;
}

function removeComponent(vector: Float64Array, unit: Float64Array): void {
  const product = dot(vector, unit);
  for (let i = 0; i < vector.length; i++) vector[i]! -= product * unit[i]!;
}

/** Four sums, so that the additions do not wait for each other. */
function dot(a: Float64Array, b: Float64Array): number {
  const unrolled = a.length - (a.length % 4);
  let sum0 = 0;
  let sum1 = 0;
  let sum2 = 0;
  let sum3 = 0;
  for (let i = 0; i < unrolled; i += 4) {
    sum0 += a[i]! * b[i]!;
    sum1 += a[i + 1]! * b[i + 1]!;
    sum2 += a[i + 2]! * b[i + 2]!;
    sum3 += a[i + 3]! * b[i + 3]!;
  }
  for (let i = unrolled; i < a.length; i++) sum0 += a[i]! * b[i]!;
  return sum0 + sum1 + (sum2 + sum3);
}

function norm(vector: Float64Array): number {
  return Math.sqrt(dot(vector, vector));
}

function normalise(vector: Float64Array): void {
  const factor = 1 / norm(vector);
  for (let i = 0; i < vector.length; i++) vector[i]! *= factor;
}
