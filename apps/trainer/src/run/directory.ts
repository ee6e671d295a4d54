/** The run directory: `config.json`, `metrics.jsonl`, `checkpoints/`, `model/`, `result.json`. */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { RequestError } from "../errors.ts";
import type { TrainResult } from "./result.ts";
import type { RunConfig } from "./config.ts";
import { writeFileWhole } from "./write-folder.ts";

/** Makes an empty run directory. Throws a RequestError when the place is taken. */
export async function claimRunDirectory(path: string): Promise<void> {
  let names: string[];
  try {
    await mkdir(path, { recursive: true });
    names = await readdir(path);
  } catch (error) {
    throw new RequestError(`${path} cannot be made a run directory: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (names.length > 0)
    throw new RequestError(
      `${path} is not empty: give another --out, or continue the run with --resume ${path}`,
    );
}

function json(value: unknown): Uint8Array[] {
  return [new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`)];
}

export async function writeConfig(runDirectory: string, config: RunConfig): Promise<void> {
  await writeFileWhole(join(runDirectory, "config.json"), json(config));
}

/** Marks a run as complete. */
export async function writeResult(runDirectory: string, result: TrainResult): Promise<void> {
  await writeFileWhole(join(runDirectory, "result.json"), json(result));
}

/** The result of a complete run; undefined while it is not. */
export async function readResult(runDirectory: string): Promise<TrainResult | undefined> {
  try {
    return JSON.parse(await readFile(join(runDirectory, "result.json"), "utf8")) as TrainResult;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
