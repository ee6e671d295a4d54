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
/** Bytes of a unit's terms in a chunk at most. */
const TERMS_BYTES: usize = SPAN * TERM_BYTES;

/**
 * out += Σ value·W[latent] for `rows` rows of `out` [rows, length], each over its records, one after the other. They are counted
 * from `rowOffset` and `rowCount` on; a row's are in ascending latent order. `scratch` holds 2·rows + 2·rows·SPAN + COLUMNS·SPAN
 * words and the tiles of rows.
 */
export function addRecordsByColumns(
  out: usize, rows: usize, rowOffset: usize, rowCount: usize, latents: usize, values: usize, W: usize, length: usize, units: usize, scratch: usize,
): void {
  const nexts = scratch + (rows << 2);
  const terms = nexts + (rows << 2);
  const packed = terms + rows * TERMS_BYTES;
  const tiles = packed + SPAN * COLUMN_BYTES;
  memory.copy(nexts, rowOffset, rows << 2);
  toTiles(tiles, out, rows, length);
  for (let first: usize = 0; first < units; first += SPAN) {
    const span = min(SPAN, units - first);
    const last = <i32>(first + span);
    const packedRows = packed - first * COLUMN_BYTES;
    let term = terms;
    for (let row: usize = 0; row < rows; row++) {
      const word = row << 2;
      const begin = term;
      let record = <usize>load<i32>(nexts + word) << 2;
      for (const end = <usize>(load<i32>(rowOffset + word) + load<i32>(rowCount + word)) << 2; record < end; record += 4) {
        const latent = load<i32>(latents + record);
        if (latent >= last) break;
        setTerm(term, load<f32>(values + record), packedRows + <usize>latent * COLUMN_BYTES);
        term += TERM_BYTES;
      }
      store<i32>(nexts + word, <i32>(record >> 2));
      store<i32>(scratch + word, <i32>(term - begin));
    }
    addChunk(tiles, rows, length, scratch, terms, W + first * (length << 2), span, packed);
  }
  fromTiles(out, tiles, rows, length);
}

/**
 * What `gather` does, by chunks of rows: a latent's records of a chunk are listed, then added in tiles. `fresh`: its gradients of the weights
 * begin at zero, whatever they are. `scratch` holds 2·units + SPAN + 3·units·SPAN + COLUMNS·SPAN words and the tiles of both gradients,
 * for `units` = last − first.
 */
