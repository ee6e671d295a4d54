/**
 * Training runs, new or resumed: resolve → plan → team → initialise or load, then a session to its end. A run alone is
 * a session of one; several that see the same data are made here, too, see train-group.ts.
 */
import {
  type Arena,
  bestKernelVariant,
  chooseEncoder,
  type KernelVariant,
  type Plan,
  planRun,
  type Setup,
} from "@sparseloom/core";
import { type Corpus, isCorpusError } from "@sparseloom/data";
import { DivergedError, RequestError, RunError, shellQuoted } from "./errors.ts";
import { readHeldOutSample } from "./held-out-sample.ts";
import { initialiseArenas } from "./initialise-run.ts";
import { openInput } from "./open-corpus.ts";
import type { TrainOptions } from "./options.ts";
import { listCheckpoints, loadNewestCheckpoint, RUN_START, type RunState } from "./run/checkpoint.ts";
import { readRunConfig, type RunConfig, trainingMean } from "./run/config.ts";
import {
  claimRunDirectory,
  readResult,
  refuseTakenDirectory,
  removeLeftovers,
  writeConfig,
} from "./run/directory.ts";
import { RunLock } from "./run/lock.ts";
import { BLOCK_BYTES, resolveRuns } from "./run/resolve.ts";
import type { TrainResult } from "./run/result.ts";
import { auditWarnings, warningsOf } from "./run/warnings.ts";
import { type RunEnd, runToEnd, type TrainHooks } from "./session.ts";
import { partOfRows } from "./slot-rows.ts";
import { Team } from "./team/team.ts";
import type { Run } from "./trainee.ts";

/** The kernels that workers run. */
function kernelsOf(options: TrainOptions): KernelVariant {
  return options.kernels === "reference" ? "reference" : bestKernelVariant();
}

function planFor(setup: Setup, options: TrainOptions, kernels: KernelVariant): Plan {
  const encoder = chooseEncoder(options.encoder, setup.model, kernels);
  return planRun({ setup, workers: options.workers, encoder, auditShare: options.audit });
}

function startTeam(plans: readonly Plan[], options: TrainOptions, kernels: KernelVariant): Team {
  return new Team(plans, {
    stuckTimeoutMs: options.stuckTimeout * 1000,
    kernels,
    wideSimd: options.experimentalWideSimd,
    hugePages: options.experimentalHugePages,
  });
}

/** Says each warning once: several runs may have the same. */
function warn({ onNotice }: TrainHooks, lines: readonly string[]): void {
  for (const line of new Set(lines)) onNotice?.(line);
}

/** The vector columns that the options name. */
function columnsAsked({ column, columns, target }: TrainOptions): string | readonly string[] | undefined {
  return columns ?? (column !== undefined && target !== undefined ? [column, target] : column);
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
  const [end] = await trainTogether(patterns, [{ options, runDirectory }], hooks);
  return await resultOf(end);
}

/** A run to be made. */
export interface NewMember {
  readonly options: TrainOptions;
  readonly runDirectory: string;
}

/** Where a group of runs checks its plans and writes what is its own. */
export interface GroupSteps {
  /** What `--resume` is given to go on. */
  readonly directory: string;
  /** Called before memory is allocated. */
  readonly onPlanned?: (plans: readonly Plan[]) => void;
  /** Called when everything is ready and nothing is written; what it returns is disposed of at the end. */
  readonly claim?: () => Promise<AsyncDisposable>;
  /** Called when all runs have their directories. */
  readonly onClaimed?: () => Promise<void>;
}

/**
 * Trains new runs in one pass over the data. Their options may differ in the model and its seed; options that concern
 * the data, the number of steps and the session are those of the first.
 */
export async function trainTogether(
  patterns: readonly string[],
  members: readonly NewMember[],
  hooks: TrainHooks,
  group?: GroupSteps,
): Promise<RunEnd[]> {
  const [{ options, runDirectory: first }] = members;
  await using corpus = await openInput(patterns, options.workers, {
    column: columnsAsked(options),
    blockBytes: BLOCK_BYTES,
    signal: hooks.signal,
  });
  const kernels = kernelsOf(options);
  const all = members.map((member) => member.options);
  const configs = await resolveRuns(corpus, patterns, all, kernels, BLOCK_BYTES, hooks.signal);
  // Planned, allocated and initialised before anything is written: what cannot begin leaves nothing behind.
  const plans = configs.map((config) => planFor(config.setup, options, kernels));
  group?.onPlanned?.(plans);
  const heldOutSample = await readHeldOutSample(corpus, configs[0], hooks.signal);
  warn(hooks, [
    ...configs.flatMap(warningsOf),
    ...plans.flatMap((plan) => auditWarnings(plan, options, kernels)),
  ]);
  await using team = startTeam(plans, options, kernels);
  const models = configs.map((config, i) => ({ config, arena: team.models[i].arena }));
  await initialiseArenas(models, corpus, kernels, hooks.signal);
  await using stack = new AsyncDisposableStack();
  if (group?.claim !== undefined) stack.use(await group.claim());
  const runs: Run[] = [];
  for (const [i, { runDirectory }] of members.entries()) {
    const lock = stack.use(await claimRunDirectory(runDirectory));
    await writeConfig(runDirectory, configs[i]);
    runs.push({ runDirectory, config: configs[i], model: team.models[i], start: RUN_START, lock });
  }
  await group?.onClaimed?.();
  const session = { runs, options, corpus, heldOutSample, team, kernels, hooks };
  return await withAdvice(group?.directory ?? first, first, runToEnd(session));
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
  const [end] = await resumeTogether([{ runDirectory, config }], overrides, hooks);
  return await resultOf(end);
}

