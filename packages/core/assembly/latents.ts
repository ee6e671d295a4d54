/** Gathering gradients by latent, and updating latents. */
import { axpy, axpyFour, laneDot, root } from "./simd";

/** Records of a latent that wait until they are added together, and words of one: its row, value and gradient. */
const WAITING: usize = 4;
const WAITING_WORDS: usize = 3;
/** Bytes of the waiting records of a latent: their number, then the records. */
const WAITING_BYTES: usize = (1 + WAITING * WAITING_WORDS) << 2;

/**
 * Adds rows [firstRow, lastRow) to the gradients of latents [first, last), whose gradient rows begin at
 * encoderGradient [dIn] and decoderGradient [dOut]. Records of a row are in ascending latent order. A latent's records
 * wait until there are four, which are then added in one pass over its gradients, in row order still. `waiting` is
 * scratch for 13 words per latent. `starts` is where {@link indexRecords} noted the first records of these latents, for
 * the next block `startsBytes` further on; 0: they are searched for. Where encoderGradient is 0, neither it nor biasGradient is
 * added to; where decoderGradient is 0, neither it nor the activations' sums and numbers.
 */
export function gather(
  first: i32, last: i32, firstRow: usize, lastRow: usize, dIn: usize, dOut: usize,
  rowOffset: usize, rowCount: usize, recordLatent: usize, recordValue: usize, recordGradient: usize,
  residual: usize, input: usize, encoderGradient: usize, decoderGradient: usize,
  biasGradient: usize, activationSum: usize, activeCount: usize, waiting: usize, starts: usize, startsBytes: usize,
): void {
  if (encoderGradient == 0) {
    gatherOf(
      false, true, first, last, firstRow, lastRow, dIn, dOut, rowOffset, rowCount, recordLatent, recordValue, recordGradient,
      residual, input, encoderGradient, decoderGradient, biasGradient, activationSum, activeCount, waiting, starts, startsBytes,
    );
  } else if (decoderGradient == 0) {
    gatherOf(
      true, false, first, last, firstRow, lastRow, dIn, dOut, rowOffset, rowCount, recordLatent, recordValue, recordGradient,
      residual, input, encoderGradient, decoderGradient, biasGradient, activationSum, activeCount, waiting, starts, startsBytes,
    );
  } else {
    gatherOf(
      true, true, first, last, firstRow, lastRow, dIn, dOut, rowOffset, rowCount, recordLatent, recordValue, recordGradient,
      residual, input, encoderGradient, decoderGradient, biasGradient, activationSum, activeCount, waiting, starts, startsBytes,
    );
  }
}

/** {@link gather} of the encoder's, the decoder's or both gradients: the loop has no branch for that. */
@inline
function gatherOf(
  ofEncoder: bool, ofDecoder: bool,
  first: i32, last: i32, firstRow: usize, lastRow: usize, dIn: usize, dOut: usize,
  rowOffset: usize, rowCount: usize, recordLatent: usize, recordValue: usize, recordGradient: usize,
  residual: usize, input: usize, encoderGradient: usize, decoderGradient: usize,
  biasGradient: usize, activationSum: usize, activeCount: usize, waiting: usize, starts: usize, startsBytes: usize,
): void {
  const inBytes = dIn << 2;
  const outBytes = dOut << 2;
  const count = <usize>(last - first);
  for (let latent: usize = 0; latent < count; latent++) store<i32>(waiting + latent * WAITING_BYTES, 0);
  for (let row = firstRow; row < lastRow; row++) {
    let record = load<i32>(rowOffset + (row << 2));
    let end = record;
    if (starts != 0) {
      end += <i32>load<u16>(starts + startsBytes + (row << 1));
      record += <i32>load<u16>(starts + (row << 1));
    } else {
      end += load<i32>(rowCount + (row << 2));
      record = firstRecord(recordLatent, record, end, first);
    }
    for (; record < end; record++) {
      const at = <usize>record << 2;
      const latent = load<i32>(recordLatent + at);
      if (latent >= last) break;
      const value = load<f32>(recordValue + at);
      const gradient = load<f32>(recordGradient + at);
      const gradientRow = <usize>(latent - first);
      const list = waiting + gradientRow * WAITING_BYTES;
      const number = <usize>load<i32>(list);
      const to = list + 4 + number * (WAITING_WORDS << 2);
      store<i32>(to, <i32>row);
      store<f32>(to, value, 4);
      store<f32>(to, gradient, 8);
      if (number + 1 == WAITING) {
        if (ofDecoder) addWaiting(decoderGradient + gradientRow * outBytes, residual, dOut, list + 4, 4);
        if (ofEncoder) addWaiting(encoderGradient + gradientRow * inBytes, input, dIn, list + 4, 8);
        store<i32>(list, 0);
      } else {
        store<i32>(list, <i32>number + 1);
      }
      const word = <usize>latent << 2;
      if (ofEncoder) store<f32>(biasGradient + word, load<f32>(biasGradient + word) + gradient);
      if (!ofDecoder) continue;
      store<f32>(activationSum + word, load<f32>(activationSum + word) + value);
      if (value > 0) store<i32>(activeCount + word, load<i32>(activeCount + word) + 1);
    }
  }
  for (let latent: usize = 0; latent < count; latent++) {
    const list = waiting + latent * WAITING_BYTES;
    const end = list + 4 + <usize>load<i32>(list) * (WAITING_WORDS << 2);
    for (let at = list + 4; at < end; at += WAITING_WORDS << 2) {
      const row = <usize>load<i32>(at);
      if (ofDecoder) axpy(decoderGradient + latent * outBytes, load<f32>(at, 4), residual + row * outBytes, dOut);
      if (ofEncoder) axpy(encoderGradient + latent * inBytes, load<f32>(at, 8), input + row * inBytes, dIn);
    }
  }
}

