/** PyTorch's training beside ours: the same first state, rows, mini-batches, schedules and λ. */
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { LineProcess } from "../src/line-process.ts";
import type { RowFiles, SeedRuns, Workbench } from "./workbench.ts";

const python = process.env["SPARSELOOM_PYTHON"] ?? "python3";
/** Training of one model may take its time on a busy machine. */
const TIMEOUT_MS = 3_600_000;

/** Whether there is a Python that can import torch. */
export function hasPyTorch(): boolean {
  return spawnSync(python, ["-c", "import torch"], { stdio: "ignore" }).status === 0;
}

/** What to say where there is none. */
export const WITHOUT_PYTORCH: string =
  "PyTorch is left out: python3 -m pip install torch   (or SPARSELOOM_PYTHON=<a Python that has it>)";

/** What PyTorch trained. */
export interface TheirRuns {
  /** Model folders, in the order of the runs. */
  readonly models: readonly string[];
  readonly seconds: number;
  readonly version: string;
}

/**
 * Trains by PyTorch what `runs` trained: from their checkpoints after the first step on.
 *
 * @param rows the rows that they saw, in their order
 */
export async function trainByPyTorch(
  bench: Workbench,
  { runs }: SeedRuns,
  rows: RowFiles,
  threads: number,
  onModel: (done: number, all: number) => void,
): Promise<TheirRuns> {
  await using process = new LineProcess({
    name: "PyTorch",
    command: python,
    arguments: [join(import.meta.dirname, "torch_train.py")],
    timeoutMs: TIMEOUT_MS,
  });
  const models: string[] = [];
  let seconds = 0;
  let version = "";
  for (const run of runs) {
    const { setup } = JSON.parse(await readFile(join(run, "config.json"), "utf8")) as { setup: object };
    const folder = await bench.folderLike(run);
    const train = {
      setup,
      state: join(run, "checkpoints", "1", "state.safetensors"),
      rows: rows.train,
      heldOut: rows.heldOut,
      out: join(folder, "sae_weights.safetensors"),
      threads,
    };
    const answer = await process.ask<{ readonly seconds: number; readonly version: string }>({ train });
    seconds += answer.seconds;
    version = answer.version;
    models.push(folder);
    onModel(models.length, runs.length);
  }
  return { models, seconds, version };
}
