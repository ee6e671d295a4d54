/**
 * A shuffle window: the rows of a few blocks in memory, in a seeded order. Filling one is planned purely from
 * (seed, epoch, window), so that any window can be made again. Used by the row stream only.
 */
import type PQueue from "p-queue";
import { valueBytes } from "./arrow/vector-column.ts";
import { areFew } from "./blocks.ts";
import type { Block } from "./blocks.ts";
import type { Corpus } from "./corpus.ts";
import { createRowStore } from "./gather.ts";
import type { RowStore } from "./gather.ts";
import { Purpose, permutation, shuffleInPlace } from "./random.ts";
import { keptRowsOf } from "./split.ts";
import type { ResolvedSplit } from "./split.ts";
import type { RowTransform } from "./transform.ts";

/** What decides the contents and order of windows. */
export interface WindowPlan {
  readonly seed: number;
  readonly shuffle: "window" | "none";
  /** Blocks of a window; the last of an epoch may have fewer. */
  readonly blocksPerWindow: number;
  readonly split: ResolvedSplit;
}

/** Windows of an epoch. */
export function windowsPerEpoch(corpus: Corpus, plan: WindowPlan): number {
  return Math.ceil(corpus.blocks.length / plan.blocksPerWindow);
}

/** Memory for one window, and the window in it. Allocated once, filled again and again. */
export class Window {
  /** Number of rows to deliver. */
  rows = 0;
  readonly #store: RowStore;
  readonly #rowIds: Float64Array;
  readonly #rowBytes: number;

  /** @param slots most rows of a window. */
  constructor({ type, dIn }: Corpus, slots: number, transform: RowTransform | undefined) {
    this.#rowBytes = dIn * valueBytes(type);
    this.#store = createRowStore({ type, dIn, slots, transform });
    this.#rowIds = new Float64Array(slots);
  }

  /** Global index of the row that comes at `place` in the order of delivery. */
  rowId(place: number): number {
    return this.#rowIds[this.#store.order[place]!]!;
  }

  /** Delivers rows in order, from the one at `first` on; see `RowStore.gather`. */
  gather(first: number, rows: number, into: Float32Array, to: number): number {
    return this.#store.gather(first, rows, into, to);
  }

  /**
   * Reads window `window` of epoch `epoch`. All reads have ended when it returns or throws.
   * @throws the first error, in block order.
   */
  async fill(
    corpus: Corpus,
    plan: WindowPlan,
    epoch: number,
    window: number,
    queue: PQueue,
    signal: AbortSignal,
  ): Promise<void> {
    const blocks = windowBlocks(corpus, plan, epoch, window);
    let slot = 0;
    const jobs = blocks.map((block) => {
      const firstSlot = slot;
      slot += block.rows;
      return queue.add(() => this.#readBlock(corpus, plan, block, firstSlot, signal));
    });
    const results = await Promise.allSettled(jobs);
    const { order } = this.#store;
    this.rows = 0;
    for (const result of results) {
      if (result.status === "rejected") throw result.reason;
      for (const kept of result.value) order[this.rows++] = kept;
    }
    if (plan.shuffle === "window") {
      // Two words of index: the window's number, and the epoch's above it.
      shuffleInPlace(order, this.rows, plan.seed, Purpose.rowOrder, epoch * 2 ** 26 + window);
    }
  }

  /** Reads a block's kept rows into slots from `firstSlot` on, and returns their slots. */
  async #readBlock(
    corpus: Corpus,
    plan: WindowPlan,
    block: Block,
    firstSlot: number,
    signal: AbortSignal,
  ): Promise<Uint32Array> {
    signal.throwIfAborted();
    const kept = await keptRowsOf(corpus, block, plan.split, signal);
    const start = firstSlot * this.#rowBytes;
    const slots = new Uint32Array(kept.length);
    const { bytes } = this.#store;
    if (areFew(kept.length, block)) {
      const target = bytes.subarray(start, start + kept.length * this.#rowBytes);
      await corpus.readRows(block, kept, target, signal);
      for (let i = 0; i < kept.length; i++) slots[i] = firstSlot + i;
    } else {
      await corpus.readBlock(block, bytes.subarray(start, start + block.byteLength), signal);
      for (let i = 0; i < kept.length; i++) slots[i] = firstSlot + kept[i]!;
    }
    for (let i = 0; i < kept.length; i++) this.#rowIds[slots[i]!] = block.firstRow + kept[i]!;
    return slots;
  }
}

function windowBlocks(corpus: Corpus, plan: WindowPlan, epoch: number, window: number): readonly Block[] {
  const { blocks } = corpus;
  const start = window * plan.blocksPerWindow;
  const end = Math.min(start + plan.blocksPerWindow, blocks.length);
  if (plan.shuffle === "none") return blocks.slice(start, end);
  const order = permutation(blocks.length, plan.seed, Purpose.blockOrder, epoch);
  return Array.from(order.subarray(start, end), (index) => blocks[index]!);
}
