/**
 * Sums of a matrix's rows, weighted by records: decoding rows of many records, and gathering latents of many, in tiles of some
 * columns. A tile's sums stay in registers for all records of a row, or of a latent, with a chunk of the matrix's rows, whose
 * columns are packed, so that they stay in the first-level cache for all of them.
 */
import { firstRecord } from "./gather";
import { madd } from "./simd";

/** Columns of a tile: the twelve vectors, besides a weight and what it multiplies, that sixteen registers hold. */
export const COLUMNS: usize = 48;
const COLUMN_BYTES: usize = COLUMNS << 2;
/** Rows of the matrix in a chunk: packed, 24 kB of a cache of 32 or 48. */
export const SPAN: usize = 128;

/**
 * out += Σ value·W[latent] for `rows` rows of `out` [rows, length], each over its records, one after the other. They are counted
 * from `rowOffset` and `rowCount` on; a row's are in ascending latent order. `scratch` holds 2·rows + COLUMNS·(SPAN + rows) words.
 */
export function addRecordsByColumns(
  out: usize, rows: usize, rowOffset: usize, rowCount: usize, latents: usize, values: usize, W: usize, length: usize, units: usize, scratch: usize,
): void {
  const tiles = scratch + (rows << 3);
  for (let row: usize = 0; row < rows; row++) setRange(scratch, row, load<i32>(rowOffset + (row << 2)), 0);
  for (let first: usize = 0; first < units; first += SPAN) {
    const span = min(SPAN, units - first);
    for (let row: usize = 0; row < rows; row++) {
      const begin = load<i32>(scratch + (row << 3)) + load<i32>(scratch + (row << 3), 4);
      const end = load<i32>(rowOffset + (row << 2)) + load<i32>(rowCount + (row << 2));
      const next = firstRecord(latents, begin, min(end, begin + <i32>span), <i32>(first + span));
      setRange(scratch, row, begin, next - begin);
    }
    addChunk(out, rows, length, scratch, latents, values, W, first, span, tiles);
  }
}

/**
 * What `gather` does, by chunks of rows: a latent's records of a chunk are listed, then added in tiles. `scratch` holds
 * 2·units + 3·units·SPAN + COLUMNS·(SPAN + units) words for `units` = last − first.
 */
export function gatherByColumns(
  first: i32, last: i32, firstRow: usize, lastRow: usize, dIn: usize, dOut: usize,
  rowOffset: usize, rowCount: usize, recordLatent: usize, recordValue: usize, recordGradient: usize,
  residual: usize, input: usize, encoderGradient: usize, decoderGradient: usize,
  biasGradient: usize, activationSum: usize, activeCount: usize, scratch: usize,
): void {
  const units = <usize>(last - first);
  const listBytes = (units * SPAN) << 2;
  const rows = scratch + (units << 3);
  const values = rows + listBytes;
  const gradients = values + listBytes;
  const tiles = gradients + listBytes;
  for (let chunk = firstRow; chunk < lastRow; chunk += SPAN) {
    const span = min(SPAN, lastRow - chunk);
    for (let unit: usize = 0; unit < units; unit++) setRange(scratch, unit, <i32>(unit * SPAN), 0);
    for (let row = chunk; row < chunk + span; row++) {
      const begin = load<i32>(rowOffset + (row << 2));
      const end = begin + load<i32>(rowCount + (row << 2));
      for (let record = firstRecord(recordLatent, begin, end, first); record < end; record++) {
        const at = <usize>record << 2;
        const latent = load<i32>(recordLatent + at);
        if (latent >= last) break;
        const range = scratch + (<usize>(latent - first) << 3);
        const count = load<i32>(range, 4);
        const to = <usize>(load<i32>(range) + count) << 2;
        store<i32>(range, count + 1, 4);
        store<i32>(rows + to, <i32>row);
        store<f32>(values + to, load<f32>(recordValue + at));
        store<f32>(gradients + to, load<f32>(recordGradient + at));
      }
    }
    for (let unit: usize = 0; unit < units; unit++) {
      const word = (<usize>first + unit) << 2;
      let at = unit * (SPAN << 2);
      let gradient = load<f32>(biasGradient + word);
      let activation = load<f32>(activationSum + word);
      let active = load<i32>(activeCount + word);
      for (const end = at + (<usize>load<i32>(scratch + (unit << 3), 4) << 2); at < end; at += 4) {
        const value = load<f32>(values + at);
        gradient += load<f32>(gradients + at);
        activation += value;
        active += <i32>(value > 0);
      }
      store<f32>(biasGradient + word, gradient);
      store<f32>(activationSum + word, activation);
      store<i32>(activeCount + word, active);
    }
    addChunk(decoderGradient, units, dOut, scratch, rows, values, residual, chunk, span, tiles);
    addChunk(encoderGradient, units, dIn, scratch, rows, gradients, input, chunk, span, tiles);
  }
}

@inline
function setRange(ranges: usize, unit: usize, begin: i32, count: i32): void {
  store<i32>(ranges + (unit << 3), begin);
  store<i32>(ranges + (unit << 3), count, 4);
}