/** sum += Σ over four waiting records of factor·x[row]; the factor lies `offset` bytes behind a record's row. */
@inline
function addWaiting(sum: usize, x: usize, length: usize, records: usize, offset: usize): void {
  const rowBytes = length << 2;
  const step = WAITING_WORDS << 2;
  axpyFour(
    sum,
    load<f32>(records + offset),
    x + <usize>load<i32>(records) * rowBytes,
    load<f32>(records + step + offset),
    x + <usize>load<i32>(records + step) * rowBytes,
    load<f32>(records + 2 * step + offset),
    x + <usize>load<i32>(records + 2 * step) * rowBytes,
    load<f32>(records + 3 * step + offset),
    x + <usize>load<i32>(records + 3 * step) * rowBytes,
    length,
  );
}

/**
 * For rows [first, last), how many of their records come before each block of `blockLatents` latents, and how many there
 * are: starts [blocks + 1][row], as 16-bit numbers, blocks `startsBytes` apart.
 */
export function indexRecords(
  first: usize, last: usize, rowOffset: usize, rowCount: usize, recordLatent: usize, starts: usize, startsBytes: usize,
  blocks: usize, blockLatents: i32,
): void {
  for (let row = first; row < last; row++) {
    const latents = recordLatent + (<usize>load<i32>(rowOffset + (row << 2)) << 2);
    const count = <usize>load<i32>(rowCount + (row << 2));
    let at = starts + (row << 1);
    let bound: i32 = 0;
    let before: usize = 0;
    for (let block: usize = 0; block < blocks; block++, at += startsBytes, bound += blockLatents) {
      while (before < count && load<i32>(latents + (before << 2)) < bound) before++;
      store<u16>(at, <u16>before);
    }
    store<u16>(at, <u16>count);
  }
}

/** First record in [begin, end) whose latent is at least `latent`, by bisection. */
export function firstRecord(recordLatent: usize, begin: i32, end: i32, latent: i32): i32 {
  while (begin < end) {
    const middle = begin + ((end - begin) >> 1);
    if (load<i32>(recordLatent + (<usize>middle << 2)) < latent) begin = middle + 1;
    else end = middle;
  }
  return begin;
}

/**
 * What {@link gather} reads, as dense columns for tiled products: values and gradients [latent − first][row − firstRow],
 * which must be zero before. Sums what is not a product: the encoder's bias, the activations, their number.
 */
export function gatherColumns(
  first: i32, last: i32, firstRow: usize, lastRow: usize,
  rowOffset: usize, rowCount: usize, recordLatent: usize, recordValue: usize, recordGradient: usize,
  values: usize, gradients: usize, biasGradient: usize, activationSum: usize, activeCount: usize,
): void {
  const columnBytes = (lastRow - firstRow) << 2;
  for (let row = firstRow; row < lastRow; row++) {
    const begin = load<i32>(rowOffset + (row << 2));
    const end = begin + load<i32>(rowCount + (row << 2));
    for (let record = firstRecord(recordLatent, begin, end, first); record < end; record++) {
      const at = <usize>record << 2;
      const latent = load<i32>(recordLatent + at);
      if (latent >= last) break;
      const value = load<f32>(recordValue + at);
      const gradient = load<f32>(recordGradient + at);
      const column = <usize>(latent - first) * columnBytes + ((row - firstRow) << 2);
      store<f32>(values + column, value);
      store<f32>(gradients + column, gradient);
      const word = <usize>latent << 2;
      store<f32>(biasGradient + word, load<f32>(biasGradient + word) + gradient);
      store<f32>(activationSum + word, load<f32>(activationSum + word) + value);
      if (value > 0) store<i32>(activeCount + word, load<i32>(activeCount + word) + 1);
    }
  }
}

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

