/**
 * Opens what a corpus's paths name, wherever it is: local files, `http://` and `https://`, `s3://`. Holds what they
 * share (open files, connections, the cache) and closes it.
 */
import { FilePool } from "./file-pool.ts";
import type { RangeReader } from "./range-reader.ts";
import { isRemote } from "./remote/address.ts";
import { resolveRemoteOptions } from "./remote/options.ts";
import type { RemoteOptions } from "./remote/options.ts";
import type { RemoteStorage } from "./remote/remote-storage.ts";

/** The files of one corpus. */
export class Storage {
  readonly #options: RemoteOptions;
  readonly #files: FilePool = new FilePool();
  #remote: Promise<RemoteStorage> | undefined;

  /** Touches nothing; what is remote is set up when the first such address comes. */
  constructor(options: RemoteOptions = {}) {
    this.#options = options;
  }

  /**
   * The files that an address on a server names: itself, what is in a folder, or what a glob of S3 finds; in no order.
   * @throws CorpusError not-found, unreadable, unreachable, invalid-option.
   */
  async list(address: string, signal?: AbortSignal): Promise<readonly string[]> {
    return await (await this.#connect()).list(address, signal);
  }

  /** Opens a file or an object. @throws CorpusError not-found, unreadable, unreachable, unsupported, invalid-option. */
  async open(path: string, signal?: AbortSignal): Promise<RangeReader> {
    if (!isRemote(path)) return await this.#files.add(path);
    return await (await this.#connect()).open(path, signal);
  }

  /** Closes files, after the reads that use them, and connections. Safe to call twice. */
  async close(): Promise<void> {
    await this.#files.close();
    if (this.#remote !== undefined) await (await this.#remote).close();
  }

  async #connect(): Promise<RemoteStorage> {
    const options = resolveRemoteOptions(this.#options);
    this.#remote ??= import("./remote/remote-storage.ts").then(
      ({ RemoteStorage: Remote }) => new Remote(options),
    );
    return await this.#remote;
  }
}
