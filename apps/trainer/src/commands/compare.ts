/** `sparseloom compare <runs...>`: which latents models have in common, and how stable each is across seeds. */
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { printResult } from "../json.ts";
import { compareModels } from "../compare/compare-models.ts";
import { describeComparison } from "../compare/describe.ts";
import { openModels } from "../compare/open-models.ts";
import { TaskProgress } from "../task-progress.ts";
import { parseWorkers } from "./arguments.ts";

/** Adds arguments, options and the action to `command`. */
export function defineCompare(command: Command): void {
  command
    .argument("<runs...>", "run directories, model folders, or directories of runs trained together")
    .option("--workers <n>", "worker threads", parseWorkers, availableParallelism())
    .option("--json", "print one JSON object, with all matches")
    .action(async (paths: string[], flags: { workers: number; json?: boolean }) => {
      const models = await openModels(paths);
      using progress = new TaskProgress("comparing");
      const comparison = await compareModels(models, {
        workers: flags.workers,
        onPair: (done, all) => progress.update(done, all),
      });
      printResult(flags.json, comparison, describeComparison);
    });
}