/**
 * out[u] += Σ weight·x[t] over the records of u, one after the other: `count` of them from `begin` on, ranges [units][begin,
 * count]; `indices` has their t, all in [first, first + span). out [units, length], x [·, length]; `scratch` holds COLUMNS·(span +
 * units) numbers.
 */
function addChunk(
  out: usize, units: usize, length: usize, ranges: usize, indices: usize, weights: usize, x: usize, first: usize, span: usize, scratch: usize,
): void {
  const stride = length << 2;
  const whole = length / COLUMNS;
  // So that an index leads to its packed row.
  const packed = scratch - first * COLUMN_BYTES;
  let from = x + first * stride;
  for (let column: usize = 0; column < whole; column++, from += COLUMN_BYTES, out += COLUMN_BYTES) {
    packColumns(scratch, from, stride, span);
    addTiles(out, stride, units, ranges, indices, weights, packed);
  }
  const rest = stride - whole * COLUMN_BYTES;
  if (rest == 0) return;
  // What is left over is made up to a tile; what comes of the other columns is dropped.
  const sums = scratch + span * COLUMN_BYTES;
  // Whatever lies there could be numbers that take long to multiply.
  if (whole == 0) memory.fill(scratch, 0, (span + units) * COLUMN_BYTES);
  copyRows(scratch, COLUMN_BYTES, from, stride, rest, span);
  copyRows(sums, COLUMN_BYTES, out, stride, rest, units);
  addTiles(sums, COLUMN_BYTES, units, ranges, indices, weights, packed);
  copyRows(out, stride, sums, COLUMN_BYTES, rest, units);
}

/** Copies the columns of a tile of `rows` rows, `stride` bytes apart, to where they lie side by side. */
function packColumns(packed: usize, from: usize, stride: usize, rows: usize): void {
  for (const end = packed + rows * COLUMN_BYTES; packed < end; packed += COLUMN_BYTES, from += stride) {
    v128.store(packed, v128.load(from));
    v128.store(packed, v128.load(from, 16), 16);
    v128.store(packed, v128.load(from, 32), 32);
    v128.store(packed, v128.load(from, 48), 48);
    v128.store(packed, v128.load(from, 64), 64);
    v128.store(packed, v128.load(from, 80), 80);
    v128.store(packed, v128.load(from, 96), 96);
    v128.store(packed, v128.load(from, 112), 112);
    v128.store(packed, v128.load(from, 128), 128);
    v128.store(packed, v128.load(from, 144), 144);
    v128.store(packed, v128.load(from, 160), 160);
    v128.store(packed, v128.load(from, 176), 176);
  }
}

function copyRows(to: usize, toStride: usize, from: usize, fromStride: usize, bytes: usize, rows: usize): void {
  for (let row: usize = 0; row < rows; row++) memory.copy(to + row * toStride, from + row * fromStride, bytes);
}

/** A tile for each unit, whose sums lie `stride` bytes apart. */
function addTiles(out: usize, stride: usize, units: usize, ranges: usize, indices: usize, weights: usize, packed: usize): void {
  const apart = weights - indices;
  for (const end = ranges + (units << 3); ranges < end; ranges += 8, out += stride) {
    const count = <usize>load<i32>(ranges, 4);
    if (count == 0) continue;
    let record = indices + (<usize>load<i32>(ranges) << 2);
    const last = record + (count << 2);
    let a = v128.load(out);
    let b = v128.load(out, 16);
    let c = v128.load(out, 32);
    let d = v128.load(out, 48);
    let e = v128.load(out, 64);
    let f = v128.load(out, 80);
    let g = v128.load(out, 96);
    let h = v128.load(out, 112);
    let i = v128.load(out, 128);
    let j = v128.load(out, 144);
    let k = v128.load(out, 160);
    let l = v128.load(out, 176);
    do {
      const row = packed + <usize>load<i32>(record) * COLUMN_BYTES;
      const s = v128.load_splat<f32>(record + apart);
      a = madd(s, v128.load(row), a);
      b = madd(s, v128.load(row, 16), b);
      c = madd(s, v128.load(row, 32), c);
      d = madd(s, v128.load(row, 48), d);
      e = madd(s, v128.load(row, 64), e);
      f = madd(s, v128.load(row, 80), f);
      g = madd(s, v128.load(row, 96), g);
      h = madd(s, v128.load(row, 112), h);
      i = madd(s, v128.load(row, 128), i);
      j = madd(s, v128.load(row, 144), j);
      k = madd(s, v128.load(row, 160), k);
      l = madd(s, v128.load(row, 176), l);
      record += 4;
    } while (record < last);
    v128.store(out, a);
    v128.store(out, b, 16);
    v128.store(out, c, 32);
    v128.store(out, d, 48);
    v128.store(out, e, 64);
    v128.store(out, f, 80);
    v128.store(out, g, 96);
    v128.store(out, h, 112);
    v128.store(out, i, 128);
    v128.store(out, j, 144);
    v128.store(out, k, 160);
    v128.store(out, l, 176);
  }
}
