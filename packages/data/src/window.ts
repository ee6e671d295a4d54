/**
 * A shuffle window: rows of a corpus in memory, in a seeded order. What it holds is planned in shuffle.ts. Used by
 * the row stream only.
 */
import type PQueue from "p-queue";
import { valueBytes } from "./arrow/vector-column.ts";
import { areFew } from "./blocks.ts";
import type { Corpus } from "./corpus.ts";
import { createRowStore } from "./gather.ts";
import type { RowStore } from "./gather.ts";
import { Purpose, shuffleInPlace } from "./random.ts";
import type { WindowPart, WindowPlanner } from "./shuffle.ts";
import { selectByLabels } from "./split.ts";
import type { ResolvedSplit, SelectedRows } from "./split.ts";
import { rawValues } from "./transform.ts";
import type { RowTransform } from "./transform.ts";

/** Jobs that a window is read in, at most: more would only take memory while they wait. */
const MOST_JOBS = 64;

/** Memory for one window, and the window in it. Allocated once, filled again and again. */
export class Window {
  /** Number of rows to deliver. */
  rows = 0;
  /** Number of rows of its blocks that the filters leave out. */
  filteredRows = 0;
  readonly #store: RowStore;
  readonly #rowIds: Float64Array;
  readonly #rowBytes: number;
  /** Memory for whole blocks, as many as are read at a time. */
  readonly #spare: Uint8Array[] = [];

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
    planner: WindowPlanner,
    epoch: number,
    window: number,
    queue: PQueue,
    signal: AbortSignal,
  ): Promise<void> {
    const { parts, filtered } = await planner.parts(epoch, window, signal);
    const partsPerJob = Math.ceil(parts.length / MOST_JOBS);
    const jobs: Promise<readonly SelectedRows[]>[] = [];
    let slot = 0;
    for (let first = 0; first < parts.length; first += partsPerJob) {
      const group = parts.slice(first, first + partsPerJob);
      const firstSlot = slot;
      for (const { rows, block } of group) slot += rows?.length ?? block.rows;
      jobs.push(queue.add(() => this.#readParts(corpus, planner.split, group, firstSlot, signal)));
    }
    const results = await Promise.allSettled(jobs);
    const { order } = this.#store;
    this.rows = 0;
    this.filteredRows = filtered;
    for (const result of results) {
      if (result.status === "rejected") throw result.reason;
      for (const { rows: slots, filtered: leftOut } of result.value) {
        order.set(slots, this.rows);
        this.rows += slots.length;
        this.filteredRows += leftOut;
      }
    }
    if (planner.plan.shuffle !== "none") {
      // Two words of index: the window's number, and the epoch's above it.
      shuffleInPlace(order, this.rows, planner.seed, Purpose.rowOrder, epoch * 2 ** 26 + window);
    }
  }

  /** Reads parts one after the other, into slots from `firstSlot` on, and returns what there is of each. */
  async #readParts(
    corpus: Corpus,
    split: ResolvedSplit,
    parts: readonly WindowPart[],
    firstSlot: number,
    signal: AbortSignal,
  ): Promise<readonly SelectedRows[]> {
    const slots: SelectedRows[] = [];
    let slot = firstSlot;
    for (const part of parts) {
      slots.push(await this.#readPart(corpus, split, part, slot, signal));
      slot += part.rows?.length ?? part.block.rows;
    }
    return slots;
  }

  /** Reads a part's rows into slots from `firstSlot` on, and returns the slots of those that no filter leaves out. */
  async #readPart(
    corpus: Corpus,
    split: ResolvedSplit,
    part: WindowPart,
    firstSlot: number,
    signal: AbortSignal,
  ): Promise<SelectedRows> {
    signal.throwIfAborted();
    const { block } = part;
    const { rows, filtered } =
      part.rows === undefined
        ? await selectByLabels(corpus, block, split, signal)
        : { rows: part.rows, filtered: 0 };
    const { bytes } = this.#store;
    const rowBytes = this.#rowBytes;
    const start = firstSlot * rowBytes;
    const slots = new Uint32Array(rows.length);
    const few = areFew(rows.length, block);
    if (few) {
      await corpus.readRows(block, rows, bytes.subarray(start, start + rows.length * rowBytes), signal);
    } else if (part.rows === undefined) {
      await corpus.readBlock(block, bytes.subarray(start, start + block.byteLength), signal);
    } else {
      // There is room for the rows that are wanted only.
      const whole = this.#spare.pop() ?? new Uint8Array(corpus.rowsPerBlock * rowBytes);
      await corpus.readBlock(block, whole, signal);
      for (const [i, row] of rows.entries()) {
        bytes.set(whole.subarray(row * rowBytes, (row + 1) * rowBytes), start + i * rowBytes);
      }
      this.#spare.push(whole);
    }
    const inPlace = !few && part.rows === undefined;
    for (let i = 0; i < rows.length; i++) {
      slots[i] = firstSlot + (inPlace ? rows[i]! : i);
      this.#rowIds[slots[i]!] = block.firstRow + rows[i]!;
    }
    const isWithinNorm = split.filters?.isWithinNorm;
    if (isWithinNorm === undefined) return { rows: slots, filtered };
    const { dIn, type } = corpus;
    const count = (inPlace ? block.rows : rows.length) * dIn;
    const values = rawValues(type, bytes.buffer, bytes.byteOffset + start, count);
    const within = slots.filter((slot) => isWithinNorm(values, (slot - firstSlot) * dIn));
    return { rows: within, filtered: filtered + slots.length - within.length };
  }
}
