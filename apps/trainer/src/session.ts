/**
 * One session of one or several runs, from the step where they stand to their end or an interruption: the training
 * loop, the measurement of the results, the models.
 */
import { basename, join } from "node:path";
import { type KernelVariant, type Metrics, type Plan, takeAverages } from "@sparseloom/core";
import type { Corpus, RowStream, Split } from "@sparseloom/data";
import { selectsOverBatch, settleThresholds } from "./calibrate-threshold.ts";
import { collectGarbage } from "./collect-garbage.ts";
import type { DivergedError } from "./errors.ts";
import { evaluateTogether, type Evaluation } from "./evaluate.ts";
import type { HeldOutSample } from "./held-out-sample.ts";
import type { TrainOptions } from "./options.ts";
import { counted } from "./progress.ts";
import type { RunConfig } from "./run/config.ts";
import { writeResult } from "./run/directory.ts";
import type { StepMetrics } from "./run/metrics-log.ts";
import { writeModel } from "./run/model-folder.ts";
import type { TrainResult } from "./run/result.ts";
import { openMeasuredRows, openTrainingRows } from "./run-stream.ts";
import type { Team } from "./team/team.ts";
import { type Run, Trainee } from "./trainee.ts";
import { trainingLoop } from "./training-loop.ts";

/** What a caller may watch and steer. */
export interface TrainHooks {
  /** Asks the run to finish the step, save a checkpoint and stop. */
  readonly signal?: AbortSignal;
  /** Called when the run is set up, before the first step. */
  readonly onStart?: (config: RunConfig, runDirectory: string, plan: Plan, team: Team) => void;
  /** Called for each logged step. */
  readonly onMetrics?: (metrics: StepMetrics, config: RunConfig) => void;
  /** Called for things the user should know; one line each. */
  readonly onNotice?: (line: string) => void;
}

/** What a session works with. Its runs see the same data: their configurations differ in the model alone. */
export interface Session {
  readonly runs: readonly Run[];
  /** Options of all runs; what only one model has is in its configuration. */
  readonly options: TrainOptions;
  readonly corpus: Corpus;
  /** What `--eval-every` measures on; undefined without it. */
  readonly heldOutSample: HeldOutSample | undefined;
  readonly team: Team;
  readonly kernels: KernelVariant;
  readonly hooks: TrainHooks;
}

/** How a run of a session ended: with a result, or because its numbers left float32's range. */
export interface RunEnd {
  readonly result: TrainResult;
  readonly diverged: DivergedError | undefined;
}

/**
 * Trains all runs to the end, or until asked to stop; complete runs are measured and their models written. A run
 * that diverges does not stop the others.
 */
export async function runToEnd(session: Session): Promise<RunEnd[]> {
  const { runs, team, hooks } = session;
  for (const { config, runDirectory, model } of runs)
    hooks.onStart?.(config, runDirectory, model.arena.plan, team);
  await using stack = new AsyncDisposableStack();
  const trainees: Trainee[] = [];
  for (const run of runs) {
    const trainee = await Trainee.open(run, { ...session, onMetrics: hooks.onMetrics });
    trainees.push(stack.use(trainee));
  }
  const diverged = new Map<Trainee, DivergedError>();
  const [{ config }] = runs;
  collectGarbage();
  await trainingLoop({
    ...session,
    trainees,
    openStream: (from) => openTrainingRows(session.corpus, config, session.options.windowMb * 1e6, from),
    signal: hooks.signal,
    onDiverged: (trainee, error) => diverged.set(trainee, error),
    onResampled({ trainee: { run, step }, latents, rows }) {
      const name = runs.length > 1 ? `${basename(run.runDirectory)}: ` : "";
      hooks.onNotice?.(
        `${name}${counted(latents, "dead latent")} resampled at step ${step} from ${counted(rows, "row")}`,
      );
    },
  });
  const ends = trainees.map((trainee) => ({
    trainee,
    result: reachedBy(trainee, session),
    diverged: diverged.get(trainee),
  }));
  const done = ends.filter(({ result, diverged }) => result.complete && diverged === undefined);
  const models = done.map(({ trainee }) => trainee.run);
  // What training averages is the model; checkpoints have both by now.
  for (const { model } of models) takeAverages(model.arena);
  const batched = await measureOverBatches(session, models);
  const training = await evaluateSplit(session, models, "train", true);
  const heldOut = await evaluateSplit(session, models, "held-out", true);
  await team.stop();
  // Whoever interrupts wants to be gone soon: no evaluation, no model.
  const interrupted = hooks.signal?.aborted === true;
  for (const [i, end] of done.entries()) {
    if (interrupted) break;
    const { runDirectory, config, model } = end.trainee.run;
    const { mse, fvu, l0 } = training[i];
    const held = heldOut[i];
    end.result = {
      ...end.result,
      mse,
      fvu,
      l0,
      ...(held.rows > 0 ? { heldOut: { rows: held.rows, mse: held.mse, fvu: held.fvu, l0: held.l0 } } : {}),
      ...batched.get(end.trainee.run),
    };
    const { dead, threshold } = end.result;
    const quality = {
      l0: held.rows > 0 ? held.l0 : l0,
      dead,
      ...(threshold === undefined ? {} : { threshold }),
    };
    const { kernelVariants, steps: step } = end.result;
    await writeModel(join(runDirectory, "model"), model.arena, { ...config, kernelVariants, step }, quality);
    await writeResult(runDirectory, end.result);
  }
  return ends.map(({ result, diverged }) => ({
    result: interrupted || diverged !== undefined ? { ...result, complete: false } : result,
    diverged,
  }));
}

