/**
 * The threshold of a finished BatchTopK autoencoder: the one above which k latents per row lie on average. Values above
 * a lower bound are counted in fine bins over rows that training has not seen; the threshold is the edge of a bin.
 */
import { ARCHITECTURES, BATCH_THRESHOLD, type ModelSetup, type SparseArena } from "@sparseloom/core";
import type { RowStream, Split } from "@sparseloom/data";
import { evaluate } from "./evaluate.ts";
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

interface Calibration {
  readonly value: number;
  readonly rows: number;
}

/** Whether a model's latents are selected over the mini-batch, so that it needs a threshold to be used without one. */
export function selectsOverBatch(model: ModelSetup): boolean {
  return model.kind === "sparse" && ARCHITECTURES[model.architecture].selection === "batch";
}

/**
 * Decides a finished BatchTopK run's threshold and leaves it in the idle model's arena, as the moving one: calibrated on
 * held-out rows, on training rows if there are none; or what training left there.
 */
export async function settleThreshold(
  { config, model }: Run,
  open: (split: Split) => RowStream,
  signal: AbortSignal | undefined,
): Promise<ThresholdReport> {
  const { arena } = model;
  if (arena.kind !== "sparse") throw new Error("internal: only sparse models have a threshold");
  const moving = arena.batchThreshold[BATCH_THRESHOLD.moving] as number;
  if (config.options.threshold !== "ema") {
    for (const split of ["held-out", "train"] as const) {
      const { value, rows } = await calibrateThreshold(model, () => open(split), moving, signal);
      if (rows > 0) return { mode: "calibrated", value, rows };
    }
  }
  return { mode: "ema", value: moving, rows: 0 };
}

/**
 * Calibrates the threshold and leaves it in the idle model's arena, as the moving threshold.
 *
 * @param open opens the rows to calibrate on, in the model's coordinates
 * @param moving where to begin: training's moving threshold
 */
async function calibrateThreshold(
  model: ModelAtWork,
  open: () => RowStream,
  moving: number,
  signal: AbortSignal | undefined,
): Promise<Calibration> {
  const { arena } = model;
  if (arena.kind !== "sparse") throw new Error("internal: only sparse models have a threshold");
  const { batchThreshold } = arena;
  const { k } = arena.model;
  const bins = new Uint32Array(2 ** (31 - BIN_BITS));
  let bound = FIRST_BOUND * moving;
  for (let tried = 1; ; tried++) {
    bins.fill(0);
    batchThreshold[BATCH_THRESHOLD.moving] = bound;
    await using stream = open();
    const { rows, l0 } = await evaluate(model, stream, CALIBRATION_ROWS, {
      byThreshold: true,
      signal,
      onRows: (_arena, _rowIds, count) => countValues(bins, arena, count),
    });
    const enough = l0 >= k || bound === 0;
    if (enough || rows === 0) {
      const value = rows === 0 ? moving : thresholdFor(bins, k * rows);
      batchThreshold[BATCH_THRESHOLD.moving] = value;
      return { value, rows };
    }
    bound = tried < MOST_BOUNDS ? NEXT_BOUND * bound : 0;
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
