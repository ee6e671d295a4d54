/** The model of a run as it stood at a checkpoint, so that a run need not be complete to be looked at. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { allocateMemory, BATCH_THRESHOLD, openArena, planRun, takeAverages } from "@sparseloom/core";
import { selectsOverBatch } from "./calibrate-threshold.ts";
import { RequestError } from "./errors.ts";
import { listCheckpoints, loadCheckpoint, variantsOf } from "./run/checkpoint.ts";
import { readRunConfig } from "./run/config.ts";
import type { StepMetrics } from "./run/metrics-log.ts";
import { writeModel } from "./run/model-folder.ts";

/** What `export --json` prints. */
export interface ExportReport {
  readonly out: string;
  /** Steps taken by the checkpoint, and by the whole run. */
  readonly step: number;
  readonly totalSteps: number;
  /** Of the last line of the log up to there, on training rows; absent where there is none. */
  readonly fvu?: number;
  readonly l0?: number;
  readonly dead?: number;
}

/**
 * Writes the model of a run's checkpoint to `out`, folded to raw activations as that of a complete run is. BatchTopK's
 * threshold is training's moving one: nothing is read of the corpus.
 *
 * @param step of the checkpoint. Default: the newest
 * @throws RequestError if there is no such run or checkpoint, or `out` is taken; RunError if the checkpoint is damaged
 */
export async function exportCheckpoint(
  runDirectory: string,
  out: string,
  step?: number,
): Promise<ExportReport> {
  const config = await readRunConfig(runDirectory);
  const steps = await listCheckpoints(runDirectory);
  const chosen = step ?? steps[0];
  if (chosen === undefined) throw new RequestError(`${runDirectory} has no checkpoint yet`);
  if (!steps.includes(chosen))
    throw new RequestError(
      `${runDirectory} has no checkpoint of step ${chosen}: it has those of ${steps.toReversed().join(", ") || "none"}`,
    );
  await refuseTaken(out);
  const plan = planRun({ setup: config.setup, workers: 1, slots: 1 });
  const arena = openArena(plan, allocateMemory(plan, { shared: false }).buffer);
  const state = await loadCheckpoint(runDirectory, chosen, arena);
  takeAverages(arena);
  const metrics = await metricsUpTo(runDirectory, chosen);
  const { fvu, l0, dead } = metrics ?? { fvu: NaN, l0: 0, dead: 0 };
  const threshold =
    arena.kind === "sparse" && selectsOverBatch(arena.model)
      ? ({ mode: "ema", value: arena.batchThreshold[BATCH_THRESHOLD.moving], rows: 0 } as const)
      : undefined;
  const kernelVariants = variantsOf(state, config.kernelVariant);
  await writeModel(
    out,
    arena,
    { ...config, kernelVariants },
    {
      l0,
      dead,
      ...(threshold === undefined ? {} : { threshold }),
    },
  );
  return {
    out,
    step: chosen,
    totalSteps: config.totalSteps,
    ...(metrics === undefined ? {} : arena.kind === "sparse" ? { fvu, l0, dead } : { fvu }),
  };
}

async function refuseTaken(path: string): Promise<void> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new RequestError(`--out ${path} cannot be a folder: ${error.message}`, { cause: error });
  });
  if (names.length > 0) throw new RequestError(`--out ${path} is not empty: give another folder`);
}

/** The last line of the log that is about no step after `step`. */
async function metricsUpTo(runDirectory: string, step: number): Promise<StepMetrics | undefined> {
  const text = await readFile(join(runDirectory, "metrics.jsonl"), "utf8").catch(() => "");
  return text
    .split("\n")
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as StepMetrics];
      } catch {
        // The last line may be cut off.
        return [];
      }
    })
    .findLast((metrics) => metrics.step <= step);
}
