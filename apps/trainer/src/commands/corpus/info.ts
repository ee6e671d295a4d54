/** `sparseloom corpus info`: schema, rows, dimensions, blocks, statistics and sample labels. */
import { availableParallelism } from "node:os";
import {
  type Corpus,
  type CorpusStatistics,
  estimateStatistics,
  fullStatistics,
  planWindows,
  readStatistics,
  type WindowPlan,
  writeStatistics,
} from "@sparseloom/data";
import type { Command } from "commander";
import { jsonText } from "../../json.ts";
import { addFlags, givenFilters } from "../../flags.ts";
import { openInput } from "../../open-corpus.ts";
import { DEFAULT_WINDOW_MB } from "../../options/rows.ts";
import { counted, formatCount } from "../../progress.ts";
import {
  type FilterRequest,
  filterShape,
  type RecordedFilters,
  resolveFilterRequest,
} from "../../row-filters.ts";
import { BLOCK_BYTES } from "../../run/resolve.ts";
import { describeWindows } from "../../run/describe-windows.ts";
import { formatTable } from "../../table.ts";
import { TaskProgress } from "../../task-progress.ts";
import { addColumnFlags, type ColumnFlags, columnOf } from "../arguments.ts";
import { describeStatistics, statisticsWarnings } from "./describe-statistics.ts";

/** Adds the command to the group `corpus`. */
export function addCorpusInfo(corpus: Command): void {
  const command = corpus
    .command("info")
    .description("schema, rows, dimensions, blocks, statistics and sample labels")
    .argument("<corpus...>", "Arrow files, folders or globs");
  addColumnFlags(command)
    .option("--full", "statistics over all rows, kept beside the corpus for later runs")
    .option("--json", "print one JSON object");
  addFlags(command, filterShape);
  command.action(async (patterns: string[], flags: InfoFlags) => {
    await runInfo(patterns, flags, givenFilters(command));
  });
}

interface InfoFlags extends ColumnFlags {
  readonly full?: boolean;
  readonly json?: boolean;
}

/** Rows that are not finite are counted: whoever looks at a corpus wants to know of them all. */
const STATISTICS = { seed: 0, nonFinite: "count" } as const;

async function runInfo(patterns: string[], flags: InfoFlags, request: FilterRequest): Promise<void> {
  await using corpus = await openInput(patterns, availableParallelism(), {
    column: columnOf(flags),
    blockBytes: BLOCK_BYTES,
  });
  const windows = planWindows(corpus, { windowBytes: DEFAULT_WINDOW_MB * 1e6 });
  const filters = await resolveFilterRequest(corpus, request, STATISTICS);
  const statistics = await statisticsOf(corpus, filters, flags.full === true);
  const warnings = statisticsWarnings(statistics);
  const samples = await sampleLabels(corpus);
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  if (flags.json) {
    const { files, rows, dIn, column, columns, type, notes, labels, ignoredColumns, blocks } = corpus;
    const { rowsPerBlock, fingerprint } = corpus;
    const report = {
      files,
      rows,
      dIn,
      column,
      columns,
      type,
      notes,
      labels,
      ignoredColumns,
      blocks: blocks.length,
      rowsPerBlock,
      windows,
      fingerprint,
      filters: filters ?? null,
      statistics,
      warnings,
      samples,
    };
    process.stdout.write(jsonText(report));
  } else {
    process.stdout.write(`${describeCorpus(corpus, windows, statistics, samples)}\n`);
  }
}

async function statisticsOf(
  corpus: Corpus,
  filters: RecordedFilters | undefined,
  full: boolean,
): Promise<CorpusStatistics> {
  const options = { ...STATISTICS, filters };
  if (!full) return (await readStatistics(corpus, filters)) ?? (await estimateStatistics(corpus, options));
  using progress = new TaskProgress("reading all rows");
  const onProgress = (rows: number, all: number): void => progress.update(rows, all);
  const statistics = await fullStatistics(corpus, { ...options, onProgress });
  const path = await writeStatistics(corpus, statistics, filters);
  progress[Symbol.dispose]();
  process.stderr.write(`statistics kept in ${path}\n`);
  return statistics;
}

const SAMPLE_ROWS = 8;

async function sampleLabels(corpus: Corpus): Promise<Record<string, string[]>> {
  const [block] = corpus.blocks;
  const names = corpus.labels.map(({ name }) => name);
  if (block === undefined || names.length === 0) return {};
  const values = await corpus.readLabels(block, names);
  return Object.fromEntries(
    [...values].map(([name, column]) => [name, [...column].slice(0, SAMPLE_ROWS).map(String)]),
  );
}

function describeCorpus(
  corpus: Corpus,
  windows: WindowPlan,
  statistics: CorpusStatistics,
  samples: Record<string, string[]>,
): string {
  const files = corpus.files.map((file) => [
    file.path,
    file.format,
    formatCount(file.rows),
    formatCount(file.batches),
    `${(file.size / 1e6).toFixed(1)}`,
  ]);
  return [
    formatTable(["file", "format", "rows", "batches", "MB"], files),
    "",
    ...corpus.columns.map(
      ({ name, dIn }) =>
        `vectors   column "${name}", ${counted(corpus.rows, "row")} × ${counted(dIn, "dimension")}, ${corpus.type}`,
    ),
    `blocks    ${formatCount(corpus.blocks.length)} of at most ${counted(corpus.rowsPerBlock, "row")}`,
    `shuffle   ${describeWindows(windows)}`,
    ...corpus.notes.map((note) => `note      ${note}`),
    ...corpus.labels.map(
      ({ name, type }) => `label     "${name}" (${type}): ${samples[name]?.map(onOneLine).join(", ")} …`,
    ),
    ...corpus.ignoredColumns.map(({ name, why }) => `ignored   "${name}": ${why}`),
    ...describeStatistics(statistics),
    `fingerprint ${corpus.fingerprint}`,
  ].join("\n");
}

/** A label that reads as one: in quotes where it has commas, spaces at an end, or control characters. */
function onOneLine(label: string): string {
  const quoted = JSON.stringify(label);
  return quoted.includes("\\") || label.includes(",") || label.trim() !== label ? quoted : label;
}
