/**
 * Statistics of a corpus, from a seeded sample of blocks or from all of them in one pass. Sums are float64, in row
 * order, so the figures depend on nothing but corpus and options. Memory: a block, as stored and as float32.
 */
import { valueBytes } from "./arrow/vector-column.ts";
import type { Block } from "./blocks.ts";
import { ColumnAccumulators } from "./column-statistics.ts";
import type { ColumnStatistics } from "./column-statistics.ts";
import type { Corpus, RowPlace } from "./corpus.ts";
import { readAhead } from "./concurrently.ts";
import { CorpusError } from "./errors.ts";
import { PilotAccumulator } from "./pilot.ts";
import type { ProvisionalStatistics } from "./pilot.ts";
import { blocksInFlight } from "./remote/address.ts";
import { Purpose, permutation } from "./random.ts";
import { resolveSplit, selectByLabels } from "./split.ts";
import type { ResolvedSplit, SplitOptions } from "./split.ts";
import { StatisticsAccumulator } from "./statistics-accumulator.ts";
import type { RowStatistics } from "./statistics-accumulator.ts";
import { nonFinite } from "./stream.ts";
import { createRowWriter, rawValues, rowTarget } from "./transform.ts";
import type { RowTransform } from "./transform.ts";

/** Statistics of the finite rows x: untransformed, unless LayerNorm was asked for. */
export interface CorpusStatistics extends RowStatistics {
  /** Rows of the corpus, all splits together. */
  readonly rows: number;
  /** Rows that the figures come from. */
  readonly sampledRows: number;
  /** True when every row of the split was used. */
  readonly exact: boolean;
  readonly source: "sample" | "full";
  /** Rows that filters left out of those read. */
  readonly filteredRows: number;
  /** Rows with a number that is not finite, left out of all figures. */
  readonly nonFiniteRows: number;
  /** Where they are: the first ten. */
  readonly nonFinitePlaces: readonly RowPlace[];
  /** The same of each column's vectors, where a row is those of several. */
  readonly columns?: readonly ColumnStatistics[];
}

