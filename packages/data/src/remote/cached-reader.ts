/**
 * Puts the block cache before a remote object, and turns small reads into reads of pages: headers, offsets and labels
 * are read a few bytes at a time, and each request costs a round trip.
 */
import type PQueue from "p-queue";
import { CorpusError } from "../errors.ts";
import type { RangeReader } from "../range-reader.ts";
import type { CachedRanges } from "./block-cache.ts";
import type { OpenedRemote } from "./remote-file.ts";

/** Reads below this go by aligned pages of this size: about what comes in the round trip anyway. */
export const PAGE_BYTES: number = 64 * 1024;
/** Pages in memory, per object: the places that label columns of one window are read from. */
const PAGES_KEPT = 32;

/**
 * @param cache undefined for none.
 * @param transfers where reads from the server take turns: the limits of time begin with the turn.
 */
export function createCachedReader(
  object: OpenedRemote,
  cache: CachedRanges | undefined,
  transfers: PQueue,
): RangeReader {
  return new CachedReader(object, cache, transfers);
}

class CachedReader implements RangeReader {
  readonly path: string;
  readonly size: number;
  readonly identity: string;
  readonly isRemote = true;
  readonly #object: OpenedRemote;
  readonly #cache: CachedRanges | undefined;
  readonly #transfers: PQueue;
  /** By page number, the one used longest ago first. */
  readonly #pages: Map<number, Promise<Uint8Array>> = new Map();

  constructor(object: OpenedRemote, cache: CachedRanges | undefined, transfers: PQueue) {
    this.path = object.path;
    this.size = object.size;
    this.identity = object.identity;
    this.#object = object;
    this.#cache = cache;
    this.#transfers = transfers;
    this.#pages.set(0, Promise.resolve(object.start));
  }

  async read(into: Uint8Array, position: number, signal?: AbortSignal): Promise<void> {
    const end = position + into.byteLength;
    if (into.byteLength >= PAGE_BYTES || end > this.size) {
      await this.#readRange(into, position, signal);
      return;
    }
    for (let at = position; at < end; ) {
      const number = Math.floor(at / PAGE_BYTES);
      const page = await this.#page(number, signal);
      const from = at - number * PAGE_BYTES;
      const take = Math.min(end - at, page.byteLength - from);
      into.set(page.subarray(from, from + take), at - position);
      at += take;
    }
  }

  async #readRange(into: Uint8Array, position: number, signal: AbortSignal | undefined): Promise<void> {
    if (await this.#cache?.read(into, position)) return;
    await this.#transfers.add(() => this.#object.read(into, position, signal));
    await this.#cache?.write(into, position);
  }

  async #page(number: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    for (;;) {
      const known = this.#pages.get(number);
      const page = known ?? this.#fetchPage(number, signal);
      // Moves it to the end: used last.
      this.#pages.delete(number);
      this.#pages.set(number, page);
      try {
        return await page;
      } catch (error) {
        if (this.#pages.get(number) === page) this.#pages.delete(number);
        // Whoever asked first may have been aborted; that is no reason for those who asked after.
        signal?.throwIfAborted();
        if (known === undefined || error instanceof CorpusError) throw error;
      }
    }
  }

  async #fetchPage(number: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const [oldest] = this.#pages.keys();
    if (this.#pages.size >= PAGES_KEPT && oldest !== undefined) this.#pages.delete(oldest);
    const start = number * PAGE_BYTES;
    const bytes = new Uint8Array(Math.min(PAGE_BYTES, this.size - start));
    await this.#readRange(bytes, start, signal);
    return bytes;
  }
}
