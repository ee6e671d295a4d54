/** `sparseloom corpus info`: schema, rows, dimensions, blocks, statistics and sample labels. */
import {
  type Corpus,
  type CorpusStatistics,
  estimateStatistics,
  fullStatistics,
  openCorpus,
  readStatistics,
  writeStatistics,
} from "@sparseloom/data";
import type { Command } from "commander";
import { formatCount } from "../../progress.ts";
import { formatTable } from "../../table.ts";

/** Adds the command to the group `corpus`. */
export function addCorpusInfo(corpus: Command): void {
  corpus
    .command("info")
    .description("schema, rows, dimensions, blocks, statistics and sample labels")
    .argument("<corpus...>", "Arrow IPC files or globs")
    .option("--column <name>", "vector column (default: the only one there is)")
    .option("--full", "statistics over all rows, kept beside the corpus for later runs")
    .option("--json", "print one JSON object")
    .action(runInfo);
}

interface InfoFlags {
  readonly column?: string;
  readonly full?: boolean;
  readonly json?: boolean;
}

async function runInfo(patterns: string[], flags: InfoFlags): Promise<void> {
  await using corpus = await openCorpus(patterns, flags.column === undefined ? {} : { column: flags.column });
  const statistics = await statisticsOf(corpus, flags.full === true);
  const samples = await sampleLabels(corpus);
  if (flags.json) {
    const { files, rows, dIn, column, type, labels, ignoredColumns, blocks, rowsPerBlock, fingerprint } =
      corpus;
    const report = {
      files,
      rows,
      dIn,
      column,
      type,
      labels,
      ignoredColumns,
      blocks: blocks.length,
      rowsPerBlock,
      fingerprint,
      statistics,
      samples,
    };
    process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  } else {
    process.stdout.write(`${describeCorpus(corpus, statistics, samples)}\n`);
  }
}

async function statisticsOf(corpus: Corpus, full: boolean): Promise<CorpusStatistics> {
  if (full) {
    const statistics = await fullStatistics(corpus, { seed: 0 });
    const path = await writeStatistics(corpus, statistics);
    process.stderr.write(`statistics kept in ${path}\n`);
    return statistics;
  }
  return (await readStatistics(corpus)) ?? (await estimateStatistics(corpus, { seed: 0 }));
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
  statistics: CorpusStatistics,
  samples: Record<string, string[]>,
): string {
  const number = (value: number): string => (Number.isFinite(value) ? value.toPrecision(5) : String(value));
  const files = corpus.files.map((file) => [
    file.path,
    file.format,
    formatCount(file.rows),
    formatCount(file.batches),
    `${(file.size / 1e6).toFixed(1)}`,
  ]);
  const how = statistics.exact
    ? `all ${formatCount(statistics.sampledRows)} rows`
    : `a sample of ${formatCount(statistics.sampledRows)} rows`;
  return [
    formatTable(["file", "format", "rows", "batches", "MB"], files),
    "",
    `vectors   column "${corpus.column}", ${formatCount(corpus.rows)} rows × ${corpus.dIn} dimensions, ${corpus.type}`,
    `blocks    ${formatCount(corpus.blocks.length)} of at most ${formatCount(corpus.rowsPerBlock)} rows`,
    ...corpus.labels.map(({ name, type }) => `label     "${name}" (${type}): ${samples[name]?.join(", ")} …`),
    ...corpus.ignoredColumns.map(({ name, why }) => `ignored   "${name}": ${why}`),
    `statistics from ${how}:`,
    `  mean norm ${number(statistics.meanNorm)}, about the mean ${number(statistics.meanCentredNorm)}`,
    `  total variance ${number(statistics.totalVariance)}`,
    `  γ = ‖mean‖/sd ${number(statistics.gamma)}${statistics.gamma > 1 ? " (high: centre the rows, which is the default, or latents will die)" : ""}`,
    `fingerprint ${corpus.fingerprint}`,
  ].join("\n");
}
