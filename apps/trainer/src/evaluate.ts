/** Evaluation on the worker team: the row stage alone, one mini-batch at a time, summed up on the main thread. */
import {
  addSums,
  ARCHITECTURES,
  type Arena,
  emptySums,
  type Metrics,
  metricsOf,
  SUMMARY,
  SUMMARY_FIELDS,
} from "@sparseloom/core";
import { RunError } from "./errors.ts";
import { fillUnlessStopped, type RowSource } from "./fill.ts";
import { isTranscoder, putRows } from "./slot-rows.ts";
import type { ModelAtWork } from "./team/team.ts";

export interface Evaluation extends Metrics {
  readonly rows: number;
  /** Latents that no evaluated row activated. */
  readonly neverActive: number;
  /** Activations of each latent; empty for a deep autoencoder. */
  readonly fireCount: Float64Array;
}

/** Called with the arena while it still holds the records of rows `rowIds`, which are in `slot`; is waited for. */
export type OnRows = (arena: Arena, rowIds: Float64Array, rows: number, slot: number) => void | Promise<void>;

/** How an evaluation is to be done. */
export interface EvaluationOptions {
  readonly onRows?: OnRows | undefined;
  /** Ends it early, with what it has by then. */
  readonly signal?: AbortSignal | undefined;
  /** BatchTopK: select by the moving threshold, as a finished model does, and not over mini-batches. Default false. */
  readonly byThreshold?: boolean;
}

/** Rows whose records fit at once, whatever is active in them. */
export function evaluationRows(arena: Arena, byThreshold = false): number {
  const { batchRows } = arena.plan.setup.training;
  if (arena.kind === "deep") return batchRows;
  const { architecture, k, latents } = arena.model;
  const { selection } = ARCHITECTURES[architecture];
  if (selection === "batch" && !byThreshold) return batchRows;
  const mostPerRow = selection === "topk" ? k : latents;
  return Math.min(batchRows, Math.floor(arena.plan.recordCapacity / mostPerRow));
}

/**
 * Evaluates at most `limit` rows of `source`, whose rows are in the model's coordinates. Needs an idle team.
 */
export async function evaluate(
  model: ModelAtWork,
  source: RowSource,
  limit: number,
  options: EvaluationOptions = {},
): Promise<Evaluation> {
  const [evaluation] = await evaluateTogether([model], source, limit, options);
  return evaluation;
}

/**
 * The same for several models of one team and one mini-batch size: each row is read once. A model whose records may not
 * fit at once works a mini-batch off in pieces, the same alone and among others.
 */
export async function evaluateTogether(
  models: readonly ModelAtWork[],
  source: RowSource,
  limit: number,
  { onRows, signal, byThreshold = false }: EvaluationOptions = {},
): Promise<Evaluation[]> {
  const [{ arena: first }] = models;
  const { batchRows } = first.plan.setup.training;
  const width = first.slots[0].length / batchRows;
  const pieces = models.map(({ arena }) => evaluationRows(arena, byThreshold));
  // Where one piece is enough, the rows are read straight into the first model's slot.
  const direct = pieces.every((rows) => rows === batchRows) && !isTranscoder(first.plan.setup.model);
  const buffer = direct ? undefined : new Float32Array(batchRows * width);
  const rowIds = new Float64Array(batchRows);
  const sums = models.map(() => emptySums());
  const fireCounts = models.map(
    ({ arena }) => new Float64Array(arena.kind === "sparse" ? arena.model.latents : 0),
  );
  let seen = 0;
  while (seen < limit && !signal?.aborted) {
    const into = buffer ?? (first.slots[await models[0].freeSlot()] as Float32Array);
    const rows = await fillUnlessStopped(source, into, Math.min(batchRows, limit - seen), rowIds, signal);
    if (rows === undefined || rows === 0) break;
    for (const [i, model] of models.entries()) {
      const { arena } = model;
      for (let from = 0; from < rows; from += pieces[i]) {
        const count = Math.min(pieces[i], rows - from);
        const slot = await model.freeSlot();
        const slotView = arena.slots[slot] as Float32Array;
        if (slotView !== into) putRows(slotView, into, from, count, arena.plan.setup.model, batchRows);
        model.publish({ step: 0, rows: count, examplesBefore: 0, train: false, byThreshold });
        // One at a time: the next mini-batch would overwrite the records.
        await model.waitFor(model.published);
        if (!Number.isFinite(arena.summaries[slot * SUMMARY_FIELDS + SUMMARY.squaredError])) {
          throw new RunError("the model's output is not a number: its weights are damaged or too large");
        }
        addSums(sums[i], arena, slot);
        countActive(arena, count, fireCounts[i]);
        await onRows?.(arena, rowIds.subarray(from, from + count), count, slot);
      }
    }
    seen += rows;
  }
  return sums.map((sum, i) => {
    const fireCount = fireCounts[i];
    const neverActive = fireCount.reduce((never, count) => never + (count === 0 ? 1 : 0), 0);
    return { rows: sum.rows, ...metricsOf(sum), neverActive, fireCount };
  });
}

/** Adds the activations of the rows whose records the arena holds. */
function countActive(arena: Arena, rows: number, fireCount: Float64Array): void {
  if (arena.kind === "deep") return;
  for (let row = 0; row < rows; row++) {
    const begin = arena.rowOffset[row];
    const end = begin + arena.rowCount[row];
    // JumpReLU's records also hold latents that are not active.
    for (let record = begin; record < end; record++)
      if (arena.recordValue[record] > 0) fireCount[arena.recordLatent[record]]++;
  }
}
