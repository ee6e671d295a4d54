/**
 * Which rows a shuffle window has: planned purely from (seed, epoch, window), so that any window can be made again,
 * and without a list of all rows. Reads labels where documents are held out, and no values.
 */
import { valueBytes } from "./arrow/vector-column.ts";
import type { Block } from "./blocks.ts";
import type { Corpus } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { IndexPermutation, Purpose, permutation } from "./random.ts";
import { keptRowsOf } from "./split.ts";
import type { ResolvedSplit } from "./split.ts";

/**
 * The order of rows. `none`: as in the files. `window`: blocks of the whole corpus in a seeded order, taken in
 * windows whose rows are permuted. `full`: a permutation of all rows; each is then read by itself.
 */
export type Shuffle = "none" | "window" | "full";

/** What decides the windows of a stream. */
export interface WindowOptions {
  /** Default: `window`. */
  readonly shuffle?: Shuffle | undefined;
  /** Bytes of stored values in a window, of which two are held; at least one block, or row, is. Default: 32 MiB. */
  readonly windowBytes?: number | undefined;
}

/** The windows of a corpus. */
export interface WindowPlan {
  readonly shuffle: Shuffle;
  /** Blocks of a window, K; the last of an epoch may have fewer. Of `full`: in how many blocks its rows lie, at most. */
  readonly blocksPerWindow: number;
  /** Most rows of a window. */
  readonly rowsPerWindow: number;
  readonly windowsPerEpoch: number;
  /** Bytes of the rows of a window, of which a stream holds two. */
  readonly bytesPerWindow: number;
}

const DEFAULT_WINDOW_BYTES = 32 * 1024 * 1024;

/** How a corpus is cut into windows. @throws CorpusError invalid-option. */
export function planWindows(corpus: Corpus, options: WindowOptions = {}): WindowPlan {
  const { shuffle = "window", windowBytes = DEFAULT_WINDOW_BYTES } = options;
  if (!(windowBytes > 0) || !Number.isFinite(windowBytes)) {
    throw new CorpusError("invalid-option", `windowBytes must be a positive number, got ${windowBytes}`);
  }
  const { blocks, rows, rowsPerBlock } = corpus;
  const rowBytes = corpus.dIn * valueBytes(corpus.type);
  const fitting = (bytes: number): number => Math.max(1, Math.floor(windowBytes / bytes));
  if (shuffle === "full") {
    const rowsPerWindow = Math.min(fitting(rowBytes), rows);
    return {
      shuffle,
      blocksPerWindow: Math.min(rowsPerWindow, blocks.length),
      rowsPerWindow,
      windowsPerEpoch: Math.ceil(rows / rowsPerWindow),
      bytesPerWindow: rowsPerWindow * rowBytes,
    };
  }
  const blocksPerWindow = Math.min(fitting(rowsPerBlock * rowBytes), blocks.length);
  const rowsPerWindow = Math.min(blocksPerWindow * rowsPerBlock, rows);
  return {
    shuffle,
    blocksPerWindow,
    rowsPerWindow,
    windowsPerEpoch: Math.ceil(blocks.length / blocksPerWindow),
    bytesPerWindow: rowsPerWindow * rowBytes,
  };
}

/** What a window has of one block. */
export interface WindowPart {
  readonly block: Block;
  /** Rows of the block, ascending; undefined: those of the split. */
  readonly rows: Uint32Array | undefined;
}

/** Tells the parts of each window. */
export class WindowPlanner {
  readonly plan: WindowPlan;
  readonly split: ResolvedSplit;
  readonly seed: number;
  readonly #corpus: Corpus;
  /** The order of blocks in the epoch that was asked for last. */
  #blockOrder: { readonly epoch: number; readonly order: Uint32Array } | undefined;
  /** One bit per row of the corpus, where `full` needs to know of single rows whether they are in the split. */
  #kept: Promise<Uint8Array> | undefined;

  constructor(corpus: Corpus, plan: WindowPlan, split: ResolvedSplit, seed: number) {
    this.#corpus = corpus;
    this.plan = plan;
    this.split = split;
    this.seed = seed;
  }

  /** The parts of window `window` of epoch `epoch`, blocks in the order of reading. */
  async parts(epoch: number, window: number, signal: AbortSignal): Promise<readonly WindowPart[]> {
    const { shuffle, blocksPerWindow } = this.plan;
    if (shuffle === "full") return await this.#rowParts(epoch, window, signal);
    const { blocks } = this.#corpus;
    const start = window * blocksPerWindow;
    const end = Math.min(start + blocksPerWindow, blocks.length);
    if (shuffle === "none") return blocks.slice(start, end).map((block) => ({ block, rows: undefined }));
    if (this.#blockOrder?.epoch !== epoch) {
      this.#blockOrder = {
        epoch,
        order: permutation(blocks.length, this.seed, Purpose.blockOrder, epoch),
      };
    }
    const chosen = this.#blockOrder.order.subarray(start, end);
    return Array.from(chosen, (index) => ({ block: blocks[index]!, rows: undefined }));
  }

  /** A part per block that has rows of the window, in file order. */
  async #rowParts(epoch: number, window: number, signal: AbortSignal): Promise<readonly WindowPart[]> {
    const { blocks, rows } = this.#corpus;
    const { rowsPerWindow } = this.plan;
    const order = new IndexPermutation(rows, this.seed, Purpose.fullOrder, epoch);
    const kept = this.split.split === "all" ? undefined : await this.#keptRows(signal);
    const first = window * rowsPerWindow;
    const ids = new Float64Array(Math.min(rowsPerWindow, rows - first));
    let count = 0;
    for (let i = 0; i < ids.length; i++) {
      const row = order.at(first + i);
      if (kept === undefined || hasBit(kept, row)) ids[count++] = row;
    }
    const sorted = ids.subarray(0, count).sort();
    const parts: WindowPart[] = [];
    for (let i = 0; i < count; ) {
      const block = blocks[blockOf(blocks, sorted[i]!)]!;
      const end = block.firstRow + block.rows;
      const from = i;
      while (i < count && sorted[i]! < end) i++;
      parts.push({ block, rows: Uint32Array.from(sorted.subarray(from, i), (row) => row - block.firstRow) });
    }
    return parts;
  }

  /** The rows of the split, as bits; found out once. */
  async #keptRows(signal: AbortSignal): Promise<Uint8Array> {
    this.#kept ??= this.#findKeptRows(signal);
    return await this.#kept;
  }

  async #findKeptRows(signal: AbortSignal): Promise<Uint8Array> {
    const bits = new Uint8Array(Math.ceil(this.#corpus.rows / 8));
    for (const block of this.#corpus.blocks) {
      signal.throwIfAborted();
      for (const row of await keptRowsOf(this.#corpus, block, this.split, signal)) {
        const bit = block.firstRow + row;
        bits[Math.floor(bit / 8)]! |= 1 << (bit % 8);
      }
    }
    return bits;
  }
}

function hasBit(bits: Uint8Array, bit: number): boolean {
  return (bits[Math.floor(bit / 8)]! & (1 << (bit % 8))) !== 0;
}

/** Index of the block that has a row. */
function blockOf(blocks: readonly Block[], row: number): number {
  let low = 0;
  let high = blocks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (blocks[middle]!.firstRow <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}