/** Options of the statistics functions. */
export interface StatisticsOptions extends SplitOptions {
  /** Of rows after LayerNorm: the widths of the vectors in a row, see `RowTransform`. Default: of the rows as stored. */
  readonly layerNorm?: readonly number[] | undefined;
  /** What to do about numbers that are not finite: stop with an error, or count their rows. Default: `throw`. */
  readonly nonFinite?: "throw" | "count" | undefined;
  /** Called after each block of the main pass. */
  readonly onProgress?: ((rowsRead: number, rowsToRead: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Options of `estimateStatistics`. */
export interface EstimateOptions extends StatisticsOptions {
  /** Rows to sample at least, where there are so many; whole blocks are taken. Default: 100,000. */
  readonly sampleRows?: number | undefined;
}

const DEFAULT_SAMPLE_ROWS = 100_000;
/** For the provisional mean: it is then off by less than 1 % of the rows' standard deviation. */
const PILOT_ROWS = 16_384;
const MOST_PLACES = 10;

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
  const chosen = await sampleBlocks(corpus, wanted, options);
  // So few are read twice: the provisional mean is the mean itself.
  return measure(corpus, chosen, chosen, options);
}

/** Statistics of every row of the split, in one pass after a glance at a few blocks. Errors as `estimateStatistics`. */
export async function fullStatistics(corpus: Corpus, options: StatisticsOptions): Promise<CorpusStatistics> {
  return measure(corpus, await sampleBlocks(corpus, PILOT_ROWS, options), corpus.blocks, options);
}

/** Blocks with at least `wanted` rows of the split, if there are so many; in file order. */
async function sampleBlocks(
  corpus: Corpus,
  wanted: number,
  options: StatisticsOptions,
): Promise<readonly Block[]> {
  const split = resolveSplit(corpus, options);
  const chosen: Block[] = [];
  let rows = 0;
  for (const index of permutation(corpus.blocks.length, options.seed, Purpose.statisticsSample)) {
    if (rows >= wanted) break;
    const block = corpus.blocks.at(index)!;
    rows += (await selectByLabels(corpus, block, split, options.signal)).rows.length;
    chosen.push(block);
  }
  return chosen.sort((a, b) => a.index - b.index);
}

async function measure(
  corpus: Corpus,
  pilotBlocks: readonly Block[],
  blocks: Iterable<Block> & { readonly length: number },
  options: StatisticsOptions,
): Promise<CorpusStatistics> {
  const split = resolveSplit(corpus, options);
  const exact = blocks.length === corpus.blocks.length;
  const accumulator = new StatisticsAccumulator(
    corpus.dIn,
    await provisionalStatistics(corpus, pilotBlocks, split, options),
  );
  const columns = corpus.columns.length > 1 ? new ColumnAccumulators(corpus.columns) : undefined;
  const nonFinitePlaces: RowPlace[] = [];
  let rowsToRead = 0;
  for (const block of blocks) rowsToRead += block.rows;
  let rowsRead = 0;
  let filteredRows = 0;
  for await (const { block, kept, filtered, values } of readBlocks(corpus, blocks, split, options)) {
    const left = new Set<number>();
    accumulator.add(values, kept.length, (i) => {
      left.add(i);
      const rowId = block.firstRow + kept[i]!;
      const row = values.subarray(i * corpus.dIn, (i + 1) * corpus.dIn);
      if (options.nonFinite !== "count") throw nonFinite(corpus, rowId, row);
      if (nonFinitePlaces.length < MOST_PLACES) nonFinitePlaces.push(corpus.locate(rowId));
    });
    columns?.add(values, kept.length, left);
    filteredRows += filtered;
    rowsRead += block.rows;
    options.onProgress?.(rowsRead, rowsToRead);
  }
  if (accumulator.rows === 0) throw noRows(split, filteredRows, accumulator.nonFiniteRows);
  return {
    rows: corpus.rows,
    sampledRows: accumulator.rows,
    exact,
    source: exact ? "full" : "sample",
    ...accumulator.finish(),
    filteredRows,
    nonFiniteRows: accumulator.nonFiniteRows,
    nonFinitePlaces,
    ...(columns === undefined ? {} : { columns: columns.finish() }),
  };
}

function noRows({ split }: ResolvedSplit, filteredRows: number, nonFiniteRows: number): CorpusError {
  const why = [
    ...(filteredRows > 0 ? [`the filters leave out ${filteredRows}`] : []),
    ...(nonFiniteRows > 0 ? [`${nonFiniteRows} have numbers that are not finite`] : []),
  ];
  const what = `there are no rows in the split "${split}" to take statistics of`;
  return new CorpusError("empty", [what, ...why].join("; "));
}

/** Undefined when none of the rows is finite, or there is none. */
async function provisionalStatistics(
  corpus: Corpus,
  blocks: readonly Block[],
  split: ResolvedSplit,
  options: StatisticsOptions,
): Promise<ProvisionalStatistics | undefined> {
  const pilot = new PilotAccumulator(corpus.dIn);
  for await (const { kept, values } of readBlocks(corpus, blocks, split, options)) {
    for (let i = 0; i < kept.length; i++) pilot.addRow(values, i * corpus.dIn);
  }
  return pilot.finish();
}

/** The rows of a block that belong to the split, as float32. */
interface ReadBlock {
  readonly block: Block;
  /** Their indices in the block. */
  readonly kept: Uint32Array;
  /** How many the filters leave out. */
  readonly filtered: number;
  /** `[kept.length, dIn]`, finite or not; in buffers used again, so nobody may keep it. */
  readonly values: Float32Array;
}

async function* readBlocks(
  corpus: Corpus,
  blocks: Iterable<Block> & { readonly length: number },
  split: ResolvedSplit,
  { signal, layerNorm }: StatisticsOptions,
): AsyncGenerator<ReadBlock> {
  const { dIn, type, rowsPerBlock } = corpus;
  const slots = Array.from({ length: Math.min(blocksInFlight(corpus.files), blocks.length) }, () => {
    const bytes = new Uint8Array(rowsPerBlock * dIn * valueBytes(type));
    return { bytes, stored: rawValues(type, bytes.buffer, 0, rowsPerBlock * dIn) };
  });
  const reading = readAhead(blocks, slots.length, async (block, slot) => {
    const { bytes, stored } = slots[slot]!;
    const selected = await selectByLabels(corpus, block, split, signal);
    if (selected.rows.length > 0) await corpus.readBlock(block, bytes, signal);
    return { block, selected, stored };
  });
  const transform: RowTransform = { mean: undefined, scale: 1, layerNorm };
  const writeRow = createRowWriter(type, dIn, transform);
  const target = rowTarget(new Float32Array(rowsPerBlock * dIn));
  const isWithinNorm = split.filters?.isWithinNorm;
  for await (const { block, selected, stored } of reading) {
    const kept =
      isWithinNorm === undefined
        ? selected.rows
        : selected.rows.filter((row) => isWithinNorm(stored, row * dIn));
    const filtered = selected.filtered + selected.rows.length - kept.length;
    const asStored = layerNorm === undefined && stored instanceof Float32Array && kept.length === block.rows;
    if (!asStored) for (const [i, index] of kept.entries()) writeRow(stored, index * dIn, target, i * dIn);
    yield { block, kept, filtered, values: asStored ? stored : target.values };
  }
}
