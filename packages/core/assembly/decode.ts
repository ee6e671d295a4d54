/** Decoding a row from its records. */
import { addChains, endChains } from "./chains";
import { axpy, axpyFour, laneDot, squaredDistance } from "./simd";

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
  addRecords(residual, W_dec, dIn, latents, values, count);
  return subtractRow(residual, x, dIn);
}

/** out += Σ value·W[latent] over `count` records, one after the other. */
export function addRecords(out: usize, W: usize, length: usize, latents: usize, values: usize, count: usize): void {
  const rowBytes = length << 2;
  const end = latents + (count << 2);
  for (const whole = latents + ((count & ~3) << 2); latents < whole; latents += 16, values += 16) {
    axpyFour(
      out,
      load<f32>(values),
      W + <usize>load<i32>(latents) * rowBytes,
      load<f32>(values, 4),
      W + <usize>load<i32>(latents, 4) * rowBytes,
      load<f32>(values, 8),
      W + <usize>load<i32>(latents, 8) * rowBytes,
      load<f32>(values, 12),
      W + <usize>load<i32>(latents, 12) * rowBytes,
      length,
    );
  }
  for (; latents < end; latents += 4, values += 4) {
    axpy(out, load<f32>(values), W + <usize>load<i32>(latents) * rowBytes, length);
  }
}

/**
 * {@link addRecords} for each of `rows` rows of `out` [rows, length], whose records are counted from `rowOffset` and
 * `rowCount` on: `chunk` latents of all rows after the other, whose weights then come from memory once. A row's records
 * stay in ascending latent order. `cursors` is scratch for a word per row.
 */
export function addRecordsByChunk(
  out: usize, rows: usize, rowOffset: usize, rowCount: usize, latents: usize, values: usize, W: usize, length: usize,
  units: i32, chunk: i32, cursors: usize,
): void {
  memory.copy(cursors, rowOffset, rows << 2);
  for (let bound = chunk; bound < units + chunk; bound += chunk) {
    for (let row: usize = 0; row < rows; row++) {
      const first = <usize>load<i32>(cursors + (row << 2));
      const count = foursBelow(latents, first, rowEnd(rowOffset, rowCount, row), bound, units);
      addRecords(out + row * (length << 2), W, length, latents + (first << 2), values + (first << 2), count);
      store<i32>(cursors + (row << 2), <i32>(first + count));
    }
  }
}

/**
 * {@link chains} of each row x [rows, length] with its records' latents, from `start` on, likewise by chunks. `cursors` is scratch
 * for a word per row and CHAIN_WORDS.
 */
export function chainsByChunk(
  values: usize, x: usize, rows: usize, rowOffset: usize, rowCount: usize, latents: usize, start: usize, W: usize, length: usize,
  units: i32, chunk: i32, cursors: usize,
): void {
  const waiting = cursors + (rows << 2);
  let filled: usize = 0;
  memory.copy(cursors, rowOffset, rows << 2);
  for (let bound = chunk; bound < units + chunk; bound += chunk) {
    for (let row: usize = 0; row < rows; row++) {
      const first = <usize>load<i32>(cursors + (row << 2));
      const count = foursBelow(latents, first, rowEnd(rowOffset, rowCount, row), bound, units);
      filled = addChains(waiting, filled, values + (first << 2), latents + (first << 2), count, x + row * (length << 2), start, W, length);
      store<i32>(cursors + (row << 2), <i32>(first + count));
    }
  }
  endChains(waiting, filled, start, W, length);
}

@inline
function rowEnd(rowOffset: usize, rowCount: usize, row: usize): usize {
  return <usize>(load<i32>(rowOffset + (row << 2)) + load<i32>(rowCount + (row << 2)));
}

/**
 * How many of the records from `first` to `end` have latents below `bound`, less what is left over of fours, which are done at once: that
 * comes with the next chunk, unless `bound` is past the last of all `units`.
 */
@inline
function foursBelow(latents: usize, first: usize, end: usize, bound: i32, units: i32): usize {
  if (bound >= units) return end - first;
  let record = first;
  while (end - record >= 4 && load<i32>(latents + ((record + 3) << 2)) < bound) record += 4;
  return record - first;
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

/** What a panel z [unit][8] has of a row's latents: gradients[r] = z[latents[r]][lane]. */
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
