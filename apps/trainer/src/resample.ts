/**
 * Resampling in the training loop: between two steps, the rows of a sample of the training rows are evaluated at the
 * current parameters, and each run's dead latents are made anew from those it rebuilds badly. What is drawn follows from
 * the seeds and the step alone, so that a run stopped before it and one never stopped go on alike.
 */
import { latentsSilentFor, resampleLatents, scheduledValue, WeightedRows } from "@sparseloom/core";
import { type Corpus, RowStream } from "@sparseloom/data";
import { evaluateTogether } from "./evaluate.ts";
import { type RunConfig, splitOptions, transformOf } from "./run/config.ts";
import type { Trainee } from "./trainee.ts";

/** Bytes of a window of the sample's rows: training's own windows are held beside it. */
const WINDOW_BYTES = 4e6;

/** When and how dead latents are resampled. */
export interface Resampling {
  /** Steps before which it is done, ascending, with the examples without activation after which a latent is dead. */
  readonly events: readonly { readonly step: number; readonly window: number }[];
  /** Training rows that are evaluated, at most. */
  readonly rows: number;
}

/** What was done to a run. */
export interface Resampled {
  readonly trainee: Trainee;
  readonly latents: number;
  readonly rows: number;
}

/** Whether dead latents are resampled before `step`. */
export function isResampledAt({ resampling }: RunConfig, step: number): boolean {
  return resampling?.events.some((event) => event.step === step) ?? false;
}

/**
 * Resamples settled runs that stand before the same step; the rows are read once for all of them. Asked to stop, it
 * leaves everything as it was.
 */
export async function resampleRuns(
  trainees: readonly Trainee[],
  corpus: Corpus,
  signal: AbortSignal | undefined,
): Promise<Resampled[]> {
  const [{ run, step }] = trainees;
  const { options, filters, resampling } = run.config;
  const window = resampling?.events.find((event) => event.step === step)?.window ?? 0;
  const draws = trainees.map((trainee) => {
    const { arena } = trainee.run.model;
    if (arena.kind !== "sparse") throw new Error("internal: only sparse models are resampled");
    const dead = latentsSilentFor(arena, trainee.examples, window);
    const { training } = trainee.run.config.setup;
    const lambda = scheduledValue(training.l1Coefficient, step);
    const rows = new WeightedRows(dead.length, corpus.dIn, trainee.run.config.options.seed, step);
    return { trainee, arena, dead, lambda, rows };
  });
  if (draws.every(({ dead }) => dead.length === 0))
    return trainees.map((trainee) => ({ trainee, latents: 0, rows: 0 }));
  const split = splitOptions(options, filters);
  await using stream = new RowStream(corpus, {
    ...split,
    // Rows of another order than any epoch's; those that are held out stay so.
    seed: split.seed + 2 ** 32 * (1 + (step % 2 ** 20)),
    heldOut: { ...split.heldOut, seed: split.seed },
    split: "train",
    shuffle: "window",
    windowBytes: WINDOW_BYTES,
    epochs: 1,
    transform: transformOf(run.config),
  });
  const published = trainees.map(({ run: { model } }) => model.published);
  const models = trainees.map((trainee) => trainee.run.model);
  const [{ rows }] = await evaluateTogether(models, stream, resampling?.rows ?? 0, {
    signal,
    onRows(arena, rowIds, count, slot) {
      const draw = draws.find((one) => one.arena === arena);
      if (draw === undefined) throw new Error("internal: rows of another model");
      for (let row = 0; row < count; row++) {
        const loss = draw.arena.rowSquaredError[row] + draw.lambda * draw.arena.rowPenalty[row];
        draw.rows.add(rowIds[row], loss ** 2, arena.slots[slot], row * corpus.dIn);
      }
    },
  });
  trainees.forEach((trainee, i) => trainee.skipJobs(trainee.run.model.published - published[i]));
  if (signal?.aborted) return [];
  return draws.map(({ trainee, arena, dead, rows: drawn }) => ({
    trainee,
    latents: resampleLatents(arena, dead, drawn.drawn()),
    rows,
  }));
}
