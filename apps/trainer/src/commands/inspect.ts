/** `sparseloom inspect <model> <corpus...>`: a table of features and what they respond to. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { jsonParts, printResult } from "../json.ts";
import { inspect, type InspectOptions, type InspectReport } from "../inspect.ts";
import { addFilterFlags, modelFiltersOf } from "../flags.ts";
import { counted, formatCount } from "../progress.ts";
import { isFile } from "../run/entries.ts";
import { writeFileWhole } from "../run/write-folder.ts";
import { formatTable } from "../table.ts";
import { describeFiltered } from "../row-filters.ts";
import {
  addColumnFlags,
  type ColumnFlags,
  columnOf,
  parseCount,
  parseLatents,
  parseWorkers,
} from "./arguments.ts";

/** Adds arguments, options and the action to `command`. */
export function defineInspect(command: Command): void {
  command
    .argument(
      "<model>",
      "model folder (SAELens format) or run directory; in a run directory the report is kept",
    )
    .argument("<corpus...>", "Arrow files, folders or globs");
  addColumnFlags(command, "the model's own, or the only one there is")
    .option("--label <name>", "label column to show (default: the first)")
    .option("--features <n>", "features to show", parseCount, 10)
    .option("--latents <n,n,…>", "show these latents instead of the most coherent features", parseLatents)
    .option(
      "--all",
      "also features active on fewer rows than --top, on more than 5 % of rows, or on a top row of a more coherent one",
    )
    .option("--top <n>", "rows to show of each", parseCount, 8)
    .option("--rows <n>", "rows to look at, at most", parseCount, 1_000_000)
    .option("--workers <n>", "worker threads", parseWorkers, availableParallelism())
    .option("--json", "print one JSON object");
  addFilterFlags(command).action(
    async (
      model: string,
      patterns: string[],
      flags: Omit<InspectOptions, "filters" | "column"> & ColumnFlags & { json?: boolean },
    ) => {
      const filters = modelFiltersOf(command);
      const report = await inspect(model, patterns, { ...flags, column: columnOf(flags), filters });
      await keepReport(model, report);
      for (const warning of report.warnings) process.stderr.write(`warning: ${warning}\n`);
      printResult(flags.json, report, describeFeatures);
    },
  );
}

/** Keeps the report in the run directory, if `path` is one. */
export async function keepReport(path: string, report: InspectReport): Promise<void> {
  if (!(await isFile(join(path, "config.json")))) return;
  await writeFileWhole(join(path, "report", "features.json"), jsonParts(report));
}

/** Characters of a label that are shown. */
const MOST_SHOWN = 80;

/** A label in one line of a table: control characters escaped, which may be commands to a terminal, and cut off. */
function shown(label: string): string {
  const characters = Array.from(label);
  const cut = characters.length > MOST_SHOWN ? [...characters.slice(0, MOST_SHOWN - 1), "…"] : characters;
  return cut
    .map((one) => (/\p{Cc}/u.test(one) ? `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}` : one))
    .join("");
}

/** Why latents are left out, for people. */
const REASONS = {
  rare: "active on fewer rows than --top (--all)",
  dense: "active on more than 5 % of rows (--all)",
  unsampled: "not in the even sample that was looked at",
  overlapping: "with a top row of a more coherent one (--all)",
} as const;

/** The report as a table. */
export function describeFeatures(report: InspectReport): string {
  const rows = report.features.map((feature) => [
    String(feature.latent),
    `${(100 * feature.density).toFixed(2)} %`,
    feature.coherence.toFixed(2),
    ...Object.values(feature.columnNorms ?? {}).map((norm) => norm.toPrecision(2)),
    feature.top.map(({ label }) => shown(label)).join(", "),
  ]);
  const { latents, leftOut, neverActive, order } = report;
  const norms = Object.keys(report.features[0]?.columnNorms ?? {}).map((name) => `‖W_dec‖ ${shown(name)}`);
  const of = `${report.features.length} of ${counted(latents, "feature")}${order === "coherence" ? ", the most coherent first" : ""}`;
  const head = `${of} (${counted(report.rows, "row")}${describeFiltered(report.filteredRows)}, ${formatCount(neverActive)} never active)`;
  const reasons = Object.entries(REASONS).flatMap(([reason, what]) => {
    const count = leftOut[reason as keyof typeof REASONS];
    return count > 0 ? [`${formatCount(count)} ${what}`] : [];
  });
  const others = reasons.length > 0 ? `left out: ${reasons.join("; ")}\n` : "";
  return `${head}\n${others}${formatTable(["feature", "active", "coherence", ...norms, `top ${report.label ?? "rows"}`], rows)}`;
}
