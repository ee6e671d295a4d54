/**
 * What the remote files of one corpus share: connections and cache. Loaded only when a corpus has such files, since
 * Node's HTTP takes 20 MB.
 */
import PQueue from "p-queue";
import type { RangeReader } from "../range-reader.ts";
import { isS3 } from "./address.ts";
import { BlockCache } from "./block-cache.ts";
import { createCachedReader, PAGE_BYTES } from "./cached-reader.ts";
import { filesOfHttpFolder, folderReader, isHttpFolder } from "./http-folder.ts";
import { HttpConnections } from "./http-source.ts";
import type { ResolvedRemoteOptions } from "./options.ts";
import { openRemote } from "./remote-file.ts";
import { S3Connection } from "./s3-source.ts";
import type { RangeSource } from "./source.ts";

/** Transfers at a time: one connection seldom fills a network, and more of them only wait for each other. */
const TRANSFERS = 16;

/** Opens remote objects. */
export class RemoteStorage {
  readonly #options: ResolvedRemoteOptions;
  readonly #http: HttpConnections = new HttpConnections();
  readonly #transfers: PQueue = new PQueue({ concurrency: TRANSFERS });
  readonly #cache: BlockCache | undefined;
  #s3: Promise<S3Connection> | undefined;

  /** Connects to nothing yet. */
  constructor(options: ResolvedRemoteOptions) {
    this.#options = options;
    const { cacheFolder, cacheBytes } = options;
    this.#cache = cacheBytes > 0 ? new BlockCache(cacheFolder, cacheBytes) : undefined;
  }

  /** The addresses that one names: itself, what is in a folder, or what a glob of S3 finds; in no order. */
  async list(address: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
    if (isS3(address)) return await (await this.#connectS3()).list(address, signal);
    if (!isHttpFolder(address)) return [address];
    const open = (file: string): RangeSource => this.#http.source(file);
    return await filesOfHttpFolder(address, folderReader(open, this.#options.limits, signal));
  }

  /** @throws CorpusError not-found, unreadable, unreachable, unsupported. */
  async open(address: string, signal: AbortSignal | undefined): Promise<RangeReader> {
    const connection = isS3(address) ? await this.#connectS3() : this.#http;
    const source = connection.source(address);
    const object = await openRemote(source, this.#options.limits, PAGE_BYTES, signal);
    // Without an ETag or a date an entry could be of another content of that address.
    const cache = object.hasValidator ? this.#cache?.entries(source.url, object.identity) : undefined;
    return createCachedReader(object, cache, this.#transfers);
  }

  /** Ends all connections; reads that are under way fail. Safe to call twice. */
  async close(): Promise<void> {
    this.#http.close();
    if (this.#s3 === undefined) return;
    const [outcome] = await Promise.allSettled([this.#s3]);
    // One that could not be opened was reported to whoever asked for it, and has nothing to close.
    if (outcome.status === "fulfilled") outcome.value.close();
  }

  #connectS3(): Promise<S3Connection> {
    this.#s3 ??= S3Connection.open(this.#options);
    return this.#s3;
  }
}
