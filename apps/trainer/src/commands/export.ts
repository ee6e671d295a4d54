/** `sparseloom export <run>`: the model of a checkpoint, of a run that need not be complete. */
import type { Command } from "commander";
import { exportCheckpoint, type ExportReport } from "../export.ts";
import { printResult } from "../json.ts";
import { formatCount } from "../progress.ts";
import { parseCount } from "./arguments.ts";

/** Adds arguments, options and the action to `command`. */
export function defineExport(command: Command): void {
  command
    .argument("<run>", "run directory")
    .requiredOption("--out <folder>", "where to write the model folder (SAELens format)")
    .option("--step <n>", "step of the checkpoint (default: the newest that is intact)", parseCount)
    .option("--json", "print one JSON object")
    .action(async (run: string, flags: { out: string; step?: number; json?: boolean }) => {
      const report = await exportCheckpoint(run, flags.out, flags.step, (line) =>
        process.stderr.write(`${line}\n`),
      );
      printResult(flags.json, report, describeExport);
    });
}

function describeExport({ out, step, totalSteps, fvu, l0 }: ExportReport): string {
  const figures =
    fvu === undefined
      ? ""
      : `; last logged on training rows: FVU ${fvu.toFixed(3)}${l0 === undefined ? "" : `, L0 ${l0.toFixed(1)}`}`;
  return `${out}: the model at step ${formatCount(step)} of ${formatCount(totalSteps)}${figures}`;
}
