/** Trains a grid of models in one pass over the data, or resumes one; then compares them. */
import { join } from "node:path";
import { RequestError } from "../errors.ts";
import type { TrainOptions } from "../options.ts";
import { type RunConfig, readRunConfig } from "../run/config.ts";
import { sampleBytes } from "../run/evaluation-steps.ts";
import { claimRunDirectory, readResult, refuseTakenDirectory } from "../run/directory.ts";
import { RunLock } from "../run/lock.ts";
import type { TrainResult } from "../run/result.ts";
import type { RunEnd, TrainHooks } from "../session.ts";
import { resumeTogether, trainTogether } from "../train.ts";
import type { GridMember } from "./grid.ts";
import { type Group, readGroup, writeGroup, writeGroupResult } from "./group-folder.ts";
import { checkMemory } from "./memory.ts";
import { type GroupResult, summariseGroup } from "./summary.ts";

/** Trains all models of a grid; each gets a run directory `directory/<name>`. */
export async function trainGroup(
  patterns: readonly string[],
  grid: readonly GridMember[],
  directory: string,
  hooks: TrainHooks = {},
): Promise<GroupResult> {
  await refuseTakenDirectory(directory);
  const members = grid.map(({ name, options }) => {
    const runDirectory = join(directory, name);
    return { runDirectory, options: { ...options, out: runDirectory } };
  });
  const [{ options }] = members;
  const group: Group = {
    members: grid.map(({ name, settings }) => ({ name, settings })),
    diverged: {},
  };
  const ends = await trainTogether(patterns, members, hooks, {
    directory,
    onPlanned: (plans) => {
      const named = plans.map((plan, i) => ({ name: grid[i].name, plan }));
      hooks.onNotice?.(checkMemory(named, options.windowMb * 1e6, sampleBytes(options, plans[0].setup)));
    },
    claim: async () => await claimRunDirectory(directory),
    // Last: what is there without it was never begun.
    onClaimed: async () => await writeGroup(directory, group),
  });
  return await finish(
    directory,
    group,
    ends.map(({ result }) => result),
    ends,
    options.workers,
  );
}

/** Continues all runs of a group that are not complete; each goes on from where it stands. */
export async function resumeGroup(
  directory: string,
  overrides: Partial<TrainOptions>,
  hooks: TrainHooks = {},
): Promise<GroupResult> {
  await using _lock = await RunLock.acquire(directory, hooks.onNotice);
  const group = await readGroup(directory);
  const open: { name: string; runDirectory: string; config: RunConfig }[] = [];
  const results: TrainResult[] = [];
  const [{ name: first }] = group.members;
  const { workers = (await readRunConfig(join(directory, first))).options.workers } = overrides;
  for (const { name } of group.members) {
    if (name in group.diverged) continue;
    const runDirectory = join(directory, name);
    const config = await readRunConfig(runDirectory);
    const result = await readResult(runDirectory);
    if (result === undefined) open.push({ name, runDirectory, config });
    else results.push({ ...result, runDirectory });
  }
  if (open.length === 0 && results.length === 0)
    throw new RequestError(`all runs of ${directory} diverged: nothing to resume`);
  if (open.length === 0) {
    hooks.onNotice?.(`${directory} is complete: nothing to resume`);
    return await finish(directory, group, results, [], workers);
  }
  const [{ config }] = open;
  const ends = await resumeTogether(open, overrides, hooks, {
    directory,
    onPlanned: (plans) => {
      const named = plans.map((plan, i) => ({ name: open[i].name, plan }));
      const { options, setup } = config;
      hooks.onNotice?.(checkMemory(named, options.windowMb * 1e6, sampleBytes(options, setup)));
    },
  });
  results.push(...ends.map(({ result }) => result));
  return await finish(directory, group, results, ends, workers);
}

/** Records what diverged, compares what is complete, and marks the group as complete if all of it is. */
async function finish(
  directory: string,
  group: Group,
  results: readonly TrainResult[],
  ends: readonly RunEnd[],
  workers: number,
): Promise<GroupResult> {
  const diverged = { ...group.diverged };
  for (const { result, diverged: error } of ends) {
    const member = group.members.find(({ name }) => join(directory, name) === result.runDirectory);
    if (error !== undefined && member !== undefined) diverged[member.name] = error.message;
  }
  const now = { ...group, diverged };
  if (Object.keys(diverged).length > Object.keys(group.diverged).length) await writeGroup(directory, now);
  const result = await summariseGroup(directory, now, results, workers);
  if (result.complete) await writeGroupResult(directory, result);
  return result;
}
