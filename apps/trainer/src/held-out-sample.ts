/**
 * The held-out rows that models are measured on while they train (`--eval-every`): the first of those that the result is
 * measured on, in the same order, so that they follow from the data seed alone. They are read once, before the first step,
 * and kept as they are trained on; of documents that are held out whole, they would otherwise be read from all over the
 * corpus each time.
 */
import {
  addSums,
  BATCH_THRESHOLD,
  emptySums,
  exchangeAverages,
  metricsOf,
  rowDimension,
  SUMMARY,
  SUMMARY_FIELDS,
} from "@sparseloom/core";
import type { Corpus } from "@sparseloom/data";
import { selectsOverBatch } from "./calibrate-threshold.ts";
import { DivergedError, RequestError } from "./errors.ts";
import { counted } from "./progress.ts";
import type { RunConfig } from "./run/config.ts";
import { mostSampleRows } from "./run/evaluation-steps.ts";
import type { HeldOutMetrics } from "./run/metrics-log.ts";
import { openMeasuredRows } from "./run-stream.ts";
import { putRows } from "./slot-rows.ts";
import type { ModelAtWork } from "./team/team.ts";

/** Rows in the coordinates of all models of a session. */
export interface HeldOutSample {
  readonly rows: number;
  /** [rows, the corpus's dimension] */
  readonly values: Float32Array;
}

/**
 * Reads the rows, where the run is to be measured on them.
 *
 * @param signal ends it early
 * @throws RequestError where no row is held out, or they do not fit into memory; the signal's reason
 */
export async function readHeldOutSample(
  corpus: Corpus,
  config: RunConfig,
  signal: AbortSignal | undefined,
): Promise<HeldOutSample | undefined> {
  const { options, setup } = config;
  if (options.evalEvery === undefined) return undefined;
  const most = Math.min(corpus.rows, mostSampleRows(options, setup));
  const width = rowDimension(setup.model);
  const { batchRows } = setup.training;
  const values = allocate(most, width);
  const rowIds = new Float64Array(batchRows);
  await using stream = openMeasuredRows(corpus, config, "held-out");
  let rows = 0;
  while (rows < most) {
    const wanted = Math.min(batchRows, most - rows);
    const found = await stream.fill(values.subarray(rows * width), wanted, rowIds, signal);
    rows += found;
    if (found < wanted) break;
  }
  if (rows > 0) return { rows, values: rows < most ? values.slice(0, rows * width) : values };
  throw new RequestError(
    stream.filteredRows > 0
      ? `--eval-every needs held-out rows, and the row filters leave out all ${stream.filteredRows} of them`
      : `--eval-every needs held-out rows, and none of ${counted(corpus.rows, "row")} is held out at --held-out ${options.heldOut}: give a larger share`,
  );
}

function allocate(rows: number, width: number): Float32Array {
  try {
    return new Float32Array(rows * width);
  } catch (cause) {
    const gb = ((rows * width * Float32Array.BYTES_PER_ELEMENT) / 1e9).toFixed(1);
    throw new RequestError(
      `${counted(rows, "held-out row")} for --eval-every need ${gb} GB, which the machine does not give: take a smaller --eval-sample`,
      { cause },
    );
  }
}

/** The step after which a model is measured. */
interface At {
  /** Steps taken, and examples of them. */
  readonly step: number;
  readonly examples: number;
}

/**
 * Measures a model whose jobs are all complete, by the team's row stages. Of what training keeps averages of, those are the
 * model; BatchTopK selects by its moving threshold, as the model of a checkpoint does, and over mini-batches. Leaves
 * everything that training depends on as it was.
 *
 * @returns undefined when the signal came first
 * @throws DivergedError when the model's output is not a number
 */
export async function measureHeldOut(
  model: ModelAtWork,
  sample: HeldOutSample,
  at: At,
  signal: AbortSignal | undefined,
): Promise<HeldOutMetrics | undefined> {
  const { arena } = model;
  exchangeAverages(arena);
  try {
    if (arena.kind === "deep" || !selectsOverBatch(arena.model))
      return await pass(model, sample, at, false, signal);
    const [floor] = arena.floors;
    const over = await pass(model, sample, at, false, signal);
    // There is no threshold before warm-up and annealing of k end.
    const hasThreshold = arena.batchThreshold[BATCH_THRESHOLD.steps] > 0;
    const own = hasThreshold ? await pass(model, sample, at, true, signal) : over;
    // Any floor gives the same bits; with its own, the next step need not encode its rows twice.
    arena.floors[0] = floor;
    if (over === undefined || own === undefined) return undefined;
    const { mse, fvu, l0 } = over;
    return { ...own, overBatch: { mse, fvu, l0 } };
  } finally {
    exchangeAverages(arena);
  }
}

/** One pass over the sample. Where records of a mini-batch do not fit at once, the rows' sums do not need them to. */
async function pass(
  model: ModelAtWork,
  sample: HeldOutSample,
  { step, examples: examplesBefore }: At,
  byThreshold: boolean,
  signal: AbortSignal | undefined,
): Promise<HeldOutMetrics | undefined> {
  const { arena } = model;
  const { batchRows } = arena.plan.setup.training;
  const sums = emptySums();
  let loss = 0;
  for (let from = 0; from < sample.rows; from += batchRows) {
    if (signal?.aborted) return undefined;
    const rows = Math.min(batchRows, sample.rows - from);
    const slot = await model.freeSlot();
    putRows(arena.slots[slot] as Float32Array, sample.values, from, rows, arena.model, batchRows);
    model.publish({ step, rows, examplesBefore, train: false, byThreshold });
    await model.waitFor(model.published);
    const at = slot * SUMMARY_FIELDS;
    if (!Number.isFinite(arena.summaries[at + SUMMARY.squaredError]))
      throw new DivergedError(
        `the model's output on held-out rows is not a number after step ${step}: try a smaller --lr`,
      );
    addSums(sums, arena, slot);
    loss += rows * arena.summaries[at + SUMMARY.loss];
  }
  return { rows: sums.rows, loss: loss / sums.rows, ...metricsOf(sums) };
}
