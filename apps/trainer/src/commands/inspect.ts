/** `sparseloom inspect <model> <corpus...>`: a table of features and what they respond to. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { inspect, type InspectOptions, type InspectReport } from "../inspect.ts";
import { addFlags, givenFilters } from "../flags.ts";
import { counted, formatCount } from "../progress.ts";
import { isFile } from "../run/entries.ts";
import { writeFileWhole } from "../run/write-folder.ts";
import { formatTable } from "../table.ts";
import { describeFiltered, filterShape } from "../row-filters.ts";
import { addColumnFlags, type ColumnFlags, columnOf, parseCount, parseWorkers } from "./arguments.ts";

/** Adds arguments, options and the action to `command`. */
export function defineInspect(command: Command): void {
  command
    .argument(
      "<model>",
      "model folder (SAELens format) or run directory; in a run directory the report is kept",
    )
    .argument("<corpus...>", "Arrow files, folders or globs");
  addColumnFlags(command, "those of a model that reads several, else the only one there is")
    .option("--label <name>", "label column to show (default: the first)")
    .option("--features <n>", "features to show", parseCount, 10)
    .option("--top <n>", "rows to show of each", parseCount, 8)
    .option("--rows <n>", "rows to look at, at most", parseCount, 1_000_000)
    .option("--workers <n>", "worker threads", parseWorkers, availableParallelism())
    .option("--json", "print one JSON object");
  addFlags(command, filterShape);
  command
    .option("--no-filters", "look at all rows, whatever the model was trained without")
    .action(
      async (
        model: string,
        patterns: string[],
        flags: Omit<InspectOptions, "filters" | "column"> &
          ColumnFlags & { json?: boolean; filters: boolean },
      ) => {
        const filters = { request: givenFilters(command), useModels: flags.filters };
        const report = await inspect(model, patterns, { ...flags, column: columnOf(flags), filters });
        await keepReport(model, report);
        for (const warning of report.warnings) process.stderr.write(`warning: ${warning}\n`);
        process.stdout.write(
          flags.json ? `${JSON.stringify(report, undefined, 2)}\n` : `${describeFeatures(report)}\n`,
        );
      },
    );
}

/** Keeps the report in the run directory, if `path` is one. */
export async function keepReport(path: string, report: InspectReport): Promise<void> {
  if (!(await isFile(join(path, "config.json")))) return;
  await writeFileWhole(join(path, "report", "features.json"), [
    new TextEncoder().encode(`${JSON.stringify(report, undefined, 2)}\n`),
  ]);
}

/** The report as a table. */
export function describeFeatures(report: InspectReport): string {
  const rows = report.features.map((feature) => [
    String(feature.latent),
    `${(100 * feature.density).toFixed(2)} %`,
    feature.coherence.toFixed(2),
    feature.top.map(({ label }) => label).join(", "),
  ]);
  const rare =
    report.rarelyActive > 0
      ? `, ${formatCount(report.rarelyActive)} on fewer rows than --top and left out`
      : "";
  const head = `${report.features.length} of ${counted(report.latents, "feature")}, the most coherent first (${counted(report.rows, "row")}${describeFiltered(report.filteredRows)}, ${formatCount(report.neverActive)} never active${rare})`;
  return `${head}\n${formatTable(["feature", "active", "coherence", `top ${report.label ?? "rows"}`], rows)}`;
}
