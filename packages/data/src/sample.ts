/**
 * A seeded sample of raw rows, for initialising a model from data. It takes a few rows from each of many blocks,
 * so it is spread over the corpus, and its memory is its own size and one block.
 */
import { valueBytes } from "./arrow/vector-column.ts";
import { areFew } from "./blocks.ts";
import type { Block } from "./blocks.ts";
import type { Corpus } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { Purpose, permutation, shuffleInPlace } from "./random.ts";
import { resolveSplit, selectByLabels } from "./split.ts";
import type { ResolvedSplit, SplitOptions } from "./split.ts";
import { nonFinite } from "./stream.ts";
import { createRowWriter, rawValues, rowTarget } from "./transform.ts";
import type { RawValues, WriteRow } from "./transform.ts";

/** Options of `sampleRows`. */
export interface SampleOptions extends SplitOptions {
  /** How many rows. */
  readonly rows: number;
  readonly signal?: AbortSignal | undefined;
}

/** A sample of rows. */
export interface RowSample {
  /** Fewer than asked when the split has fewer. */
  readonly rows: number;
  /** `[rows, dIn]`, untransformed. Rows of one block are neighbours; blocks are in seeded order. */
  readonly values: Float32Array;
  /** Global index of each row. */
  readonly rowIds: Float64Array;
}

/** Blocks over which a sample is spread at most: 2 GiB to read at 4 MiB a block, some seconds from a disk. */
const SPREAD_BLOCKS = 512;

/**
 * Samples rows of a split without replacement; each block gives about the same share of its rows.
 * @throws CorpusError invalid-option, non-finite (with the place), and read errors.
 */
export async function sampleRows(corpus: Corpus, options: SampleOptions): Promise<RowSample> {
  if (!Number.isInteger(options.rows) || options.rows < 0) {
    throw new CorpusError("invalid-option", `rows must be a whole number, got ${options.rows}`);
  }
  const split = resolveSplit(corpus, options);
  const wanted = Math.min(options.rows, corpus.rows);
  const values = new Float32Array(wanted * corpus.dIn);
  const rowIds = new Float64Array(wanted);
  const share = Math.min(1, wanted / expectedRows(corpus, split));
  const memory = createMemory(corpus);
  const order = permutation(corpus.blocks.length, options.seed, Purpose.rowSample);
  const taken = new Map<number, number>();
  let rows = 0;
  // The first pass takes the share from each block. It is short where the split's size was overestimated, or a filter
  // by norm leaves rows out; the second then takes what is left.
  for (const pass of [share, 1]) {
    for (const index of order) {
      if (rows === wanted) break;
      const block = corpus.blocks.at(index)!;
      const { rows: kept } = await selectByLabels(corpus, block, split, options.signal);
      shuffleInPlace(kept, kept.length, options.seed, Purpose.rowSample, 1 + index);
      let from = taken.get(index) ?? 0;
      const most = Math.ceil(kept.length * pass);
      while (from < most && rows < wanted) {
        const upTo = Math.min(most, from + wanted - rows);
        const asked = kept.slice(from, upTo).sort();
        const target = values.subarray(rows * corpus.dIn);
        const read = await readSampled(corpus, block, asked, memory, target, split, options.signal);
        for (const row of read) rowIds[rows++] = block.firstRow + row;
        from = upTo;
      }
      taken.set(index, from);
    }
  }
  return { rows, values: values.slice(0, rows * corpus.dIn), rowIds: rowIds.slice(0, rows) };
}

/** Rows of the split in the blocks that a sample visits, by the fraction. */
function expectedRows(corpus: Corpus, split: ResolvedSplit): number {
  const fractions = { all: 1, train: 1 - split.fraction, "held-out": split.fraction };
  const visited = Math.min(1, SPREAD_BLOCKS / corpus.blocks.length);
  return corpus.rows * fractions[split.split] * visited;
}

/** Reads rows of a block, one after the other into `into`; returns those that no filter by norm leaves out. */
async function readSampled(
  corpus: Corpus,
  block: Block,
  rows: Uint32Array,
  memory: SampleMemory,
  into: Float32Array,
  { filters }: ResolvedSplit,
  signal: AbortSignal | undefined,
): Promise<readonly number[]> {
  const { dIn } = corpus;
  const few = areFew(rows.length, block);
  if (few) await corpus.readRows(block, rows, memory.bytes, signal);
  else await corpus.readBlock(block, memory.bytes, signal);
  const target = rowTarget(into);
  const taken: number[] = [];
  for (const [i, row] of rows.entries()) {
    const from = (few ? i : row) * dIn;
    if (filters?.isWithinNorm?.(memory.values, from) === false) continue;
    const to = taken.length * dIn;
    if (!memory.writeRow(memory.values, from, target, to)) {
      throw nonFinite(corpus, block.firstRow + row, into.subarray(to, to + dIn));
    }
    taken.push(row);
  }
  return taken;
}

/** Room for one block, and the way to read it. */
interface SampleMemory {
  readonly bytes: Uint8Array;
  readonly values: RawValues;
  readonly writeRow: WriteRow;
}

function createMemory(corpus: Corpus): SampleMemory {
  const { dIn, type, rowsPerBlock } = corpus;
  const bytes = new Uint8Array(rowsPerBlock * dIn * valueBytes(type));
  const values = rawValues(type, bytes.buffer, 0, rowsPerBlock * dIn);
  return { bytes, values, writeRow: createRowWriter(type, dIn) };
}
