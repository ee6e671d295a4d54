/** `sparseloom corpus info` and `sparseloom corpus generate`. */
import { encodeSafetensors } from "@sparseloom/core";
import {
  type Corpus,
  type CorpusStatistics,
  createSynthetic,
  estimateStatistics,
  fullStatistics,
  openCorpus,
  readStatistics,
  type RowsToWrite,
  type SyntheticOptions,
  writeCorpus,
  writeStatistics,
} from "@sparseloom/data";
import { type Command, Option } from "commander";
import { RequestError } from "../errors.ts";
import { formatCount } from "../progress.ts";
import { writeFileWhole } from "../run/write-folder.ts";
import { formatTable } from "../table.ts";
import { parseAmount, parseCount, parseSeed } from "./arguments.ts";

/** Adds the commands to `program`. */
export function addCorpusCommands(program: Command): void {
  const corpus = program
    .command("corpus")
    .description("look at corpora of activations, and make synthetic ones");
  corpus
    .command("info")
    .description("schema, rows, dimensions, blocks, statistics and sample labels")
    .argument("<corpus...>", "Arrow IPC files or globs")
    .option("--column <name>", "vector column (default: the only one there is)")
    .option("--full", "statistics over all rows, kept beside the corpus for later runs")
    .option("--json", "print one JSON object")
    .action(runInfo);
  corpus
    .command("generate")
    .description("make a synthetic corpus of known features; they are written beside it as safetensors")
    .argument("<file>", "Arrow IPC file to write")
    .requiredOption("--d <n>", "dimension of the activations", parseCount)
    .requiredOption("--features <n>", "number of true features", parseCount)
    .requiredOption("--rows <n>", "number of rows", parseCount)
    .option("--seed <n>", "decides everything random", parseSeed, 0)
    .addOption(
      new Option("--probability <p>", "each feature is active with this probability")
        .argParser(parseAmount)
        .conflicts("active"),
    )
    .option("--active <n>", "exactly this many features are active in each row", parseCount)
    .option("--magnitude <mean>", "mean magnitude of an active feature", parseAmount, 1)
    .option(
      "--spread <width>",
      "sd of the (normal) magnitude, or half-width with --uniform",
      parseAmount,
      0.05,
    )
    .option("--uniform", "magnitudes uniform instead of normal")
    .option("--noise <sd>", "sd of normal noise on every dimension", parseAmount, 0)
    .addOption(
      new Option("--type <type>", "how numbers are stored")
        .choices(["float32", "float16"])
        .default("float32"),
    )
    .option("--overwrite", "replace an existing file")
    .action(runGenerate);
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

interface GenerateFlags {
  readonly d: number;
  readonly features: number;
  readonly rows: number;
  readonly seed: number;
  readonly probability?: number;
  readonly active?: number;
  readonly magnitude: number;
  readonly spread: number;
  readonly uniform?: boolean;
  readonly noise: number;
  readonly type: "float32" | "float16";
  readonly overwrite?: boolean;
}

/** The probability of SAELens's first toy, taken when neither --probability nor --active is given. */
const DEFAULT_PROBABILITY = 0.25;
/** Numbers made at once. */
const CHUNK_NUMBERS = 2 ** 20;

async function runGenerate(path: string, flags: GenerateFlags): Promise<void> {
  const { d: dIn, features, rows, seed, magnitude: mean, spread, noise, type } = flags;
  if (flags.active !== undefined && flags.active > features) {
    throw new RequestError(`--active must be at most --features ${features}, got ${flags.active}`);
  }
  const options: SyntheticOptions = {
    dIn,
    features,
    seed,
    noise,
    active:
      flags.active === undefined
        ? { kind: "bernoulli", probability: flags.probability ?? DEFAULT_PROBABILITY }
        : { kind: "exactly", count: flags.active },
    magnitude: flags.uniform
      ? { kind: "uniform", low: mean - spread, high: mean + spread }
      : { kind: "normal", mean, sd: spread },
  };
  const synthetic = createSynthetic(options);
  const chunkRows = Math.max(1, Math.floor(CHUNK_NUMBERS / dIn));
  function* batches(): Iterable<RowsToWrite> {
    for (let first = 0; first < rows; first += chunkRows) {
      const count = Math.min(chunkRows, rows - first);
      const values = new Float32Array(count * dIn);
      synthetic.fill(values, first, count);
      yield { values };
    }
  }
  const written = await writeCorpus(path, { dIn, type, overwrite: flags.overwrite ?? false }, batches());
  const truth = `${path}.features.safetensors`;
  const metadata = { generator: JSON.stringify(options) };
  await writeFileWhole(truth, [
    encodeSafetensors({ directions: { shape: [features, dIn], data: synthetic.directions } }, metadata),
  ]);
  process.stdout.write(
    `${path}: ${formatCount(written.rows)} rows × ${dIn}, ${(written.bytes / 1e6).toFixed(1)} MB; true features in ${truth}\n`,
  );
}
