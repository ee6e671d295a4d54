/** Sorting records by blocks of latents, and gathering gradients by latent. */
import { PANEL } from "./product";
import { axpy, axpyFour } from "./simd";

/** Bytes of a sorted record: row, latent, value, gradient. */
const SORTED_BYTES: usize = 16;

/** Records of a latent that wait until they are added together, and words of one: its row, value and gradient. */
const WAITING: usize = 4;
const WAITING_WORDS: usize = 3;
/** Bytes of the waiting records of a latent: their number, then the records. */
const WAITING_BYTES: usize = (1 + WAITING * WAITING_WORDS) << 2;

/**
 * Copies the records of rows [first, last) to `sorted`, from its record `base` on, ordered by blocks of `blockLatents` latents;
 * those of a block stay in the order of rows, then latents. starts [blocks + 3] receives where each block's records begin, where
 * the last one's end (twice), and `last`.
 */
export function sortRecords(
  first: usize, last: usize, rowOffset: usize, rowCount: usize, recordLatent: usize, recordValue: usize, recordGradient: usize,
  sorted: usize, base: i32, starts: usize, blocks: usize, blockLatents: i32,
): void {
  // A block's number of records lies two words on, then its start one word on, which placing moves to where the next one begins.
  memory.fill(starts, 0, (blocks + 2) << 2);
  for (let row = first; row < last; row++) {
    let at = recordLatent + (<usize>load<i32>(rowOffset + (row << 2)) << 2);
    for (const end = at + (<usize>load<i32>(rowCount + (row << 2)) << 2); at < end; at += 4) {
      const block = starts + (<usize>(load<i32>(at) / blockLatents) << 2);
      store<i32>(block, load<i32>(block, 8) + 1, 8);
    }
  }
  const end = starts + ((blocks + 2) << 2);
  let sum = base;
  store<i32>(starts, base);
  for (let at = starts + 4; at < end; at += 4) {
    sum += load<i32>(at);
    store<i32>(at, sum);
  }
  store<i32>(end, <i32>last);
  for (let row = first; row < last; row++) {
    let at = <usize>load<i32>(rowOffset + (row << 2)) << 2;
    for (const end = at + (<usize>load<i32>(rowCount + (row << 2)) << 2); at < end; at += 4) {
      const latent = load<i32>(recordLatent + at);
      const block = starts + (<usize>(latent / blockLatents) << 2);
      const place = load<i32>(block, 4);
      store<i32>(block, place + 1, 4);
      const to = sorted + <usize>place * SORTED_BYTES;
      store<i32>(to, <i32>row);
      store<i32>(to, latent, 4);
      store<f32>(to, load<f32>(recordValue + at), 8);
      store<f32>(to, load<f32>(recordGradient + at), 12);
    }
  }
}

/**
 * Adds rows [firstRow, lastRow) to the gradients of latents [first, last), whose gradient rows begin at
 * encoderGradient [dIn] and decoderGradient [dOut]. Records of a row are in ascending latent order. A latent's records
 * wait until there are four, which are then added in one pass over its gradients, in row order still. `waiting` is
 * scratch for 13 words per latent.
 */
export function gather(
  first: i32, last: i32, firstRow: usize, lastRow: usize, dIn: usize, dOut: usize,
  rowOffset: usize, rowCount: usize, recordLatent: usize, recordValue: usize, recordGradient: usize,
  residual: usize, input: usize, encoderGradient: usize, decoderGradient: usize,
  biasGradient: usize, activationSum: usize, activeCount: usize, waiting: usize,
): void {
  noneWaiting(waiting, last - first);
  for (let row = firstRow; row < lastRow; row++) {
    const begin = load<i32>(rowOffset + (row << 2));
    const end = begin + load<i32>(rowCount + (row << 2));
    for (let record = firstRecord(recordLatent, begin, end, first); record < end; record++) {
      const at = <usize>record << 2;
      const latent = load<i32>(recordLatent + at);
      if (latent >= last) break;
      addRecord(
        true, true, first, latent, <i32>row, load<f32>(recordValue + at), load<f32>(recordGradient + at), dIn, dOut,
        residual, input, encoderGradient, decoderGradient, biasGradient, activationSum, activeCount, waiting,
      );
    }
  }
  addRest(true, true, last - first, dIn, dOut, residual, input, encoderGradient, decoderGradient, waiting);
}

/**
 * {@link gather} from sorted records: `starts` is where {@link sortRecords} wrote what it knows of the rows from each eighth on,
 * `startsBytes` apart; `block` is the block of latents that holds [first, last). Where encoderGradient is 0, neither it nor
 * biasGradient is added to; where decoderGradient is 0, neither it nor the activations' sums and numbers.
 */
