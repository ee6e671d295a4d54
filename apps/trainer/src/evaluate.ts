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
import type { RowStream } from "@sparseloom/data";
import { RunError } from "./errors.ts";
import type { Team } from "./team/team.ts";

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

/**
 * Evaluates at most `limit` rows of `stream`, whose rows are in the model's coordinates. Needs an idle team.
 * `signal` ends it early, with what it has by then.
 */
export async function evaluate(
  team: Team,
  stream: RowStream,
  limit: number,
  onRows?: OnRows,
  signal?: AbortSignal,
): Promise<Evaluation> {
  const { arena } = team;
  const batchRows = evaluationRows(arena);
  const rowIds = new Float64Array(batchRows);
  const fireCount = new Float64Array(arena.kind === "sparse" ? arena.model.latents : 0);
  const sums = emptySums();
  while (sums.rows < limit && !signal?.aborted) {
    const slot = await team.freeSlot();
    const slotView = arena.slots[slot] as Float32Array;
    const rows = await stream.fill(slotView, Math.min(batchRows, limit - sums.rows), rowIds);
    if (rows === 0) break;
    team.publish({ step: 0, rows, examplesBefore: 0, train: false });
    // One at a time: the next mini-batch would overwrite the records.
    await team.waitFor(team.published);
    if (!Number.isFinite(arena.summaries[slot * SUMMARY_FIELDS + SUMMARY.squaredError])) {
      throw new RunError("the model's output is not a number: its weights are damaged or too large");
    }
    addSums(sums, arena, slot);
    if (arena.kind === "sparse") {
      for (let row = 0; row < rows; row++) {
        const begin = arena.rowOffset[row] as number;
        const end = begin + (arena.rowCount[row] as number);
        for (let record = begin; record < end; record++) {
          const latent = arena.recordLatent[record] as number;
          fireCount[latent] = (fireCount[latent] as number) + 1;
        }
      }
    }
    onRows?.(arena, rowIds, rows, slot);
  }
  let neverActive = 0;
  for (const count of fireCount) if (count === 0) neverActive++;
  return { rows: sums.rows, ...metricsOf(sums), neverActive, fireCount };
}
