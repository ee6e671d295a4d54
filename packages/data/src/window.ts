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
import type { ResolvedSplit } from "./split.ts";
import { rawValues } from "./transform.ts";
import type { RowTransform } from "./transform.ts";

/** A window while it is read. */
interface Reading {
  readonly corpus: Corpus;
  readonly split: ResolvedSplit;
  readonly parts: readonly WindowPart[];
  /** The first slot of each part. */
  readonly firstSlots: Uint32Array;
  /** Rows of each part that are delivered; their slots are in the order from the part's first slot on. */
  readonly kept: Uint32Array;
  readonly signal: AbortSignal;
  /** The next part to read. */
  next: number;
  filtered: number;
  /** By part. */
  readonly failures: Map<number, unknown>;
}

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
  /** Memory for the rows of a part, one for each job. */
  readonly #chosen: Uint32Array<ArrayBuffer>[] = [];

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
    const firstSlots = new Uint32Array(parts.length);
    for (let i = 1; i < parts.length; i++) {
      const { rows, block } = parts[i - 1]!;
      firstSlots[i] = firstSlots[i - 1]! + (rows?.length ?? block.rows);
    }
    const kept = new Uint32Array(parts.length);
    const { split } = planner;
    const failures = new Map<number, unknown>();
    const reading: Reading = { corpus, split, parts, firstSlots, kept, signal, next: 0, filtered, failures };
    // A job per read in flight, not per part: they come and go with every window, and each leaves garbage.
    const jobs: Promise<void>[] = [];
    for (let job = 0; job < Math.min(queue.concurrency, parts.length); job++) {
      const chosen = (this.#chosen[job] ??= new Uint32Array(corpus.rowsPerBlock));
      jobs.push(queue.add(() => this.#readParts(reading, chosen)));
    }
    await Promise.all(jobs);
    if (failures.size > 0) throw failures.get(Math.min(...failures.keys()));
    const { order } = this.#store;
    this.rows = 0;
    for (const [part, rows] of kept.entries()) {
      order.copyWithin(this.rows, firstSlots[part]!, firstSlots[part]! + rows);
      this.rows += rows;
    }
    this.filteredRows = reading.filtered;
    if (planner.plan.shuffle !== "none") {
      // Two words of index: the window's number, and the epoch's above it.
      shuffleInPlace(order, this.rows, planner.seed, Purpose.rowOrder, epoch * 2 ** 26 + window);
    }
  }

  /** Reads parts until there are no more. @param chosen memory for the rows of one. */
  async #readParts(reading: Reading, chosen: Uint32Array<ArrayBuffer>): Promise<void> {
    while (reading.next < reading.parts.length && reading.failures.size === 0) {
      const part = reading.next++;
      try {
        await this.#readPart(reading, part, chosen);
      } catch (error) {
        reading.failures.set(part, error);
      }
    }
  }

  /** Reads a part's rows into its slots, and enters those that no filter leaves out. */
  async #readPart(reading: Reading, index: number, chosen: Uint32Array<ArrayBuffer>): Promise<void> {
    const { corpus, split, signal } = reading;
    signal.throwIfAborted();
    const part = reading.parts[index]!;
    const firstSlot = reading.firstSlots[index]!;
    const { block } = part;
    let { rows } = part;
    if (rows === undefined) {
      const selected = await selectByLabels(corpus, block, split, signal, chosen);
      rows = selected.rows;
      reading.filtered += selected.filtered;
    }
    const { bytes, order } = this.#store;
    const rowBytes = this.#rowBytes;
    const start = firstSlot * rowBytes;
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
    const isWithinNorm = this.#normFilter(reading, firstSlot, inPlace ? block.rows : rows.length);
    let kept = 0;
    for (let i = 0; i < rows.length; i++) {
      const place = inPlace ? rows[i]! : i;
      if (isWithinNorm?.(place) === false) continue;
      const slot = firstSlot + place;
      this.#rowIds[slot] = block.firstRow + rows[i]!;
      order[firstSlot + kept++] = slot;
    }
    reading.kept[index] = kept;
    reading.filtered += rows.length - kept;
  }

  /** Tells of the row in a slot, counted from a part's first, whether the filter by norm leaves it; undefined: all. */
  #normFilter(
    { corpus, split }: Reading,
    firstSlot: number,
    slots: number,
  ): ((slot: number) => boolean) | undefined {
    const isWithinNorm = split.filters?.isWithinNorm;
    if (isWithinNorm === undefined) return undefined;
    const { dIn, type } = corpus;
    const { buffer, byteOffset } = this.#store.bytes;
    const values = rawValues(type, buffer, byteOffset + firstSlot * this.#rowBytes, slots * dIn);
    return (slot) => isWithinNorm(values, slot * dIn);
  }
}