/** A run that was made, and is not complete. */
export interface OldMember {
  readonly runDirectory: string;
  readonly config: RunConfig;
}

/** Continues runs that were made to see the same data, each from where it stands. */
export async function resumeTogether(
  members: readonly OldMember[],
  overrides: Partial<TrainOptions>,
  hooks: TrainHooks,
  group?: Pick<GroupSteps, "directory" | "onPlanned">,
): Promise<RunEnd[]> {
  const [{ config, runDirectory: first }] = members;
  // These belong to a session and not to the run: another one asks for them anew.
  const { stopAt: _, allowDifferentKernels: __, experimentalHugePages: ___, ...saved } = config.options;
  const options: TrainOptions = {
    allowDifferentKernels: false,
    experimentalHugePages: false,
    ...saved,
    ...overrides,
  };
  const kernels = kernelsOf(options);
  if (kernels !== config.kernelVariant && !options.allowDifferentKernels) {
    throw new RequestError(
      `the run was made with kernels ${config.kernelVariant}, these are ${kernels} and may give other last bits: add --allow-different-kernels to go on all the same`,
    );
  }
  await using corpus = await openInput(config.corpus.files, options.workers, {
    column: config.corpus.columns?.map(({ name }) => name) ?? config.corpus.column,
    blockBytes: config.corpus.blockBytes,
    signal: hooks.signal,
  });
  if (corpus.fingerprint !== config.corpus.fingerprint) {
    throw new RequestError(
      `the corpus ${config.corpus.files.join(" ")} is not the one that ${first} was trained on: its fingerprint differs`,
    );
  }
  const plans = members.map((member) => planFor(member.config.setup, options, kernels));
  group?.onPlanned?.(plans);
  warn(
    hooks,
    plans.flatMap((plan) => auditWarnings(plan, options, kernels)),
  );
  await using stack = new AsyncDisposableStack();
  const locks: RunLock[] = [];
  for (const { runDirectory } of members) {
    locks.push(stack.use(await RunLock.acquire(runDirectory, hooks.onNotice)));
    await removeLeftovers(runDirectory);
  }
  await using team = startTeam(plans, options, kernels);
  const runs: Run[] = [];
  for (const [i, member] of members.entries()) {
    const model = team.models[i];
    const start = await startOf(member, model.arena, corpus, kernels, hooks);
    runs.push({ ...member, model, start, lock: locks[i] });
  }
  const least = Math.min(...runs.map(({ start }) => start.step));
  if (options.stopAt !== undefined && options.stopAt < least) {
    throw new RequestError(`--stop-at ${options.stopAt} is past: the run stands at step ${least}`);
  }
  const heldOutSample = await readHeldOutSample(corpus, config, hooks.signal);
  const session = { runs, options, corpus, heldOutSample, team, kernels, hooks };
  return await withAdvice(group?.directory ?? first, first, runToEnd(session));
}

/** Sets a run's arena to where the run stands. */
async function startOf(
  { runDirectory, config }: OldMember,
  arena: Arena,
  corpus: Corpus,
  kernels: KernelVariant,
  hooks: TrainHooks,
): Promise<RunState> {
  const start = await loadNewestCheckpoint(runDirectory, arena, hooks.onNotice);
  if (start === undefined) {
    hooks.onNotice?.(`${runDirectory} has no checkpoint yet: starting from the beginning`);
    await initialiseArenas([{ arena, config }], corpus, kernels, hooks.signal);
    return RUN_START;
  }
  arena.mean.set(partOfRows(trainingMean(config), arena.model, "target"));
  return start;
}

/** The result of a run alone. @throws DivergedError */
async function resultOf({ result, diverged }: RunEnd): Promise<TrainResult> {
  if (diverged !== undefined) throw await advised(result.runDirectory, result.runDirectory, diverged);
  return result;
}

/** A run that fails says where it can go on: with `--resume directory`, from the checkpoints of `runDirectory`. */
async function withAdvice<T>(directory: string, runDirectory: string, run: Promise<T>): Promise<T> {
  try {
    return await run;
  } catch (error) {
    throw await advised(directory, runDirectory, error);
  }
}

/** The error with advice on how to go on, if it is one that a run fails with. */
async function advised(directory: string, runDirectory: string, error: unknown): Promise<unknown> {
  if (!(error instanceof RunError) && !isCorpusError(error, "unreachable")) return error;
  const [newest] = await listCheckpoints(runDirectory);
  if (newest === undefined)
    return new RunError(`${error.message}; there was no checkpoint yet`, { cause: error });
  const advice =
    error instanceof DivergedError
      ? `the last good checkpoint is that of step ${newest}, but going on from it ends here again`
      : `continue from step ${newest} with: sparseloom train --resume ${shellQuoted(directory)}`;
  return new RunError(`${error.message}; ${advice}`, { cause: error });
}
