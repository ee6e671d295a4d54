/**
 * One session of a run, from the step where it stands to its end or an interruption: the training loop, the
 * measurement of the result, the model.
 */
import { basename, join } from "node:path";
import { type Arena, type KernelVariant, type Plan, SUMMARY, SUMMARY_FIELDS } from "@sparseloom/core";
import { type Corpus, RowStream, type Split } from "@sparseloom/data";
import { DivergedError } from "./errors.ts";
import { evaluate, type Evaluation } from "./evaluate.ts";
import type { TrainOptions } from "./options.ts";
import { type RunState, saveCheckpoint } from "./run/checkpoint.ts";
import { type RunConfig, splitOptions, transformOf } from "./run/config.ts";
import { writeResult } from "./run/directory.ts";
import type { RunLock } from "./run/lock.ts";
import { MetricsLog, type StepMetrics } from "./run/metrics-log.ts";
import { writeModel } from "./run/model-folder.ts";
import type { ScreeningReport, TrainResult } from "./run/result.ts";
import { ScreeningLog } from "./screening-log.ts";
import type { Team } from "./team/team.ts";

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

/** What a session works with. The team's arena holds the parameters of `start`. */
export interface Session {
  readonly runDirectory: string;
  readonly config: RunConfig;
  readonly options: TrainOptions;
  readonly corpus: Corpus;
  readonly team: Team;
  readonly kernels: KernelVariant;
  readonly start: RunState;
  readonly hooks: TrainHooks;
  readonly lock: RunLock;
}

/** Trains to the end, or until asked to stop; a complete run is measured and its model written. */
export async function runToEnd(session: Session): Promise<TrainResult> {
  const { runDirectory, config, options, team, start, hooks } = session;
  hooks.onStart?.(config, runDirectory, team.arena.plan, team);
  await using log = await MetricsLog.open(runDirectory, start, config.options.logEvery);
  const { state, seconds, screening } = await trainingLoop(session, log);
  const last = log.last ?? { loss: Number.NaN, mse: Number.NaN, fvu: Number.NaN, l0: Number.NaN, dead: 0 };
  const reached = {
    runDirectory,
    complete: state.step === config.totalSteps,
    steps: state.step,
    examples: state.examples,
    seconds: state.seconds,
    filteredRows: config.corpus.filteredRows,
    activationsPerSecond: seconds > 0 ? (state.examples - start.examples) / seconds : 0,
    loss: last.loss,
    dead: last.dead,
    deadWindow: config.setup.training.deadWindow,
    workers: options.workers,
    encoder: team.arena.plan.encoder,
    ...(screening === undefined ? {} : { screening }),
    kernelVariant: session.kernels,
  } as const;
  // Whoever interrupts wants to be gone soon: no evaluation, no model.
  const interrupted = { ...reached, complete: false, mse: last.mse, fvu: last.fvu, l0: last.l0 };
  if (!reached.complete) {
    await team.stop();
    return interrupted;
  }

  const training = await evaluateSplit(session, "train");
  const heldOut = await evaluateSplit(session, "held-out");
  await team.stop();
  if (hooks.signal?.aborted) return interrupted;
  const result: TrainResult = {
    ...reached,
    mse: training.mse,
    fvu: training.fvu,
    l0: training.l0,
    ...(heldOut.rows > 0
      ? { heldOut: { rows: heldOut.rows, mse: heldOut.mse, fvu: heldOut.fvu, l0: heldOut.l0 } }
      : {}),
  };
  const { l0 } = result.heldOut ?? result;
  await writeModel(join(runDirectory, "model"), team.arena, config, { l0, dead: result.dead });
  await writeResult(runDirectory, result);
  return result;
}

interface LoopEnd {
  readonly state: RunState;
  /** Seconds of training in this session. */
  readonly seconds: number;
  readonly screening: ScreeningReport | undefined;
}

