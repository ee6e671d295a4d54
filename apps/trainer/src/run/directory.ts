/** The run directory: `config.json`, `metrics.jsonl`, `checkpoints/`, `model/`, `result.json`. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { RequestError, shellQuoted } from "../errors.ts";
import { jsonParts } from "../json.ts";
import { namesIn, textOf } from "./entries.ts";
import { LOCK_FILE, RunLock } from "./lock.ts";
import type { TrainResult } from "./result.ts";
import type { RunConfig } from "./config.ts";
import { writeFileWhole } from "./write-folder.ts";

/** Throws a RequestError if `path` holds anything, or is no directory. Nothing there is fine. */
export async function refuseTakenDirectory(path: string): Promise<void> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    if (error.code === "ENOTDIR") throw new RequestError(`${path} is a file: give another --out`);
    throw new RequestError(`${path} cannot be made a run directory: ${error.message}`, { cause: error });
  });
  if (names.some((name) => name !== LOCK_FILE && !name.startsWith(`${LOCK_FILE}.`))) {
    throw new RequestError(
      `${path} is not empty: give another --out, or continue the run with --resume ${shellQuoted(path)}`,
    );
  }
}

/** Makes an empty run directory and takes its lock. Throws a RequestError when the place is taken. */
export async function claimRunDirectory(path: string): Promise<RunLock> {
  await mkdir(path, { recursive: true }).catch((error: Error) => {
    throw new RequestError(`${path} cannot be made a run directory: ${error.message}`, { cause: error });
  });
  const lock = await RunLock.acquire(path);
  try {
    await refuseTakenDirectory(path);
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
  return lock;
}

/** Removes what a process that was killed while writing has left behind. Needs the directory's lock. */
export async function removeLeftovers(runDirectory: string): Promise<void> {
  for (const folder of [runDirectory, join(runDirectory, "checkpoints")]) {
    for (const name of (await namesIn(folder)).filter((name) => /\.(partial|old)$/.test(name)))
      await rm(join(folder, name), { recursive: true });
  }
}

export async function writeConfig(runDirectory: string, config: RunConfig): Promise<void> {
  await writeFileWhole(join(runDirectory, "config.json"), jsonParts(config));
}

/** Marks a run as complete. */
export async function writeResult(runDirectory: string, result: TrainResult): Promise<void> {
  await writeFileWhole(join(runDirectory, "result.json"), jsonParts(result));
}

/** The result of a complete run; undefined while it is not. */
export async function readResult(runDirectory: string): Promise<TrainResult | undefined> {
  const path = join(runDirectory, "result.json");
  const text = await textOf(path);
  if (text === undefined) return undefined;
  const damaged = (cause: unknown): RequestError =>
    new RequestError(`${path} is damaged: remove it, and the run is measured again by --resume`, { cause });
  let result: Partial<TrainResult> | null;
  try {
    result = JSON.parse(text) as Partial<TrainResult> | null;
  } catch (error) {
    throw damaged(error);
  }
  const { steps, examples, seconds, complete } = result ?? {};
  if (complete !== true || ![steps, examples, seconds].every((one) => typeof one === "number"))
    throw damaged(undefined);
  return result as TrainResult;
}