/** What a run came to by its log. */
function reachedBy(trainee: Trainee, { options, kernels }: Session): TrainResult {
  const { runDirectory, config, start, model } = trainee.run;
  const { screening } = trainee;
  const seconds = start.seconds + trainee.seconds;
  const last = trainee.log.last ?? { loss: NaN, mse: NaN, fvu: NaN, l0: NaN, dead: 0 };
  const { lastEvaluation } = trainee.log;
  return {
    runDirectory,
    complete: trainee.step === config.totalSteps,
    steps: trainee.step,
    examples: trainee.examples,
    seconds,
    filteredRows: config.corpus.filteredRows,
    activationsPerSecond: seconds > 0 ? trainee.examples / seconds : 0,
    loss: last.loss,
    mse: last.mse,
    fvu: last.fvu,
    l0: last.l0,
    dead: last.dead,
    deadWindow: config.setup.training.deadWindow,
    ...(lastEvaluation === undefined ? {} : { lastEvaluation }),
    workers: options.workers,
    wideSimd: options.experimentalWideSimd && kernels !== "reference",
    hugePages: options.experimentalHugePages,
    encoder: model.arena.plan.encoder,
    ...(screening === undefined ? {} : { screening }),
    kernelVariants: trainee.kernelVariants,
  };
}

/** Rows of a split, at most, on which the result is measured: a standard error of FVU below 1 %. */
const EVAL_ROWS = 100_000;
/** Measuring should not take longer than a small part of training. */
const EVAL_SHARE = 0.1;

/** What BatchTopK runs alone report, by run. Settles their thresholds: by those they are measured and used from then on. */
async function measureOverBatches(
  session: Session,
  runs: readonly Run[],
): Promise<Map<Run, Pick<TrainResult, "threshold" | "overBatch">>> {
  const batched = runs.filter(({ config: { setup } }) => selectsOverBatch(setup.model));
  const training = await evaluateSplit(session, batched, "train");
  const heldOut = await evaluateSplit(session, batched, "held-out");
  const metricsOf = ({ mse, fvu, l0 }: Evaluation): Metrics => ({ mse, fvu, l0 });
  const found = new Map<Run, Pick<TrainResult, "threshold" | "overBatch">>();
  if (batched.length === 0 || session.hooks.signal?.aborted) return found;
  const [{ config }] = runs;
  const open = (split: Split): RowStream => openMeasuredRows(session.corpus, config, split);
  const thresholds = await settleThresholds(batched, open, session.hooks.signal);
  for (const [i, run] of batched.entries()) {
    const held = heldOut[i];
    found.set(run, {
      threshold: thresholds[i],
      overBatch: {
        training: metricsOf(training[i]),
        ...(held.rows > 0 ? { heldOut: metricsOf(held) } : {}),
      },
    });
  }
  return found;
}

/** Measures runs on the rows of a split, which are read once. */
async function evaluateSplit(
  session: Session,
  runs: readonly Run[],
  split: Split,
  byThreshold = false,
): Promise<Evaluation[]> {
  const [run] = runs;
  if (run === undefined || session.hooks.signal?.aborted) return [];
  await using stream = openMeasuredRows(session.corpus, run.config, split);
  const limit =
    session.options.evalRows ?? Math.min(EVAL_ROWS, Math.ceil(EVAL_SHARE * run.config.totalExamples));
  const models = runs.map(({ model }) => model);
  return await evaluateTogether(models, stream, limit, { signal: session.hooks.signal, byThreshold });
}