/** The training loop: fill a slot, publish it, look at what came out of the slot before. */
async function trainingLoop(session: Session, log: MetricsLog): Promise<LoopEnd> {
  const { runDirectory, config, options, corpus, team, start, hooks, lock } = session;
  const { arena } = team;
  const { batchRows } = config.setup.training;
  const lastStep = Math.min(config.totalSteps, options.stopAt ?? Number.POSITIVE_INFINITY);
  await using stream = openStream(
    session,
    "train",
    config.options.windowMb * 1e6,
    Number.POSITIVE_INFINITY,
    start.position,
  );
  const rowIds = arena.slots.map(() => new Float64Array(batchRows));
  const screening = new ScreeningLog();
  const began = performance.now();
  let { step, examples } = start;
  let seen = step;

  const elapsed = (): number => (performance.now() - began) / 1000;
  const state = (): RunState => ({
    step,
    examples,
    position: stream.position,
    seconds: start.seconds + elapsed(),
    pending: log.pending,
  });
  const save = async (): Promise<void> => {
    // No checkpoint is ahead of the log.
    await log.flush();
    await lock.check();
    await saveCheckpoint(runDirectory, arena, state(), options.keepCheckpoints);
  };

  const writeMetrics = async (steps: number): Promise<void> => {
    const metrics = await log.write(steps, elapsed(), start.seconds);
    hooks.onMetrics?.(metrics, config);
  };

  /** Takes in the summaries of the steps up to `until`, in order; they are complete. */
  const takeIn = async (until: number): Promise<void> => {
    for (; seen < until; seen++) {
      const slot = (seen - start.step) % arena.plan.slots;
      checkLoss(arena, slot, seen, corpus, rowIds[slot] as Float64Array);
      log.add(arena, slot);
      screening.add(arena, slot);
      if ((seen + 1) % options.logEvery === 0) await writeMetrics(seen + 1);
    }
  };

  while (step < lastStep && !hooks.signal?.aborted) {
    // Save: the workers are idle, so that parameters and position belong together.
    if (step > start.step && step % options.checkpointEvery === 0) {
      await team.waitFor(team.published);
      await takeIn(step);
      await save();
    }
    // Fill the next slot while the workers are at the other one.
    const slot = await team.freeSlot();
    await takeIn(start.step + team.completed);
    const wanted = Math.min(batchRows, config.totalExamples - examples);
    const rows = await stream.fill(arena.slots[slot] as Float32Array, wanted, rowIds[slot]);
    // Train.
    team.publish({ step, rows, examplesBefore: examples, train: true });
    step++;
    examples += rows;
  }

  await team.waitFor(team.published);
  await takeIn(step);
  // A session that took no step has its checkpoint already, unless the run has only just begun.
  if (step > start.step || step === 0) await save();
  const end = state();
  if (end.pending.steps > 0) await writeMetrics(step);
  return { state: end, seconds: elapsed(), screening: screening.report() };
}

function openStream(
  { config, corpus }: Session,
  split: Split,
  windowBytes: number,
  epochs: number,
  from?: RunState["position"],
): RowStream {
  return new RowStream(corpus, {
    ...splitOptions(config.options, config.filters),
    split,
    shuffle: config.options.shuffle,
    windowBytes,
    epochs,
    transform: transformOf(config),
    ...(from === undefined ? {} : { from }),
  });
}

/** Rows of a split, at most, on which the result is measured: a standard error of FVU below 1 %. */
const EVAL_ROWS = 100_000;
/** A measurement needs a sample, not a mixture: small windows do, and their memory comes on top of training's. */
const EVAL_WINDOW_BYTES = 4e6;
/** Measuring should not take longer than a small part of training. */
const EVAL_SHARE = 0.1;

async function evaluateSplit(session: Session, split: Split): Promise<Evaluation> {
  await using stream = openStream(session, split, EVAL_WINDOW_BYTES, 1);
  const limit =
    session.options.evalRows ?? Math.min(EVAL_ROWS, Math.ceil(EVAL_SHARE * session.config.totalExamples));
  return await evaluate(session.team, stream, limit, undefined, session.hooks.signal);
}

/** NaN or Infinity in a loss stops the run before anything is saved. */
function checkLoss(arena: Arena, slot: number, step: number, corpus: Corpus, rowIds: Float64Array): void {
  const loss = arena.summaries[slot * SUMMARY_FIELDS + SUMMARY.loss] as number;
  if (Number.isFinite(loss)) return;
  const { path, batch, row, position } = corpus.locate(rowIds[0] as number);
  const from = `batch ${batch}, row ${row}${position === undefined ? "" : `, position ${position}`}`;
  throw new DivergedError(
    `the loss of step ${step} is ${loss} (mini-batch from ${basename(path)}, ${from} on): ` +
      `try a smaller --lr`,
  );
}
