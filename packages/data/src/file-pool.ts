/**
 * Positioned reads from many files through a bounded number of open handles. A file that is opened again must
 * still be the one that was opened first. Depends on node:fs only.
 *
 * Every handle is closed by `close()`: since Node 26 a handle that is collected while open ends the process.
 */
import { open, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { CorpusError, isCorpusError } from "./errors.ts";
import { errorCode, isMissing } from "./file-errors.ts";
import type { RangeReader } from "./range-reader.ts";

/** Open handles kept at a time: far below the usual limit of 1,024 per process, far above the reads in flight. */
const MAX_OPEN = 64;

interface Entry {
  readonly path: string;
  identity: string | undefined;
  handle: Promise<FileHandle> | undefined;
  users: number;
  lastUse: number;
}

/** Opens, shares and closes handles. */
export class FilePool {
  readonly #entries: Entry[] = [];
  #clock = 0;
  #closed = false;

  /** Opens a file and notes its size and identity. @throws CorpusError not-found, unreadable. */
  async add(path: string): Promise<RangeReader> {
    const entry: Entry = { path, identity: undefined, handle: undefined, users: 0, lastUse: 0 };
    this.#entries.push(entry);
    const size = await this.#use(entry, async (handle) => (await handle.stat()).size);
    return {
      path,
      size,
      identity: entry.identity ?? "",
      isRemote: false,
      read: (into, position, signal) =>
        this.#use(entry, (handle) => readFully(handle, path, into, position, signal)),
    };
  }

  /** Closes all handles, after the reads that use them. Safe to call twice. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#shrink();
  }

  async #use<T>(entry: Entry, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error(`${entry.path}: read after the corpus was closed`);
    entry.users++;
    entry.lastUse = ++this.#clock;
    try {
      entry.handle ??= openSame(entry);
      return await work(await entry.handle);
    } finally {
      entry.users--;
      if (this.#closed || this.#entries.length > MAX_OPEN) await this.#shrink();
    }
  }

  async #shrink(): Promise<void> {
    const open = this.#entries.filter((entry) => entry.handle !== undefined);
    const idle = open.filter((entry) => entry.users === 0).sort((a, b) => a.lastUse - b.lastUse);
    const excess = this.#closed ? idle.length : Math.max(0, open.length - MAX_OPEN);
    await Promise.all(idle.slice(0, excess).map(closeEntry));
  }
}

async function openSame(entry: Entry): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    if (!(await stat(entry.path)).isFile())
      throw new CorpusError("unsupported", "is not a regular file, which a corpus must be", {
        path: entry.path,
      });
    handle = await open(entry.path, "r");
  } catch (cause) {
    entry.handle = undefined;
    if (isCorpusError(cause)) throw cause;
    if (isMissing(cause)) throw new CorpusError("not-found", "no such file", { path: entry.path, cause });
    throw new CorpusError("unreadable", `cannot be opened (${errorCode(cause)})`, {
      path: entry.path,
      cause,
    });
  }
  try {
    const status = await handle.stat({ bigint: true });
    const identity = `${status.dev}:${status.ino}:${status.size}:${status.mtimeNs}`;
    if (entry.identity !== undefined && entry.identity !== identity) {
      throw new CorpusError("changed", "the file changed while it was in use; start again", {
        path: entry.path,
      });
    }
    entry.identity = identity;
  } catch (error) {
    entry.handle = undefined;
    await handle.close();
    throw error;
  }
  return handle;
}

async function closeEntry(entry: Entry): Promise<void> {
  const opening = entry.handle;
  entry.handle = undefined;
  if (opening !== undefined) await (await opening).close();
}

async function readFully(
  handle: FileHandle,
  path: string,
  into: Uint8Array,
  position: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  let done = 0;
  while (done < into.byteLength) {
    signal?.throwIfAborted();
    let bytesRead: number;
    try {
      ({ bytesRead } = await handle.read(into, done, into.byteLength - done, position + done));
    } catch (cause) {
      throw new CorpusError("unreadable", `cannot be read (${errorCode(cause)})`, { path, cause });
    }
    if (bytesRead === 0) {
      throw new CorpusError(
        "changed",
        `the file ends at byte ${position + done}, before what it held when opened`,
        { path },
      );
    }
    done += bytesRead;
  }
}
