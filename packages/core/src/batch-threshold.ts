/**
 * BatchTopK's selection over the mini-batch. The row stage records all pre-activations above a floor, the same for all
 * rows; here the k·B-th largest of them is found, and what is below it dropped. Where the floor was too high, or too low
 * for the records to fit, it is moved and the rows are encoded again. A floor changes no bit: the records above the
 * threshold are the same under every floor that lets enough of them through.
 * Numbers are compared by their bits: those of positive floats are in the order of the floats.
 */
import type { SparseArena } from "./arena-sparse.ts";
import { BATCH_THRESHOLD } from "./fields.ts";
import { THRESHOLD_RATE } from "./architectures/batch-topk.ts";
import { CONTROL } from "./control.ts";
import { HISTOGRAM_BINS } from "./plan-sparse.ts";

/** Bits of Infinity. */
const INFINITY_BITS = 0x7f800000;

function bitsOf(value: number): number {
  return new Int32Array(Float32Array.of(value).buffer)[0] as number;
}

function floatOf(bits: number): number {
  return new Float32Array(Int32Array.of(bits).buffer)[0] as number;
}

/** Share by which the next floor is below the threshold: thrice the last change, within these. */
const LEAST_MARGIN = 0.03;
const LARGEST_MARGIN = 0.25;
/** Records that a floor found from a sample lets through, as a multiple of those kept. */
const SAMPLE_ROOM = 1.5;

/** Marks rows whose records did not fit. */
export function markUnfit(arena: SparseArena, first: number, last: number): void {
  arena.rowCount.fill(-1, first, last);
}

/** Begins the search of a step. Runs on one thread, at the end of the step before; zeroed memory is as good. */
function startFloorSearch(arena: SparseArena): void {
  const { control } = arena;
  control[CONTROL.floorTooLow] = 0;
  control[CONTROL.floorTooHigh] = 0;
  control[CONTROL.floorTries] = 0;
}

/**
 * Sets a higher floor after the records did not fit, from those of the rows that did. Runs on one thread.
 *
 * @throws Error when no floor separates the records: too many of them are equal
 */
export function raiseFloor(arena: SparseArena, k: number, rows: number): void {
  const { control } = arena;
  const floor = bitsOf(arena.floors[0]);
  // Bits + 1, so that zeroed words mean: nothing is known.
  control[CONTROL.floorTooLow] = floor + 1;
  const high = control[CONTROL.floorTooHigh] || INFINITY_BITS;
  let fitted = 0;
  for (let row = 0; row < rows; row++) if (arena.rowCount[row] >= 0) fitted++;
  const wanted = Math.ceil(SAMPLE_ROOM * k * fitted);
  const sampled = fitted > 0 ? bitsOf(nthLargest(arena, rows, wanted).value) : 0;
  const guess = sampled > floor && sampled < high ? sampled : floor + Math.ceil((high - floor) / 2);
  if (guess <= floor || guess >= high) throw tooManyTies(arena);
  arena.floors[0] = floatOf(guess);
}

/** Sets a lower floor after fewer records than wanted were above it. Runs on one thread. */
export function lowerFloor(arena: SparseArena): void {
  const { control } = arena;
  const floor = bitsOf(arena.floors[0]);
  control[CONTROL.floorTooHigh] = floor;
  control[CONTROL.floorTries]++;
  const tooLow = control[CONTROL.floorTooLow] - 1;
  if (tooLow >= 0) {
    const middle = tooLow + Math.floor((floor - tooLow) / 2);
    if (middle <= tooLow) throw tooManyTies(arena);
    arena.floors[0] = floatOf(middle);
  } else {
    arena.floors[0] = control[CONTROL.floorTries] > 3 ? 0 : arena.floors[0] * 0.6;
  }
}

function tooManyTies({ plan }: SparseArena): Error {
  return new Error(
    `BatchTopK cannot order this mini-batch: more than ${plan.recordCapacity} of its pre-activations are equal; use a smaller mini-batch`,
  );
}

/**
 * Finds the k·B-th largest record of the mini-batch, which decides what {@link dropBelow} keeps, and moves the moving
 * threshold on. Runs on one thread.
 */
export function findThreshold(arena: SparseArena, k: number, rows: number, moves: boolean): void {
  const { control, batchThreshold: state } = arena;
  const wanted = k * rows;
  const used = control[CONTROL.recordsUsed];
  state[BATCH_THRESHOLD.previous] = state[BATCH_THRESHOLD.value];
  state[BATCH_THRESHOLD.tieRow] = rows;
  state[BATCH_THRESHOLD.tieLatent] = 0;
  state[BATCH_THRESHOLD.value] = 0;
  if (used > wanted) {
    const { value, ties, tied } = nthLargest(arena, rows, wanted);
    state[BATCH_THRESHOLD.value] = value;
    if (ties < tied) cutTies(arena, rows, value, ties);
  }
  if (moves) moveThreshold(arena, rows);
}

/** The least value that a mini-batch keeps. */
function leastKept(arena: SparseArena, rows: number): number {
  const value = arena.batchThreshold[BATCH_THRESHOLD.value];
  if (value > 0) return value;
  let least = Number.POSITIVE_INFINITY;
  for (let row = 0; row < rows; row++) {
    const end = arena.rowOffset[row] + arena.rowCount[row];
    for (let record = arena.rowOffset[row]; record < end; record++)
      least = Math.min(least, arena.recordValue[record]);
  }
  return least;
}

