/**
 * A training run, start to end: resolve → plan → team → initialise or load → loop → evaluate → write the model.
 * The loop itself is {@link trainingLoop}.
 */
import { basename, join } from "node:path";
import {
  type Arena,
  bestKernelVariant,
  geometricMedian,
  initialise,
  type KernelVariant,
  type Plan,
  planRun,
  SUMMARY,
  SUMMARY_FIELDS,
  transformRows,
} from "@sparseloom/core";
import { type Corpus, openCorpus, RowStream, sampleRows, type Split } from "@sparseloom/data";
import { DivergedError, RequestError, RunError, shellQuoted } from "./errors.ts";
import { evaluate, type Evaluation } from "./evaluate.ts";
import type { TrainOptions } from "./options.ts";
import {
  listCheckpoints,
  loadCheckpoint,
  RUN_START,
  type RunState,
  saveCheckpoint,
} from "./run/checkpoint.ts";
import { readRunConfig, resolveRun, type RunConfig, splitOptions, transformOf } from "./run/config.ts";
import {
  claimRunDirectory,
  readResult,
  refuseTakenDirectory,
  removeLeftovers,
  writeConfig,
  writeResult,
} from "./run/directory.ts";
import { RunLock } from "./run/lock.ts";
import type { TrainResult } from "./run/result.ts";
import { MetricsLog, type StepMetrics } from "./run/metrics-log.ts";
import { writeModel } from "./run/model-folder.ts";
import { Team } from "./team/team.ts";

/** The kernels that workers run. */
function kernelsOf(options: TrainOptions): KernelVariant {
  return options.kernels === "reference" ? "reference" : bestKernelVariant();
}

/**
 * Bytes of a block, the unit that is shuffled across the corpus. Small ones mix better, as a window takes its rows
 * from more places (16 by default); reading is no slower from 1 MiB on.
 */
const BLOCK_BYTES = 2 ** 20;

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

/** Trains a new run in `runDirectory` (made if missing; an error if it holds a run already). */
export async function train(
  patterns: readonly string[],
  options: TrainOptions,
  runDirectory: string,
  hooks: TrainHooks = {},
): Promise<TrainResult> {
  // Looked at first, because what follows may take minutes; claimed when there is something to write.
  await refuseTakenDirectory(runDirectory);
  await using corpus = await openCorpus(
    patterns,
    options.column === undefined
      ? { blockBytes: BLOCK_BYTES }
      : { column: options.column, blockBytes: BLOCK_BYTES },
  );
  const config = await resolveRun(corpus, patterns, options, kernelsOf(options), BLOCK_BYTES);
  // Planned, allocated and initialised before anything is written: what cannot begin leaves nothing behind.
  const plan = planRun({ setup: config.setup, workers: options.workers });
  await using team = new Team(plan, {
    stuckTimeoutMs: options.stuckTimeout * 1000,
    kernels: kernelsOf(options),
    wideSimd: options.experimentalWideSimd,
  });
  await initialiseArena(team.arena, corpus, config);
  await using lock = await claimRunDirectory(runDirectory);
  await writeConfig(runDirectory, config);
  return await withAdvice(
    runDirectory,
    runToEnd({ runDirectory, config, options, corpus, team, start: RUN_START, hooks, lock }),
  );
}

/**
 * Continues a run from its newest intact checkpoint, or from the start if it had none yet. `overrides` may hold
 * only what changes no bit.
 */
export async function resume(
  runDirectory: string,
  overrides: Partial<TrainOptions>,
  hooks: TrainHooks = {},
): Promise<TrainResult> {
  const config = await readRunConfig(runDirectory);
  const finished = await readResult(runDirectory);
  if (finished !== undefined) {
    hooks.onNotice?.(`${runDirectory} is complete: nothing to resume`);
    // It may have been moved, or be seen from another working directory.
    return { ...finished, runDirectory };
  }
  // stopAt is the one option that belongs to a session and not to the run.
  const { stopAt: _, ...saved } = config.options;
  const options: TrainOptions = { ...saved, ...overrides };
  const kernels = kernelsOf(options);
  if (kernels !== config.kernelVariant && !options.allowDifferentKernels) {
    throw new RequestError(
      `the run was made with kernels ${config.kernelVariant}, these are ${kernels} and may give other last bits: add --allow-different-kernels to go on all the same`,
    );
  }
  await using corpus = await openCorpus(config.corpus.files, {
    column: config.corpus.column,
    blockBytes: config.corpus.blockBytes,
  });
  if (corpus.fingerprint !== config.corpus.fingerprint) {
    throw new RequestError(
      `the corpus ${config.corpus.files.join(" ")} is not the one that ${runDirectory} was trained on: its fingerprint differs`,
    );
  }
  const plan = planRun({ setup: config.setup, workers: options.workers });
  await using lock = await RunLock.acquire(runDirectory);
  await removeLeftovers(runDirectory);
  await using team = new Team(plan, {
    stuckTimeoutMs: options.stuckTimeout * 1000,
    kernels: kernelsOf(options),
    wideSimd: options.experimentalWideSimd,
  });
  const start = await loadNewest(runDirectory, team.arena, hooks);
  if (options.stopAt !== undefined && options.stopAt < (start?.step ?? 0)) {
    throw new RequestError(`--stop-at ${options.stopAt} is past: the run stands at step ${start?.step}`);
  }
  if (start === undefined) {
    hooks.onNotice?.(`${runDirectory} has no checkpoint yet: starting from the beginning`);
    await initialiseArena(team.arena, corpus, config);
  } else {
    team.arena.mean.set(transformRows(config.statistics.mean, config.corpus.dIn, transformOf(config)));
  }
  return await withAdvice(
    runDirectory,
    runToEnd({ runDirectory, config, options, corpus, team, start: start ?? RUN_START, hooks, lock }),
  );
}

