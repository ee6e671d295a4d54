/**
 * Mean, variance and norms of a corpus, from a seeded sample of blocks or from all of them. Sums are float64, in
 * row order, so the figures depend on nothing but corpus and options. Memory: one block.
 */
import { valueBytes } from "./arrow/vector-column.ts";
import type { Block } from "./blocks.ts";
import type { Corpus } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { Purpose, permutation } from "./random.ts";
import { keptRowsOf, resolveSplit } from "./split.ts";
import type { ResolvedSplit, SplitOptions } from "./split.ts";
import { nonFinite } from "./stream.ts";
import { createRowWriter, rawValues, rowTarget } from "./transform.ts";

/** Statistics of the untransformed rows x; mu is their mean. */
export interface CorpusStatistics {
  /** Rows of the corpus, all splits together. */
  readonly rows: number;
  /** Rows that the figures come from. */
  readonly sampledRows: number;
  /** True when every row of the split was used. */
  readonly exact: boolean;
  readonly dIn: number;
  /** mu, `[dIn]`. */
  readonly mean: readonly number[];
  /** Mean of ||x - mu||^2. */
  readonly totalVariance: number;
  /** Mean of ||x||. */
  readonly meanNorm: number;
  /** Mean of ||x||^2. */
  readonly meanSquareNorm: number;
  /** Mean of ||x - mu||. */
  readonly meanCentredNorm: number;
  /** ||mu|| / sqrt(totalVariance): how far the mean stands out. Infinity when all rows are equal. */
  readonly gamma: number;
  readonly source: "sample" | "full";
}

/** Options of the statistics functions. */
export interface StatisticsOptions extends SplitOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Options of `estimateStatistics`. */
export interface EstimateOptions extends StatisticsOptions {
  /** Rows to sample at least, where there are so many; whole blocks are taken. Default: 100,000. */
  readonly sampleRows?: number | undefined;
}

const DEFAULT_SAMPLE_ROWS = 100_000;

/**
 * Statistics from a seeded sample of blocks; of all blocks, and `exact`, when the split has no more rows than asked.
 * @throws CorpusError non-finite (with the place), empty, and read errors.
 */
export async function estimateStatistics(
  corpus: Corpus,
  options: EstimateOptions,
): Promise<CorpusStatistics> {
  const wanted = options.sampleRows ?? DEFAULT_SAMPLE_ROWS;
  if (!(wanted >= 1)) {
    throw new CorpusError("invalid-option", `sampleRows must be at least 1, got ${wanted}`);
  }
  const split = resolveSplit(corpus, options);
  const order = permutation(corpus.blocks.length, options.seed, Purpose.statisticsSample);
  const chosen: Block[] = [];
  let rows = 0;
  for (const index of order) {
    if (rows >= wanted) break;
    const block = corpus.blocks[index]!;
    rows += (await keptRowsOf(corpus, block, split, options.signal)).length;
    chosen.push(block);
  }
  chosen.sort((a, b) => a.index - b.index);
  const exact = chosen.length === corpus.blocks.length;
  return measure(corpus, chosen, split, exact, exact ? "full" : "sample", options.signal);
}

/** Statistics of every row of the split. Reads it twice. Errors as `estimateStatistics`. */
export async function fullStatistics(corpus: Corpus, options: StatisticsOptions): Promise<CorpusStatistics> {
  return measure(corpus, corpus.blocks, resolveSplit(corpus, options), true, "full", options.signal);
}

async function measure(
  corpus: Corpus,
  blocks: readonly Block[],
  split: ResolvedSplit,
  exact: boolean,
  source: "sample" | "full",
  signal: AbortSignal | undefined,
): Promise<CorpusStatistics> {
  const { dIn } = corpus;
  const sum = new Float64Array(dIn);
  let sampledRows = 0;
  let normSum = 0;
  let squareSum = 0;
  await eachRow(corpus, blocks, split, signal, (row) => {
    let square = 0;
    for (let i = 0; i < dIn; i++) {
      const x = row[i]!;
      sum[i]! += x;
      square += x * x;
    }
    sampledRows++;
    squareSum += square;
    normSum += Math.sqrt(square);
  });
  if (sampledRows === 0) {
    throw new CorpusError("empty", `there are no rows in the split "${split.split}" to take statistics of`);
  }
  const mean = sum.map((value) => value / sampledRows);

  let centredNormSum = 0;
  let centredSquareSum = 0;
  await eachRow(corpus, blocks, split, signal, (row) => {
    let square = 0;
    for (let i = 0; i < dIn; i++) {
      const difference = row[i]! - mean[i]!;
      square += difference * difference;
    }
    centredSquareSum += square;
    centredNormSum += Math.sqrt(square);
  });
  const totalVariance = centredSquareSum / sampledRows;
  return {
    rows: corpus.rows,
    sampledRows,
    exact,
    dIn,
    mean: Array.from(mean),
    totalVariance,
    meanNorm: normSum / sampledRows,
    meanSquareNorm: squareSum / sampledRows,
    meanCentredNorm: centredNormSum / sampledRows,
    gamma: gammaOf(mean, totalVariance),
    source,
  };
}

/** ||mean|| / sqrt(totalVariance); 0 when both are 0. */
export function gammaOf(mean: ArrayLike<number>, totalVariance: number): number {
  let square = 0;
  for (let i = 0; i < mean.length; i++) square += mean[i]! * mean[i]!;
  return square === 0 ? 0 : Math.sqrt(square / totalVariance);
}

/** Visits the rows of some blocks as float32, in order; all in one buffer, so a visitor must not keep it. */
async function eachRow(
  corpus: Corpus,
  blocks: readonly Block[],
  split: ResolvedSplit,
  signal: AbortSignal | undefined,
  visit: (row: Float32Array) => void,
): Promise<void> {
  const { dIn, type } = corpus;
  const bytes = new Uint8Array(corpus.rowsPerBlock * dIn * valueBytes(type));
  const values = rawValues(type, bytes.buffer, 0, corpus.rowsPerBlock * dIn);
  const writeRow = createRowWriter(type, dIn);
  const row = new Float32Array(dIn);
  const target = rowTarget(row);
  for (const block of blocks) {
    const kept = await keptRowsOf(corpus, block, split, signal);
    if (kept.length === 0) continue;
    await corpus.readBlock(block, bytes, signal);
    for (const index of kept) {
      if (!writeRow(values, index * dIn, target, 0)) throw nonFinite(corpus, block.firstRow + index, row);
      visit(row);
    }
  }
}
