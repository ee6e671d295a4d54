/** `sparseloom encode <model> <corpus...>`: the active latents of each row, as an Arrow file. */
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { encodeCorpus, type EncodeOptions, type EncodeReport } from "../encode.ts";
import { addFilterFlags, modelFiltersOf } from "../flags.ts";
import { listenForInterrupts } from "../interrupts.ts";
import { printResult } from "../json.ts";
import { counted } from "../progress.ts";
import { describeFiltered } from "../row-filters.ts";
import { TaskProgress } from "../task-progress.ts";
import { addColumnFlags, type ColumnFlags, columnOf, parseCount, parseWorkers } from "./arguments.ts";

/** Adds arguments, options and the action to `command`. */
export function defineEncode(command: Command): void {
  command
    .argument("<model>", "model folder (SAELens format) or run directory")
    .argument("<corpus...>", "Arrow files, folders or globs");
  addColumnFlags(command, "the model's own, or the only one there is")
    .requiredOption(
      "--out <file.arrow>",
      "file to write: row, latents and values (lists, by row, latents ascending), and the labels",
    )
    .option("--labels <name,name,…>", "label columns to copy (default: all)", (text) => text.split(","))
    .option("--no-labels", "copy no labels")
    .option("--rows <n>", "rows at most, from the first on", parseCount)
    .option("--workers <n>", "worker threads", parseWorkers, availableParallelism())
    .option("--overwrite", "replace an existing file")
    .option("--json", "print one JSON object");
  addFilterFlags(command).action(
    async (
      model: string,
      patterns: string[],
      flags: Omit<EncodeOptions, "filters" | "column" | "labels" | "onProgress" | "signal"> &
        ColumnFlags & { json?: boolean; labels?: readonly string[] | boolean },
    ) => {
      using progress = new TaskProgress(`encoding into ${flags.out}`);
      using interrupts = listenForInterrupts((line) => process.stderr.write(`${line}\n`), {
        does: "stopping",
        before: "before the last row",
      });
      const report = await encodeCorpus(model, patterns, {
        ...flags,
        column: columnOf(flags),
        labels: flags.labels === false ? [] : flags.labels === true ? undefined : flags.labels,
        signal: interrupts.signal,
        filters: modelFiltersOf(command),
        onProgress: (rows, ofRows) => progress.update(rows, ofRows),
      });
      for (const warning of report.warnings) process.stderr.write(`warning: ${warning}\n`);
      printResult(flags.json, report, describeEncoding);
    },
  );
}

function describeEncoding({ out, rows, filteredRows, l0, bytes }: EncodeReport): string {
  return `${out}: ${counted(rows, "row")}${describeFiltered(filteredRows)}, L0 ${l0.toFixed(1)}, ${(bytes / 1e6).toFixed(1)} MB`;
}