/** θ ← (1 − 0.01)·θ + 0.01·(least kept value), the first value taken as it is. */
function moveThreshold(arena: SparseArena, rows: number): void {
  const state = arena.batchThreshold;
  const least = leastKept(arena, rows);
  if (least === Number.POSITIVE_INFINITY) return;
  const rate = state[BATCH_THRESHOLD.steps] === 0 ? 1 : THRESHOLD_RATE;
  state[BATCH_THRESHOLD.moving] = (1 - rate) * state[BATCH_THRESHOLD.moving] + rate * least;
  state[BATCH_THRESHOLD.steps]++;
}

/** Sets the floor that the next mini-batch begins with. Runs on one thread. */
export function setNextFloor(arena: SparseArena): void {
  const state = arena.batchThreshold;
  const [value, previous] = [state[BATCH_THRESHOLD.value], state[BATCH_THRESHOLD.previous]];
  const change = previous > 0 ? Math.abs(value / previous - 1) : LARGEST_MARGIN;
  arena.floors[0] = Math.fround(value) * (1 - Math.min(LARGEST_MARGIN, Math.max(LEAST_MARGIN, 3 * change)));
  startFloorSearch(arena);
}

/** Drops records of rows [first, last) that are not among the mini-batch's k·B largest. */
export function dropBelow(arena: SparseArena, first: number, last: number): void {
  const { rowOffset, rowCount, rowActive, recordLatent, recordValue, batchThreshold: state } = arena;
  const threshold = state[BATCH_THRESHOLD.value];
  const tieRow = state[BATCH_THRESHOLD.tieRow];
  for (let row = first; row < last; row++) {
    const tiesBefore =
      row < tieRow ? arena.model.latents : row === tieRow ? state[BATCH_THRESHOLD.tieLatent] : 0;
    const begin = rowOffset[row];
    const end = begin + rowCount[row];
    let kept = begin;
    for (let record = begin; record < end; record++) {
      const value = recordValue[record];
      const latent = recordLatent[record];
      if (value < threshold || (value === threshold && latent >= tiesBefore)) continue;
      recordValue[kept] = value;
      recordLatent[kept++] = latent;
    }
    rowCount[row] = kept - begin;
    rowActive[row] = kept - begin;
  }
}

interface Rank {
  readonly value: number;
  /** Records of that value that belong to the n largest … */
  readonly ties: number;
  /** … of so many. */
  readonly tied: number;
}

/** The n-th largest record of the rows that fitted, by counting the upper, then the lower halves of the bits. */
function nthLargest(arena: SparseArena, rows: number, n: number): Rank {
  const { histogram, recordValue, rowOffset, rowCount } = arena;
  if (recordValue instanceof Float64Array) return nthLargestSorted(arena, rows, n);
  const bits = new Int32Array(recordValue.buffer, recordValue.byteOffset, recordValue.length);
  const count = (upper: number): void => {
    histogram.fill(0);
    for (let row = 0; row < rows; row++) {
      const end = rowOffset[row] + rowCount[row];
      for (let record = rowOffset[row]; record < end; record++) {
        const word = bits[record];
        if (upper < 0) histogram[word >>> 16]++;
        else if (word >>> 16 === upper) histogram[word & 0xffff]++;
      }
    }
  };
  const find = (rank: number): { bin: number; rest: number } => {
    let rest = rank;
    for (let bin = HISTOGRAM_BINS - 1; bin >= 0; bin--) {
      if (histogram[bin] >= rest) return { bin, rest };
      rest -= histogram[bin];
    }
    return { bin: 0, rest: 0 };
  };
  count(-1);
  const upper = find(n);
  count(upper.bin);
  const lower = find(upper.rest);
  return { value: floatOf(upper.bin * 65536 + lower.bin), ties: lower.rest, tied: histogram[lower.bin] };
}

/** The same by sorting, for float64. */
function nthLargestSorted(arena: SparseArena, rows: number, n: number): Rank {
  const values: number[] = [];
  for (let row = 0; row < rows; row++) {
    const end = arena.rowOffset[row] + arena.rowCount[row];
    for (let record = arena.rowOffset[row]; record < end; record++) values.push(arena.recordValue[record]);
  }
  values.sort((a, b) => b - a);
  const value = values[n - 1] ?? 0;
  const larger = values.filter((other) => other > value).length;
  return { value, ties: n - larger, tied: values.filter((other) => other === value).length };
}

/** Where the `ties` first records of `value`, by row and latent, end. */
function cutTies(arena: SparseArena, rows: number, value: number, ties: number): void {
  let left = ties;
  for (let row = 0; row < rows; row++) {
    const end = arena.rowOffset[row] + arena.rowCount[row];
    for (let record = arena.rowOffset[row]; record < end; record++) {
      if (arena.recordValue[record] !== value || left-- > 0) continue;
      arena.batchThreshold[BATCH_THRESHOLD.tieRow] = row;
      arena.batchThreshold[BATCH_THRESHOLD.tieLatent] = arena.recordLatent[record];
      return;
    }
  }
}
