/** A training run, new or resumed: resolve → plan → team → initialise or load, then a session to its end. */
import {
  type Arena,
  bestKernelVariant,
  chooseEncoder,
  type KernelVariant,
  type Plan,
  planRun,
  type Setup,
  transformRows,
} from "@sparseloom/core";
import { isCorpusError } from "@sparseloom/data";
import { DivergedError, RequestError, RunError, shellQuoted } from "./errors.ts";
import { initialiseArena } from "./initialise-run.ts";
import { openInput } from "./open-corpus.ts";
import type { TrainOptions } from "./options.ts";
import { listCheckpoints, loadCheckpoint, RUN_START, type RunState } from "./run/checkpoint.ts";
import { BLOCK_BYTES, readRunConfig, resolveRun, transformOf } from "./run/config.ts";
import {
  claimRunDirectory,
  readResult,
  refuseTakenDirectory,
  removeLeftovers,
  writeConfig,
} from "./run/directory.ts";
import { RunLock } from "./run/lock.ts";
import type { TrainResult } from "./run/result.ts";
import { runToEnd, type TrainHooks } from "./session.ts";
import { Team } from "./team/team.ts";

/** The kernels that workers run. */
function kernelsOf(options: TrainOptions): KernelVariant {
  return options.kernels === "reference" ? "reference" : bestKernelVariant();
}

function planFor(setup: Setup, options: TrainOptions, kernels: KernelVariant): Plan {
  const encoder = chooseEncoder(options.encoder, setup.model, kernels);
  return planRun({ setup, workers: options.workers, encoder, auditShare: options.audit });
}

function startTeam(plan: Plan, options: TrainOptions, kernels: KernelVariant): Team {
  return new Team(plan, {
    stuckTimeoutMs: options.stuckTimeout * 1000,
    kernels,
    wideSimd: options.experimentalWideSimd,
  });
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
  await using corpus = await openInput(
    patterns,
    options.workers,
    options.column === undefined
      ? { blockBytes: BLOCK_BYTES, signal: hooks.signal }
      : { column: options.column, blockBytes: BLOCK_BYTES, signal: hooks.signal },
  );
  const kernels = kernelsOf(options);
  const config = await resolveRun(corpus, patterns, options, kernels, BLOCK_BYTES, hooks.signal);
  // Planned, allocated and initialised before anything is written: what cannot begin leaves nothing behind.
  const plan = planFor(config.setup, options, kernels);
  await using team = startTeam(plan, options, kernels);
  await initialiseArena(team.arena, corpus, config, hooks.signal);
  await using lock = await claimRunDirectory(runDirectory);
  await writeConfig(runDirectory, config);
  return await withAdvice(
    runDirectory,
    runToEnd({ runDirectory, config, options, corpus, team, kernels, start: RUN_START, hooks, lock }),
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
  await using corpus = await openInput(config.corpus.files, options.workers, {
    column: config.corpus.column,
    blockBytes: config.corpus.blockBytes,
    signal: hooks.signal,
  });
  if (corpus.fingerprint !== config.corpus.fingerprint) {
    throw new RequestError(
      `the corpus ${config.corpus.files.join(" ")} is not the one that ${runDirectory} was trained on: its fingerprint differs`,
    );
  }
  const plan = planFor(config.setup, options, kernels);
  await using lock = await RunLock.acquire(runDirectory);
  await removeLeftovers(runDirectory);
  await using team = startTeam(plan, options, kernels);
  const start = await loadNewest(runDirectory, team.arena, hooks);
  if (options.stopAt !== undefined && options.stopAt < (start?.step ?? 0)) {
    throw new RequestError(`--stop-at ${options.stopAt} is past: the run stands at step ${start?.step}`);
  }
  if (start === undefined) {
    hooks.onNotice?.(`${runDirectory} has no checkpoint yet: starting from the beginning`);
    await initialiseArena(team.arena, corpus, config, hooks.signal);
  } else {
    team.arena.mean.set(transformRows(config.statistics.mean, config.corpus.dIn, transformOf(config)));
  }
  return await withAdvice(
    runDirectory,
    runToEnd({
      runDirectory,
      config,
      options,
      corpus,
      team,
      kernels,
      start: start ?? RUN_START,
      hooks,
      lock,
    }),
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
    if (!(error instanceof RunError) && !isCorpusError(error, "unreachable")) throw error;
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