export function gatherSorted(
  first: i32, last: i32, firstRow: usize, lastRow: usize, dIn: usize, dOut: usize,
  sorted: usize, starts: usize, startsBytes: usize, block: usize,
  residual: usize, input: usize, encoderGradient: usize, decoderGradient: usize,
  biasGradient: usize, activationSum: usize, activeCount: usize, waiting: usize,
): void {
  if (encoderGradient == 0) {
    gatherSortedOf(
      false, true, first, last, firstRow, lastRow, dIn, dOut, sorted, starts, startsBytes, block,
      residual, input, encoderGradient, decoderGradient, biasGradient, activationSum, activeCount, waiting,
    );
  } else if (decoderGradient == 0) {
    gatherSortedOf(
      true, false, first, last, firstRow, lastRow, dIn, dOut, sorted, starts, startsBytes, block,
      residual, input, encoderGradient, decoderGradient, biasGradient, activationSum, activeCount, waiting,
    );
  } else {
    gatherSortedOf(
      true, true, first, last, firstRow, lastRow, dIn, dOut, sorted, starts, startsBytes, block,
      residual, input, encoderGradient, decoderGradient, biasGradient, activationSum, activeCount, waiting,
    );
  }
}

/** {@link gatherSorted} of the encoder's, the decoder's or both gradients: the loop has no branch for that. */
@inline
function gatherSortedOf(
  ofEncoder: bool, ofDecoder: bool, first: i32, last: i32, firstRow: usize, lastRow: usize, dIn: usize, dOut: usize,
  sorted: usize, starts: usize, startsBytes: usize, block: usize,
  residual: usize, input: usize, encoderGradient: usize, decoderGradient: usize,
  biasGradient: usize, activationSum: usize, activeCount: usize, waiting: usize,
): void {
  noneWaiting(waiting, last - first);
  for (let row = firstRow; row < lastRow; ) {
    const known = starts + (row / PANEL) * startsBytes;
    const end = sorted + <usize>load<i32>(known + (block << 2), 4) * SORTED_BYTES;
    for (let at = sorted + <usize>load<i32>(known + (block << 2)) * SORTED_BYTES; at < end; at += SORTED_BYTES) {
      const latent = load<i32>(at, 4);
      if (latent < first || latent >= last) continue;
      addRecord(
        ofEncoder, ofDecoder, first, latent, load<i32>(at), load<f32>(at, 8), load<f32>(at, 12), dIn, dOut,
        residual, input, encoderGradient, decoderGradient, biasGradient, activationSum, activeCount, waiting,
      );
    }
    row = <usize>load<i32>(known + startsBytes - 4);
  }
  addRest(ofEncoder, ofDecoder, last - first, dIn, dOut, residual, input, encoderGradient, decoderGradient, waiting);
}

@inline
function noneWaiting(waiting: usize, latents: i32): void {
  for (let latent: usize = 0; latent < <usize>latents; latent++) store<i32>(waiting + latent * WAITING_BYTES, 0);
}

/** A record joins those of its latent that wait; with the fourth they are added. */
@inline
function addRecord(
  ofEncoder: bool, ofDecoder: bool, first: i32, latent: i32, row: i32, value: f32, gradient: f32, dIn: usize, dOut: usize,
  residual: usize, input: usize, encoderGradient: usize, decoderGradient: usize,
  biasGradient: usize, activationSum: usize, activeCount: usize, waiting: usize,
): void {
  const gradientRow = <usize>(latent - first);
  const list = waiting + gradientRow * WAITING_BYTES;
  const number = <usize>load<i32>(list);
  const to = list + 4 + number * (WAITING_WORDS << 2);
  store<i32>(to, row);
  store<f32>(to, value, 4);
  store<f32>(to, gradient, 8);
  if (number + 1 == WAITING) {
    if (ofDecoder) addWaiting(decoderGradient + gradientRow * (dOut << 2), residual, dOut, list + 4, 4);
    if (ofEncoder) addWaiting(encoderGradient + gradientRow * (dIn << 2), input, dIn, list + 4, 8);
    store<i32>(list, 0);
  } else {
    store<i32>(list, <i32>number + 1);
  }
  const word = <usize>latent << 2;
  if (ofEncoder) store<f32>(biasGradient + word, load<f32>(biasGradient + word) + gradient);
  if (ofDecoder) {
    store<f32>(activationSum + word, load<f32>(activationSum + word) + value);
    if (value > 0) store<i32>(activeCount + word, load<i32>(activeCount + word) + 1);
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

/** Adds what still waits, fewer than four records of each latent. */
@inline
function addRest(
  ofEncoder: bool, ofDecoder: bool, latents: i32, dIn: usize, dOut: usize,
  residual: usize, input: usize, encoderGradient: usize, decoderGradient: usize, waiting: usize,
): void {
  for (let latent: usize = 0; latent < <usize>latents; latent++) {
    const list = waiting + latent * WAITING_BYTES;
    const end = list + 4 + <usize>load<i32>(list) * (WAITING_WORDS << 2);
    for (let at = list + 4; at < end; at += WAITING_WORDS << 2) {
      const row = <usize>load<i32>(at);
      if (ofDecoder) axpy(decoderGradient + latent * (dOut << 2), load<f32>(at, 4), residual + row * (dOut << 2), dOut);
      if (ofEncoder) axpy(encoderGradient + latent * (dIn << 2), load<f32>(at, 8), input + row * (dIn << 2), dIn);
    }
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
