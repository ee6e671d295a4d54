/** The model of a run as it stood at a checkpoint, so that a run need not be complete to be looked at. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  allocateMemory,
  BATCH_THRESHOLD,
  metricsOf,
  openArena,
  planRun,
  takeAverages,
} from "@sparseloom/core";
import { selectsOverBatch } from "./calibrate-threshold.ts";
import { RequestError, RunError } from "./errors.ts";
import { isGroup, readGroup } from "./group/group-folder.ts";
import {
  listCheckpoints,
  loadCheckpoint,
  loadNewestCheckpoint,
  type RunState,
  variantsOf,
} from "./run/checkpoint.ts";
import { readRunConfig } from "./run/config.ts";
import { textOf } from "./run/entries.ts";
import type { StepMetrics } from "./run/metrics-log.ts";
import { writeModel } from "./run/model-folder.ts";

/** What `export --json` prints. */
export interface ExportReport {
  readonly out: string;
  /** Steps taken by the checkpoint, and by the whole run. */
  readonly step: number;
  readonly totalSteps: number;
  /** On the training rows of the steps before the checkpoint, since the log's line before; absent where not known. */
  readonly fvu?: number;
  readonly l0?: number;
  readonly dead?: number;
}

/**
 * Writes the model of a run's checkpoint to `out`, folded to raw activations as that of a complete run is. BatchTopK's
 * threshold is training's moving one: nothing is read of the corpus.
 *
 * @param step of the checkpoint. Default: the newest that is intact
 * @param onNotice told of each newer one that is not
 * @throws RequestError if there is no such run or checkpoint, or `out` is taken; RunError if the one asked for is damaged
 */
export async function exportCheckpoint(
  runDirectory: string,
  out: string,
  step?: number,
  onNotice?: (line: string) => void,
): Promise<ExportReport> {
  if (await isGroup(runDirectory)) {
    const [{ name }] = (await readGroup(runDirectory)).members;
    throw new RequestError(
      `${runDirectory} holds several runs: name one, for example ${join(runDirectory, name)}`,
    );
  }
  const config = await readRunConfig(runDirectory);
  const steps = await listCheckpoints(runDirectory);
  if (steps.length === 0) throw new RequestError(`${runDirectory} has no checkpoint yet`);
  if (step !== undefined && !steps.includes(step))
    throw new RequestError(
      `${runDirectory} has no checkpoint of step ${step}: it has those of ${steps.toReversed().join(", ")}`,
    );
  await refuseTaken(out);
  const plan = planRun({ setup: config.setup, workers: 1, slots: 1 });
  const arena = openArena(plan, allocateMemory(plan, { shared: false }).buffer);
  const state =
    step === undefined
      ? await loadNewestCheckpoint(runDirectory, arena, onNotice)
      : await loadCheckpoint(runDirectory, step, arena);
  if (state === undefined) throw new RunError(`the checkpoints of ${runDirectory} were removed meanwhile`);
  takeAverages(arena);
  const metrics = await metricsAt(runDirectory, state);
  const { l0, dead } = metrics ?? {};
  const quality = arena.kind === "sparse" && l0 !== undefined && dead !== undefined ? { l0, dead } : {};
  const threshold =
    arena.kind === "sparse" && selectsOverBatch(arena.model)
      ? ({ mode: "ema", value: arena.batchThreshold[BATCH_THRESHOLD.moving], rows: 0 } as const)
      : undefined;
  const kernelVariants = variantsOf(state, config.kernelVariant);
  await writeModel(
    out,
    arena,
    { ...config, kernelVariants, step: state.step },
    {
      ...quality,
      ...(threshold === undefined ? {} : { threshold }),
    },
  );
  return {
    out,
    step: state.step,
    totalSteps: config.totalSteps,
    ...(metrics === undefined ? {} : { fvu: metrics.fvu }),
    ...quality,
  };
}

async function refuseTaken(path: string): Promise<void> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    if (error.code === "ENOTDIR") throw new RequestError(`--out ${path} is a file: give a folder`);
    throw new RequestError(`--out ${path} cannot be a folder: ${error.message}`, { cause: error });
  });
  if (names.length > 0) throw new RequestError(`--out ${path} is not empty: give another folder`);
}

/** Of the steps before the checkpoint: those that were in no line of the log yet, or else the line that ends there. */
async function metricsAt(
  runDirectory: string,
  { step, pending }: RunState,
): Promise<Pick<StepMetrics, "fvu" | "l0" | "dead"> | undefined> {
  if (pending.steps > 0) return { ...metricsOf(pending.sums), dead: pending.dead };
  const text = await textOf(join(runDirectory, "metrics.jsonl"));
  return (text ?? "")
    .split("\n")
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as StepMetrics];
      } catch {
        // The last line may be cut off.
        return [];
      }
    })
    .find((metrics) => metrics.step === step);
}
