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
/** Bytes that memory is fetched by. */
const LINE: usize = 64;
/** Rows of the matrix in a chunk: packed, 24 kB of a cache of 32 or 48. */
export const SPAN: usize = 128;

/** Bytes of a term: its weight, and a pointer to what it weighs, a packed row. */
const TERM_BYTES: usize = 8;
/** Bytes of a unit's terms in a chunk. */
const TERMS_BYTES: usize = SPAN * TERM_BYTES;

/**
 * out += Σ value·W[latent] for `rows` rows of `out` [rows, length], each over its records, one after the other. They are counted
 * from `rowOffset` and `rowCount` on; a row's are in ascending latent order. `scratch` holds 2·rows + 2·rows·SPAN + COLUMNS·(SPAN +
 * rows) words.
 */
export function addRecordsByColumns(
  out: usize, rows: usize, rowOffset: usize, rowCount: usize, latents: usize, values: usize, W: usize, length: usize, units: usize, scratch: usize,
): void {
  const nexts = scratch + (rows << 2);
  const terms = nexts + (rows << 2);
  const tiles = terms + rows * TERMS_BYTES;
  memory.copy(nexts, rowOffset, rows << 2);
  for (let first: usize = 0; first < units; first += SPAN) {
    const span = min(SPAN, units - first);
    const last = <i32>(first + span);
    const packed = tiles - first * COLUMN_BYTES;
    for (let row: usize = 0; row < rows; row++) {
      const word = row << 2;
      const begin = terms + row * TERMS_BYTES;
      let term = begin;
      let record = <usize>load<i32>(nexts + word) << 2;
      for (const end = <usize>(load<i32>(rowOffset + word) + load<i32>(rowCount + word)) << 2; record < end; record += 4) {
        const latent = load<i32>(latents + record);
        if (latent >= last) break;
        setTerm(term, load<f32>(values + record), packed + <usize>latent * COLUMN_BYTES);
        term += TERM_BYTES;
      }
      store<i32>(nexts + word, <i32>(record >> 2));
      store<i32>(scratch + word, <i32>(term - begin));
    }
    addChunk(out, rows, length, scratch, terms, W + first * (length << 2), span, tiles);
  }
}

/**
 * What `gather` does, by chunks of rows: a latent's records of a chunk are listed, then added in tiles. `scratch` holds
 * units + 3·units·SPAN + COLUMNS·(SPAN + units) words for `units` = last − first.
 */
export function gatherByColumns(
  first: i32, last: i32, firstRow: usize, lastRow: usize, dIn: usize, dOut: usize,
  rowOffset: usize, rowCount: usize, recordLatent: usize, recordValue: usize, recordGradient: usize,
  residual: usize, input: usize, encoderGradient: usize, decoderGradient: usize,
  biasGradient: usize, activationSum: usize, activeCount: usize, scratch: usize,
): void {
  const units = <usize>(last - first);
  const terms = scratch + (units << 2);
  const gradients = terms + units * TERMS_BYTES;
  const tiles = gradients + units * (SPAN << 2);
  for (let chunk = firstRow; chunk < lastRow; chunk += SPAN) {
    const span = min(SPAN, lastRow - chunk);
    memory.fill(scratch, 0, units << 2);
    for (let row = chunk; row < chunk + span; row++) {
      const packed = tiles + (row - chunk) * COLUMN_BYTES;
      const begin = load<i32>(rowOffset + (row << 2));
      const end = begin + load<i32>(rowCount + (row << 2));
      for (let record = firstRecord(recordLatent, begin, end, first); record < end; record++) {
        const at = <usize>record << 2;
        const latent = load<i32>(recordLatent + at);
        if (latent >= last) break;
        const unit = <usize>(latent - first);
        const bytes = <usize>load<i32>(scratch + (unit << 2));
        const term = unit * TERMS_BYTES + bytes;
        setTerm(terms + term, load<f32>(recordValue + at), packed);
        store<f32>(gradients + (term >> 1), load<f32>(recordGradient + at));
        store<i32>(scratch + (unit << 2), <i32>(bytes + TERM_BYTES));
      }
    }
    addChunk(decoderGradient, units, dOut, scratch, terms, residual + chunk * (dOut << 2), span, tiles);
    // Sums of values; then gradients take the values' place.
    for (let unit: usize = 0; unit < units; unit++) {
      const word = (<usize>first + unit) << 2;
      let gradient = load<f32>(biasGradient + word);
      let activation = load<f32>(activationSum + word);
      let active = load<i32>(activeCount + word);
      let term = terms + unit * TERMS_BYTES;
      let at = gradients + unit * (SPAN << 2);
      for (const end = term + <usize>load<i32>(scratch + (unit << 2)); term < end; term += TERM_BYTES, at += 4) {
        const value = load<f32>(term);
        const ofRecord = load<f32>(at);
        activation += value;
        active += <i32>(value > 0);
        gradient += ofRecord;
        store<f32>(term, ofRecord);
      }
      store<f32>(biasGradient + word, gradient);
      store<f32>(activationSum + word, activation);
      store<i32>(activeCount + word, active);
    }
    addChunk(encoderGradient, units, dIn, scratch, terms, input + chunk * (dIn << 2), span, tiles);
  }
}

