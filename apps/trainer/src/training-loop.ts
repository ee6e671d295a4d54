/**
 * The training loop: one stream of mini-batches for all runs of a session. Each mini-batch is read, shuffled and
 * scaled once, into the first run's slot, and copied to the others; the team works on one run's step after the other.
 */
import { rowDimension } from "@sparseloom/core";
import type { Corpus, RowStream, StreamPosition } from "@sparseloom/data";
import { DivergedError } from "./errors.ts";
import { fillUnlessStopped } from "./fill.ts";
import type { HeldOutSample } from "./held-out-sample.ts";
import type { TrainOptions } from "./options.ts";
import { isResampledAt, type Resampled, resampleRuns } from "./resample.ts";
import { isTranscoder, putRows } from "./slot-rows.ts";
import type { Trainee } from "./trainee.ts";

/** What the loop works on. The runs' configurations agree in everything that concerns the data. */
export interface Loop {
  readonly trainees: readonly Trainee[];
  readonly options: TrainOptions;
  readonly corpus: Corpus;
  /** What models are measured on while they train; undefined: they are not. */
  readonly heldOutSample: HeldOutSample | undefined;
  /** Opens the stream of training rows. */
  readonly openStream: (from: StreamPosition) => RowStream;
  /** Asks to finish the step, save and stop. */
  readonly signal: AbortSignal | undefined;
  /** Told when a run's numbers leave float32's range; it is not trained on. */
  readonly onDiverged: (trainee: Trainee, error: DivergedError) => void;
  /** Told what became of dead latents that were resampled. */
  readonly onResampled: (resampled: Resampled) => void;
}

/**
 * Trains to the end, to `--stop-at`, or until asked to stop; all runs that went on have a checkpoint of where they
 * stand then. A run that is further on than another waits for it: the stream begins where the least of them stands.
 */
export async function trainingLoop(loop: Loop): Promise<void> {
  const { trainees, options, signal } = loop;
  const [first] = trainees.toSorted((a, b) => a.step - b.step);
  const { config, start } = first.run;
  const { batchRows } = config.setup.training;
  const lastStep = Math.min(config.totalSteps, options.stopAt ?? Number.POSITIVE_INFINITY);
  await using stream = loop.openStream(start.position);
  const rowIds = new Float64Array(batchRows);
  const { model } = config.setup;
  const apart = isTranscoder(model) ? new Float32Array(batchRows * rowDimension(model)) : undefined;
  let { step, examples } = start;
  let trained = [...trainees];

  /** Does something for each run; one that diverges is given up. */
  const forEach = async (some: readonly Trainee[], act: (trainee: Trainee) => Promise<void>) => {
    for (const trainee of some) {
      try {
        await act(trainee);
      } catch (error) {
        if (!(error instanceof DivergedError)) throw error;
        trained = trained.filter((other) => other !== trainee);
        loop.onDiverged(trainee, error);
      }
    }
  };
  const here = (): Trainee[] => trained.filter((trainee) => trainee.step === step);

  /** Measures the models of this step on held-out rows, where that is due; their workers are idle then. */
  const evaluate = async (): Promise<void> => {
    const { heldOutSample } = loop;
    if (heldOutSample === undefined || signal?.aborted) return;
    const due = (): Trainee[] => here().filter((trainee) => trainee.isToBeEvaluated);
    await forEach(due(), (trainee) => trainee.settle());
    const settled = due();
    await forEach(settled, (trainee) => trainee.evaluate(heldOutSample, signal));
    for (const trainee of settled) trainee.endEvaluation();
  };

  while (step < lastStep && !signal?.aborted) {
    // Before the checkpoint, which then has no steps that are still to be logged.
    await evaluate();
    if (signal?.aborted) break;
    // Save: the workers are idle, so that parameters and position belong together.
    if (step > start.step && step % options.checkpointEvery === 0) {
      await forEach(here(), (trainee) => trainee.settle());
      await forEach(here(), async (trainee) => {
        if (trainee.step > trainee.run.start.step) await trainee.save(stream.position);
      });
    }
    // Resample: after the checkpoint, so that one of this step is always of before it.
    if (isResampledAt(config, step)) {
      await forEach(here(), (trainee) => trainee.settle());
      if (here().length === 0) return;
      for (const resampled of await resampleRuns(here(), loop.corpus, signal)) loop.onResampled(resampled);
      if (signal?.aborted) break;
    }
    // Wait for a free slot of each; the workers are busy with the slots before, until they are filled again.
    await forEach(here(), async (trainee) => {
      trainee.begin();
      await trainee.run.model.freeSlot();
      await trainee.takeIn();
    });
    const working = here();
    // Those that stood here are lost: who is further on is left for another session.
    if (working.length === 0) return;
    const slots = await Promise.all(working.map(({ run }) => run.model.freeSlot()));
    const views = working.map(({ run }, i) => run.model.arena.slots[slots[i]] as Float32Array);
    const [first] = views;
    // Where a slot has rows in another order, they are read beside it.
    const filled = apart ?? first;
    const wanted = Math.min(batchRows, config.totalExamples - examples);
    const rows = await fillUnlessStopped(stream, filled, wanted, rowIds, signal);
    if (rows === undefined) break;
    // Train. Workers only read a slot: they may begin with one while it is copied to the next.
    working.forEach((trainee, i) => {
      if (views[i] !== filled) putRows(views[i], filled, 0, rows, trainee.run.model.arena.model, batchRows);
      trainee.publish(slots[i], rows, rowIds[0]);
    });
    step++;
    examples += rows;
  }

  await forEach(here(), (trainee) => trainee.settle());
  await evaluate();
  // A session that took no step has its checkpoint already, unless the run has only just begun.
  await forEach(here(), async (trainee) => {
    if (trainee.step > trainee.run.start.step || trainee.step === 0) await trainee.save(stream.position);
  });
  await forEach(here(), (trainee) => trainee.finishLog());
}
