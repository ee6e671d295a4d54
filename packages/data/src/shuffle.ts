/**
 * Which rows a shuffle window has: planned purely from (seed, epoch, window), so that any window can be made again,
 * and without a list of all rows. Reads labels where documents are held out or rows are filtered, and no values.
 */
import { valueBytes } from "./arrow/vector-column.ts";
import type { Block } from "./blocks.ts";
import type { Corpus } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { IndexPermutation, Purpose, permutation } from "./random.ts";
import { selectByLabels } from "./split.ts";
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

/** What a window has of the corpus. */
export interface WindowParts {
  /** In the order of reading. */
  readonly parts: readonly WindowPart[];
  /** Rows known by now to be left out by filters, beside those that reading the parts finds. */
  readonly filtered: number;
}

/** What a window has of one block. */
export interface WindowPart {
  readonly block: Block;
  /** Rows of the block, ascending, chosen by split and labels; undefined: still to be chosen. */
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
  /** Where `full` needs to know of single rows whether they are in the split. */
  #membership: Promise<Membership> | undefined;

  constructor(corpus: Corpus, plan: WindowPlan, split: ResolvedSplit, seed: number) {
    this.#corpus = corpus;
    this.plan = plan;
    this.split = split;
    this.seed = seed;
  }

  /** The parts of window `window` of epoch `epoch`. */
  async parts(epoch: number, window: number, signal: AbortSignal): Promise<WindowParts> {
    const { shuffle, blocksPerWindow } = this.plan;
    if (shuffle === "full") return await this.#rowParts(epoch, window, signal);
    const { blocks } = this.#corpus;
    const start = window * blocksPerWindow;
    const end = Math.min(start + blocksPerWindow, blocks.length);
    if (shuffle === "none") {
      return wholeBlocks(Array.from({ length: end - start }, (_, i) => blocks.at(start + i)!));
    }
    if (this.#blockOrder?.epoch !== epoch) {
      this.#blockOrder = {
        epoch,
        order: permutation(blocks.length, this.seed, Purpose.blockOrder, epoch),
      };
    }
    const chosen = this.#blockOrder.order.subarray(start, end);
    return wholeBlocks(Array.from(chosen, (index) => blocks.at(index)!));
  }

  /** A part per block that has rows of the window, in file order. */
  async #rowParts(epoch: number, window: number, signal: AbortSignal): Promise<WindowParts> {
    const { blocks, rows } = this.#corpus;
    const { rowsPerWindow } = this.plan;
    const order = new IndexPermutation(rows, this.seed, Purpose.fullOrder, epoch);
    const { split, filters } = this.split;
    const all = split === "all" && (filters?.columns ?? []).length === 0;
    const members = all ? undefined : await this.#members(signal);
    const first = window * rowsPerWindow;
    const ids = new Float64Array(Math.min(rowsPerWindow, rows - first));
    let count = 0;
    let filtered = 0;
    for (let i = 0; i < ids.length; i++) {
      const row = order.at(first + i);
      if (members === undefined || hasBit(members.kept, row)) ids[count++] = row;
      else if (members.filtered !== undefined && hasBit(members.filtered, row)) filtered++;
    }
    const sorted = ids.subarray(0, count).sort();
    const parts: WindowPart[] = [];
    for (let i = 0; i < count; ) {
      const block = blocks.holding(sorted[i]!);
      const end = block.firstRow + block.rows;
      const from = i;
      while (i < count && sorted[i]! < end) i++;
      parts.push({ block, rows: Uint32Array.from(sorted.subarray(from, i), (row) => row - block.firstRow) });
    }
    return { parts, filtered };
  }

  /** Who is in the split; found out once. */
  async #members(signal: AbortSignal): Promise<Membership> {
    this.#membership ??= this.#findMembers(signal);
    return await this.#membership;
  }

  async #findMembers(signal: AbortSignal): Promise<Membership> {
    const corpus = this.#corpus;
    const kept = new Uint8Array(Math.ceil(corpus.rows / 8));
    const filtered = this.split.filters === undefined ? undefined : new Uint8Array(kept.length);
    for (const block of corpus.blocks) {
      signal.throwIfAborted();
      const { rows } = await selectByLabels(corpus, block, this.split, signal);
      for (const row of rows) setBit(kept, block.firstRow + row);
      if (filtered === undefined) continue;
      const unfiltered = await selectByLabels(corpus, block, { ...this.split, filters: undefined }, signal);
      for (const row of unfiltered.rows) {
        if (!hasBit(kept, block.firstRow + row)) setBit(filtered, block.firstRow + row);
      }
    }
    return { kept, filtered };
  }
}

/** One bit for each row of the corpus. */
interface Membership {
  /** In the split, and left by the filters by label. */
  readonly kept: Uint8Array;
  /** In the split, and left out by them; undefined without filters. */
  readonly filtered: Uint8Array | undefined;
}

function wholeBlocks(blocks: readonly Block[]): WindowParts {
  return { parts: blocks.map((block) => ({ block, rows: undefined })), filtered: 0 };
}

function setBit(bits: Uint8Array, bit: number): void {
  bits[Math.floor(bit / 8)]! |= 1 << (bit % 8);
}

function hasBit(bits: Uint8Array, bit: number): boolean {
  return (bits[Math.floor(bit / 8)]! & (1 << (bit % 8))) !== 0;
}