@inline
function setTerm(term: usize, weight: f32, row: usize): void {
  store<f32>(term, weight);
  store<i32>(term, <i32>row, 4);
}

/**
 * out[u] += Σ weight·(row of x) over the terms of u, one after the other, of which sizes [units] has the bytes. out [units, length];
 * x [span, length], whose packed rows begin at `scratch`, which holds COLUMNS·(span + units) numbers.
 */
function addChunk(out: usize, units: usize, length: usize, sizes: usize, terms: usize, x: usize, span: usize, scratch: usize): void {
  const stride = length << 2;
  const whole = length / COLUMNS;
  readAhead(x, span * stride, scratch);
  for (let column: usize = 0; column < whole; column++, x += COLUMN_BYTES, out += COLUMN_BYTES) {
    packColumns(scratch, x, stride, span);
    addTiles(out, stride, units, sizes, terms);
  }
  const rest = stride - whole * COLUMN_BYTES;
  if (rest == 0) return;
  // What is left over is made up to a tile; what comes of the other columns is dropped.
  const sums = scratch + span * COLUMN_BYTES;
  // Whatever lies there could be numbers that take long to multiply.
  if (whole == 0) memory.fill(scratch, 0, (span + units) * COLUMN_BYTES);
  copyRows(scratch, COLUMN_BYTES, x, stride, rest, span);
  copyRows(sums, COLUMN_BYTES, out, stride, rest, units);
  addTiles(sums, COLUMN_BYTES, units, sizes, terms);
  copyRows(out, stride, sums, COLUMN_BYTES, rest, units);
}

/**
 * Reads memory in the order in which it lies, which the processor foresees, so that it is in the second-level cache when the columns of a tile
 * are copied, a few lines of each row: those it would wait for, one row after the other. What `scratch` gets is of no use.
 */
function readAhead(from: usize, bytes: usize, scratch: usize): void {
  let any = i32x4.splat(0);
  for (const end = from + bytes; from < end; from += LINE) any = v128.or(any, v128.load32_zero(from));
  v128.store(scratch, any);
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
function addTiles(out: usize, stride: usize, units: usize, sizes: usize, terms: usize): void {
  for (const end = sizes + (units << 2); sizes < end; sizes += 4, terms += TERMS_BYTES, out += stride) {
    const bytes = <usize>load<i32>(sizes);
    if (bytes == 0) continue;
    let term = terms;
    const last = term + bytes;
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
      const row = <usize>load<i32>(term, 4);
      const s = v128.load_splat<f32>(term);
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
      term += TERM_BYTES;
    } while (term < last);
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
