/**
 * The threshold of a finished BatchTopK autoencoder: the one above which k latents per row lie on average. Values above
 * a lower bound are counted in fine bins over rows that training has not seen; the threshold is the edge of a bin.
 */
import { ARCHITECTURES, BATCH_THRESHOLD, type ModelSetup, type SparseArena } from "@sparseloom/core";
import type { RowStream, Split } from "@sparseloom/data";
import { evaluateTogether } from "./evaluate.ts";
import type { ThresholdReport } from "./run/result.ts";
import type { ModelAtWork } from "./team/team.ts";
import type { Run } from "./trainee.ts";

/** Rows at most: the standard error of mean L0 is then far below the 0.5 % within which it is to be k. */
const CALIBRATION_ROWS = 1_000_000;
/** Lowest bits of a number that share a bin: its width is 1 part in 8,192. */
const BIN_BITS = 10;
/** The first bound, as a share of the moving threshold; and what it is multiplied by where too few values are above. */
const FIRST_BOUND = 0.7;
const NEXT_BOUND = 0.5;
const MOST_BOUNDS = 6;

/** Whether a model's latents are selected over the mini-batch, so that it needs a threshold to be used without one. */
export function selectsOverBatch(model: ModelSetup): boolean {
  return model.kind === "sparse" && ARCHITECTURES[model.architecture].selection === "batch";
}

/**
 * Decides the thresholds of finished BatchTopK runs that saw the same data, and leaves them in the idle models' arenas,
 * as the moving ones: calibrated on held-out rows, on training rows if there are none; or what training left there.
 */
export async function settleThresholds(
  runs: readonly Run[],
  open: (split: Split) => RowStream,
  signal: AbortSignal | undefined,
): Promise<ThresholdReport[]> {
  const calibrations = runs.map(({ model }) => new ThresholdCalibration(model));
  // The option is one for all runs of a pass.
  if (runs[0]?.config.options.threshold !== "ema") {
    for (const split of ["held-out", "train"] as const) {
      const rows = await calibrate(calibrations, () => open(split), signal);
      if (rows > 0) return calibrations.map(({ value }) => ({ mode: "calibrated", value, rows }));
    }
  }
  return calibrations.map(({ value }) => ({ mode: "ema", value, rows: 0 }));
}

/** Calibrates thresholds, reading the rows once for all; again for those whose bound was too high. Returns how many rows. */
async function calibrate(
  calibrations: readonly ThresholdCalibration[],
  open: () => RowStream,
  signal: AbortSignal | undefined,
): Promise<number> {
  let rowsSeen = 0;
  for (let left = [...calibrations]; left.length > 0; ) {
    for (const calibration of left) calibration.begin();
    const models = left.map(({ model }) => model);
    await using stream = open();
    const found = await evaluateTogether(models, stream, CALIBRATION_ROWS, {
      byThreshold: true,
      signal,
      onRows: (arena, _rowIds, count) => left.find(({ model }) => model.arena === arena)?.add(count),
    });
    left = left.filter((calibration, i) => !calibration.finish(found[i].rows, found[i].l0));
    rowsSeen = Math.max(rowsSeen, ...found.map(({ rows }) => rows));
  }
  return rowsSeen;
}

/** One model's threshold on its way. */
class ThresholdCalibration {
  readonly model: ModelAtWork;
  readonly #arena: SparseArena;
  readonly #moving: number;
  #bins: Uint32Array = new Uint32Array(0);
  #bound: number;
  #tried = 0;

  constructor(model: ModelAtWork) {
    const { arena } = model;
    if (arena.kind !== "sparse") throw new Error("internal: only sparse models have a threshold");
    this.model = model;
    this.#arena = arena;
    // Where to begin: training's moving threshold.
    this.#moving = arena.batchThreshold[BATCH_THRESHOLD.moving] as number;
    this.#bound = FIRST_BOUND * this.#moving;
  }

  /** The threshold that the arena holds. */
  get value(): number {
    return this.#arena.batchThreshold[BATCH_THRESHOLD.moving] as number;
  }

  /** Sets the model to select above the bound. */
  begin(): void {
    this.#bins = new Uint32Array(2 ** (31 - BIN_BITS));
    this.#arena.batchThreshold[BATCH_THRESHOLD.moving] = this.#bound;
  }

  /** Counts the values of rows whose records the arena holds. */
  add(rows: number): void {
    countValues(this.#bins, this.#arena, rows);
  }

  /** Sets the threshold, if enough values were above the bound; else lowers the bound and returns false. */
  finish(rows: number, l0: number): boolean {
    const { k } = this.#arena.model;
    this.#tried++;
    const enough = l0 >= k || this.#bound === 0;
    if (enough || rows === 0) {
      const value = rows === 0 ? this.#moving : thresholdFor(this.#bins, k * rows);
      this.#bins = new Uint32Array(0);
      this.#arena.batchThreshold[BATCH_THRESHOLD.moving] = value;
      return true;
    }
    this.#bound = this.#tried < MOST_BOUNDS ? NEXT_BOUND * this.#bound : 0;
    return false;
  }
}

function countValues(
  bins: Uint32Array,
  { rowOffset, rowCount, recordValue }: SparseArena,
  rows: number,
): void {
  const bits = new Int32Array(recordValue.buffer, recordValue.byteOffset, recordValue.length);
  for (let row = 0; row < rows; row++) {
    const begin = rowOffset[row] as number;
    const end = begin + (rowCount[row] as number);
    for (let record = begin; record < end; record++) bins[(bits[record] as number) >>> BIN_BITS]++;
  }
}

/** The edge of a bin above which about `wanted` values lie: the closer of the two about them. 0 where there are fewer. */
function thresholdFor(bins: Uint32Array, wanted: number): number {
  let above = 0;
  for (let bin = bins.length - 1; bin >= 0; bin--) {
    const next = above + (bins[bin] as number);
    if (next >= wanted) {
      const edge = wanted - above < next - wanted ? bin + 1 : bin;
      if (edge === 0) return 0;
      // Just below the edge: a value on it is above the threshold.
      return new Float32Array(Int32Array.of((edge << BIN_BITS) - 1).buffer)[0] as number;
    }
    above = next;
  }
  return 0;
}