export function gatherByColumns(
  fresh: bool, first: i32, last: i32, firstRow: usize, lastRow: usize, dIn: usize, dOut: usize,
  rowOffset: usize, rowCount: usize, recordLatent: usize, recordValue: usize, recordGradient: usize,
  residual: usize, input: usize, encoderGradient: usize, decoderGradient: usize,
  biasGradient: usize, activationSum: usize, activeCount: usize, scratch: usize,
): void {
  const units = <usize>(last - first);
  const ends = scratch + (units << 2);
  const firstRecords = ends + (units << 2);
  const terms = firstRecords + (SPAN << 2);
  const gradients = terms + units * TERMS_BYTES;
  const packed = gradients + units * (SPAN << 2);
  const decoderTiles = packed + SPAN * COLUMN_BYTES;
  const encoderTiles = decoderTiles + tilesOf(dOut) * units * COLUMN_BYTES;
  if (fresh) memory.fill(decoderTiles, 0, (tilesOf(dOut) + tilesOf(dIn)) * units * COLUMN_BYTES);
  else {
    toTiles(decoderTiles, decoderGradient, units, dOut);
    toTiles(encoderTiles, encoderGradient, units, dIn);
  }
  for (let chunk = firstRow; chunk < lastRow; chunk += SPAN) {
    const span = min(SPAN, lastRow - chunk);
    listTerms(
      first, last, chunk, span, rowOffset, rowCount, recordLatent, recordValue, recordGradient, scratch, ends, firstRecords, terms, gradients, packed,
    );
    addChunk(decoderTiles, units, dOut, scratch, terms, residual + chunk * (dOut << 2), span, packed);
    // Sums of values; then gradients take the values' place.
    let term = terms;
    let at = gradients;
    for (let unit: usize = 0; unit < units; unit++) {
      const word = (<usize>first + unit) << 2;
      let gradient = load<f32>(biasGradient + word);
      let activation = load<f32>(activationSum + word);
      let active = load<i32>(activeCount + word);
      for (const end = terms + <usize>load<i32>(ends + (unit << 2)); term < end; term += TERM_BYTES, at += 4) {
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
    addChunk(encoderTiles, units, dIn, scratch, terms, input + chunk * (dIn << 2), span, packed);
  }
  fromTiles(decoderGradient, decoderTiles, units, dOut);
  fromTiles(encoderGradient, encoderTiles, units, dIn);
}

/**
 * Lists the terms of latents [first, last) with rows from `chunk` on, weighted by the records' values, and their gradients beside them: one
 * latent's behind the other's, as they are read. `sizes` receives how many bytes of terms each latent has, `ends` where they end.
 */
function listTerms(
  first: i32, last: i32, chunk: usize, span: usize, rowOffset: usize, rowCount: usize, recordLatent: usize, recordValue: usize, recordGradient: usize,
  sizes: usize, ends: usize, firstRecords: usize, terms: usize, gradients: usize, packed: usize,
): void {
  const units = <usize>(last - first);
  memory.fill(sizes, 0, units << 2);
  for (let row: usize = 0; row < span; row++) {
    const word = (chunk + row) << 2;
    const begin = load<i32>(rowOffset + word);
    const end = begin + load<i32>(rowCount + word);
    let record = firstRecord(recordLatent, begin, end, first);
    store<i32>(firstRecords + (row << 2), record);
    for (; record < end; record++) {
      const latent = load<i32>(recordLatent + (<usize>record << 2));
      if (latent >= last) break;
      const size = sizes + (<usize>(latent - first) << 2);
      store<i32>(size, load<i32>(size) + <i32>TERM_BYTES);
    }
  }
  let bytes = 0;
  for (let unit: usize = 0; unit < units << 2; unit += 4) {
    store<i32>(ends + unit, bytes);
    bytes += load<i32>(sizes + unit);
  }
  for (let row: usize = 0; row < span; row++) {
    const packedRow = packed + row * COLUMN_BYTES;
    const word = (chunk + row) << 2;
    const end = load<i32>(rowOffset + word) + load<i32>(rowCount + word);
    for (let record = load<i32>(firstRecords + (row << 2)); record < end; record++) {
      const at = <usize>record << 2;
      const latent = load<i32>(recordLatent + at);
      if (latent >= last) break;
      const endOf = ends + (<usize>(latent - first) << 2);
      const term = <usize>load<i32>(endOf);
      setTerm(terms + term, load<f32>(recordValue + at), packedRow);
      store<f32>(gradients + (term >> 1), load<f32>(recordGradient + at));
      store<i32>(endOf, <i32>(term + TERM_BYTES));
    }
  }
}

/** Number of tiles of a row of `length` columns, the last one filled up. */
@inline
function tilesOf(length: usize): usize {
  return (length + COLUMNS - 1) / COLUMNS;
}

/** Rows [units, length] as tiles [tile][unit][COLUMNS]: those of some columns of all units are then read in the order in which they lie. */
function toTiles(tiles: usize, rows: usize, units: usize, length: usize): void {
  const stride = length << 2;
  for (let column: usize = 0; column < stride; column += COLUMN_BYTES, tiles += units * COLUMN_BYTES) {
    if (stride - column < COLUMN_BYTES) memory.fill(tiles, 0, units * COLUMN_BYTES);
    copyColumns(tiles, COLUMN_BYTES, rows + column, stride, stride - column, units);
  }
}

/** Tiles as rows again, see {@link toTiles}. */
function fromTiles(rows: usize, tiles: usize, units: usize, length: usize): void {
  const stride = length << 2;
  for (let column: usize = 0; column < stride; column += COLUMN_BYTES, tiles += units * COLUMN_BYTES) {
    copyColumns(rows + column, stride, tiles, COLUMN_BYTES, stride - column, units);
  }
}

@inline
function setTerm(term: usize, weight: f32, row: usize): void {
  store<f32>(term, weight);
  store<i32>(term, <i32>row, 4);
}

/**
 * sums[u] += Σ weight·(row of x) over the terms of u, one after the other, of which sizes [units] has the bytes; sums in tiles of `units` rows.
 * x [span, length], whose packed rows begin at `packed`.
 */
function addChunk(tiles: usize, units: usize, length: usize, sizes: usize, terms: usize, x: usize, span: usize, packed: usize): void {
  const stride = length << 2;
  readAhead(x, span * stride, packed);
  // What comes of the columns that fill up the last tile is dropped, but whatever lies there could be numbers that take long to multiply.
  if (stride < COLUMN_BYTES) memory.fill(packed, 0, span * COLUMN_BYTES);
  for (let column: usize = 0; column < stride; column += COLUMN_BYTES, tiles += units * COLUMN_BYTES) {
    copyColumns(packed, COLUMN_BYTES, x + column, stride, stride - column, span);
    addTiles(tiles, units, sizes, terms);
  }
}

/**
 * Reads memory in the order in which it lies, which the processor foresees, so that it is in the second-level cache when the columns of a tile
 * are copied, a few lines of each row: those it would wait for, one row after the other. What `packed` gets is of no use.
 */
function readAhead(from: usize, bytes: usize, packed: usize): void {
  let any = i32x4.splat(0);
  for (const end = from + bytes; from < end; from += LINE) any = v128.or(any, v128.load32_zero(from));
  v128.store(packed, any);
}

/** Copies the columns of a tile, or the `rest` bytes that there are of them, of `rows` rows that lie strides apart. */
function copyColumns(to: usize, toStride: usize, from: usize, fromStride: usize, rest: usize, rows: usize): void {
  if (rest < COLUMN_BYTES) {
    for (let row: usize = 0; row < rows; row++) memory.copy(to + row * toStride, from + row * fromStride, rest);
    return;
  }
  for (const end = to + rows * toStride; to < end; to += toStride, from += fromStride) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    v128.store(to, v128.load(from, 32), 32);
    v128.store(to, v128.load(from, 48), 48);
    v128.store(to, v128.load(from, 64), 64);
    v128.store(to, v128.load(from, 80), 80);
    v128.store(to, v128.load(from, 96), 96);
    v128.store(to, v128.load(from, 112), 112);
    v128.store(to, v128.load(from, 128), 128);
    v128.store(to, v128.load(from, 144), 144);
    v128.store(to, v128.load(from, 160), 160);
    v128.store(to, v128.load(from, 176), 176);
  }
}

/** A tile of each unit. */
function addTiles(out: usize, units: usize, sizes: usize, terms: usize): void {
  for (const end = sizes + (units << 2); sizes < end; sizes += 4, out += COLUMN_BYTES) {
    const bytes = <usize>load<i32>(sizes);
    if (bytes == 0) continue;
    let term = terms;
    const last = term + bytes;
    terms = last;
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
