/**
 * A shuffle window: the rows of a few blocks in memory, in a seeded order. Filling one is planned purely from
 * (seed, epoch, window), so that any window can be made again. Used by the row stream only.
 */
import type PQueue from "p-queue";
import { valueBytes } from "./arrow/vector-column.ts";
import { areFew } from "./blocks.ts";
import type { Block } from "./blocks.ts";
import type { Corpus } from "./corpus.ts";
import { Purpose, permutation, shuffleInPlace } from "./random.ts";
import { keptRowsOf } from "./split.ts";
import type { ResolvedSplit } from "./split.ts";
import { rawValues } from "./transform.ts";
import type { RawValues } from "./transform.ts";

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
  /** The stored numbers; row slot r starts at `r * dIn`. */
  readonly values: RawValues;
  /** Number of rows to deliver. */
  rows = 0;
  /** Row slots in the order of delivery; the first `rows` count. */
  readonly order: Uint32Array;
  readonly #rowIds: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #rowBytes: number;

  /** @param slots most rows of a window. */
  constructor(corpus: Corpus, slots: number) {
    this.#rowBytes = corpus.dIn * valueBytes(corpus.type);
    this.#bytes = new Uint8Array(slots * this.#rowBytes);
    this.values = rawValues(corpus.type, this.#bytes.buffer, 0, slots * corpus.dIn);
    this.order = new Uint32Array(slots);
    this.#rowIds = new Float64Array(slots);
  }

  /** Global index of the row in a slot. */
  rowId(slot: number): number {
    return this.#rowIds[slot]!;
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
    this.rows = 0;
    for (const result of results) {
      if (result.status === "rejected") throw result.reason;
      for (const kept of result.value) this.order[this.rows++] = kept;
    }
    if (plan.shuffle === "window") {
      // Two words of index: the window's number, and the epoch's above it.
      shuffleInPlace(this.order, this.rows, plan.seed, Purpose.rowOrder, epoch * 2 ** 26 + window);
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
    if (areFew(kept.length, block)) {
      const target = this.#bytes.subarray(start, start + kept.length * this.#rowBytes);
      await corpus.readRows(block, kept, target, signal);
      for (let i = 0; i < kept.length; i++) slots[i] = firstSlot + i;
    } else {
      await corpus.readBlock(block, this.#bytes.subarray(start, start + block.byteLength), signal);
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
