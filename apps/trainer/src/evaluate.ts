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
import type { ModelAtWork } from "./team/team.ts";

export interface Evaluation extends Metrics {
  readonly rows: number;
  /** Latents that no evaluated row activated. */
  readonly neverActive: number;
  /** Activations of each latent; empty for a deep autoencoder. */
  readonly fireCount: Float64Array;
}

/** Called with the arena while it still holds the records of rows `rowIds`, which are in `slot`. */
export type OnRows = (arena: Arena, rowIds: Float64Array, rows: number, slot: number) => void;

/** Rows whose records fit at once, whatever is active in them. */
export function evaluationRows(arena: Arena): number {
  const { batchRows } = arena.plan.setup.training;
  if (arena.kind === "deep") return batchRows;
  const { architecture, k, latents } = arena.model;
  const mostPerRow = ARCHITECTURES[architecture].selection === "topk" ? k : latents;
  return Math.min(batchRows, Math.floor(arena.plan.recordCapacity / mostPerRow));
}

/** Where rows come from, in the model's coordinates: a RowStream, or anything like it. */
export interface RowSource {
  /** Writes the next rows and their indices; returns how many, fewer than asked only at the end. */
  fill(into: Float32Array, rows: number, rowIds: Float64Array): Promise<number>;
}

/**
 * Evaluates at most `limit` rows of `source`, whose rows are in the model's coordinates. Needs an idle team.
 * `signal` ends it early, with what it has by then.
 */
export async function evaluate(
  model: ModelAtWork,
  source: RowSource,
  limit: number,
  onRows?: OnRows,
  signal?: AbortSignal,
): Promise<Evaluation> {
  const [evaluation] = await evaluateTogether([model], source, limit, { onRows, signal });
  return evaluation;
}

/** The same for several models of one team and one mini-batch size: each row is read once. */
export async function evaluateTogether(
  models: readonly ModelAtWork[],
  source: RowSource,
  limit: number,
  { onRows, signal }: { onRows?: OnRows | undefined; signal?: AbortSignal | undefined } = {},
): Promise<Evaluation[]> {
  const batchRows = Math.min(...models.map(({ arena }) => evaluationRows(arena)));
  const rowIds = new Float64Array(batchRows);
  const sums = models.map(() => emptySums());
  const fireCounts = models.map(
    ({ arena }) => new Float64Array(arena.kind === "sparse" ? arena.model.latents : 0),
  );
  let seen = 0;
  while (seen < limit && !signal?.aborted) {
    let filled: Float32Array | undefined;
    let rows = 0;
    for (const [i, model] of models.entries()) {
      const { arena } = model;
      const slot = await model.freeSlot();
      const slotView = arena.slots[slot] as Float32Array;
      if (filled === undefined) {
        rows = await source.fill(slotView, Math.min(batchRows, limit - seen), rowIds);
        filled = slotView.subarray(0, rows * (slotView.length / arena.plan.setup.training.batchRows));
      } else slotView.set(filled);
      if (rows === 0) break;
      model.publish({ step: 0, rows, examplesBefore: 0, train: false });
      // One at a time: the next mini-batch would overwrite the records.
      await model.waitFor(model.published);
      if (!Number.isFinite(arena.summaries[slot * SUMMARY_FIELDS + SUMMARY.squaredError])) {
        throw new RunError("the model's output is not a number: its weights are damaged or too large");
      }
      addSums(sums[i], arena, slot);
      countActive(arena, rows, fireCounts[i]);
      onRows?.(arena, rowIds, rows, slot);
    }
    if (rows === 0) break;
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
    for (let record = begin; record < end; record++) fireCount[arena.recordLatent[record]]++;
  }
}