/** Loads the newest checkpoint that is intact, saying which ones are not; undefined when there never was one. */
async function loadNewest(
  runDirectory: string,
  arena: Arena,
  hooks: TrainHooks,
): Promise<RunState | undefined> {
  const steps = await listCheckpoints(runDirectory);
  if (steps.length === 0) return undefined;
  for (const step of steps) {
    try {
      return await loadCheckpoint(runDirectory, step, arena);
    } catch (error) {
      if (!(error instanceof RunError)) throw error;
      hooks.onNotice?.(`${error.message}; trying the one before`);
    }
  }
  throw new RequestError(`${runDirectory} has no usable checkpoint to resume from`);
}

/** A run that fails says where it can go on. */
async function withAdvice(runDirectory: string, run: Promise<TrainResult>): Promise<TrainResult> {
  try {
    return await run;
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    const [newest] = await listCheckpoints(runDirectory);
    if (newest === undefined)
      throw new RunError(`${error.message}; there was no checkpoint yet`, { cause: error });
    const advice =
      error instanceof DivergedError
        ? `the last good checkpoint is that of step ${newest}, but going on from it ends here again`
        : `continue from step ${newest} with: sparseloom train --resume ${shellQuoted(runDirectory)}`;
    throw new RunError(`${error.message}; ${advice}`, { cause: error });
  }
}

interface Session {
  readonly runDirectory: string;
  readonly config: RunConfig;
  readonly options: TrainOptions;
  readonly corpus: Corpus;
  readonly team: Team;
  readonly start: RunState;
  readonly hooks: TrainHooks;
  readonly lock: RunLock;
}

async function runToEnd(session: Session): Promise<TrainResult> {
  const { runDirectory, config, options, team, start, hooks } = session;
  hooks.onStart?.(config, runDirectory, team.arena.plan, team);
  await using log = await MetricsLog.open(runDirectory, start, config.options.logEvery);
  const { state, seconds } = await trainingLoop(session, log);
  const last = log.last ?? { loss: Number.NaN, mse: Number.NaN, fvu: Number.NaN, l0: Number.NaN, dead: 0 };
  const reached = {
    runDirectory,
    complete: state.step === config.totalSteps,
    steps: state.step,
    examples: state.examples,
    seconds: state.seconds,
    activationsPerSecond: seconds > 0 ? (state.examples - start.examples) / seconds : 0,
    loss: last.loss,
    dead: last.dead,
    deadWindow: config.setup.training.deadWindow,
    workers: options.workers,
    encoder: "exact",
    kernelVariant: kernelsOf(options),
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
  return { state: end, seconds: elapsed() };
}

function openStream(
  { config, corpus }: Session,
  split: Split,
  windowBytes: number,
  epochs: number,
  from?: RunState["position"],
): RowStream {
  return new RowStream(corpus, {
    ...splitOptions(config.options),
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
  const { path, batch, row } = corpus.locate(rowIds[0] as number);
  throw new DivergedError(
    `the loss of step ${step} is ${loss} (mini-batch from ${basename(path)}, batch ${batch}, row ${row} on): ` +
      `try a smaller --lr`,
  );
}

/** Rows at most for the geometric median, which passes over them many times, and their bytes at most. */
const MEDIAN_ROWS = 10_000;
const MEDIAN_BYTES = 8e6;

async function initialiseArena(arena: Arena, corpus: Corpus, config: RunConfig): Promise<void> {
  const { options, statistics } = config;
  const { dIn } = corpus;
  const transform = transformOf(config);
  const sample = async (rows: number): Promise<Float32Array> => {
    const { values } = await sampleRows(corpus, { ...splitOptions(options), split: "train", rows });
    return transformRows(values, dIn, transform);
  };
  const mean = transformRows(statistics.mean, dIn, transform);
  if (arena.kind === "deep") return initialise(arena, { seed: options.seed, mean });
  const medianRows = Math.min(MEDIAN_ROWS, Math.ceil(MEDIAN_BYTES / (4 * dIn)));
  const decoderBias =
    options.initBias === "mean"
      ? mean
      : options.initBias === "median"
        ? Float32Array.from(geometricMedian(await sample(medianRows), dIn))
        : new Float32Array(dIn);
  const decoderRows = options.init === "data" ? { decoderRows: await sample(arena.model.latents) } : {};
  initialise(arena, { seed: options.seed, mean, decoderBias, ...decoderRows });
}
