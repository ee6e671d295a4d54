/**
 * An output file on its way: `<path>.partial`, locked against other processes, which gets its name only when it is complete.
 * Used by the writers only.
 */
import type { FileHandle } from "node:fs/promises";
import { lstat, open, rename, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { CorpusError, isCorpusError } from "./errors.ts";
import { errorCode, isMissing } from "./file-errors.ts";
import { ProcessLock } from "./process-lock.ts";

/** A partial file that is open, and its lock. */
export interface OpenOutput {
  readonly handle: FileHandle;
  readonly lock: ProcessLock;
}

/** Writes by way of the open partial file, closes it, and gives it its name. */
export async function complete<Result>(
  { handle, lock }: OpenOutput,
  path: string,
  overwrite: boolean,
  write: () => Promise<Result>,
): Promise<Result> {
  let result: Result;
  try {
    result = await write();
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (!(await lock.isOurs()))
    throw new CorpusError("changed", "another process has taken over writing this file", { path });
  if (!overwrite) await requireAbsent(path);
  await rename(`${path}.partial`, path);
  await syncFolder(dirname(path));
  return result;
}

/** Of two processes that write one file, one would go on writing in what the other has finished. */
export async function lockOutput(path: string): Promise<ProcessLock> {
  await requireRegular(path);
  try {
    return await ProcessLock.acquire(`${path}.partial.lock`, {
      refuse: ({ pid, host }) => {
        const what =
          host === hostname()
            ? `is being written by process ${pid}: wait for it to end, or choose another name`
            : `is being written by process ${pid} on ${host}: if that is gone, remove ${path}.partial.lock`;
        return new CorpusError("busy", what, { path });
      },
    });
  } catch (cause) {
    if (isCorpusError(cause)) throw cause;
    throw uncreatable(`${path}.partial`, cause);
  }
}

/** The place of a device or a link is not taken by a file. */
async function requireRegular(path: string): Promise<void> {
  const status = await lstat(path).catch((cause: unknown) => {
    if (isMissing(cause)) return undefined;
    throw uncreatable(path, cause);
  });
  if (status === undefined || status.isFile()) return;
  throw new CorpusError("unwritable", "is there and is not a regular file; choose another name", { path });
}

/**
 * An output must not take the place of what it is made from, whatever names both have.
 * @throws CorpusError invalid-option
 */
export async function requireOther(path: string, sources: readonly string[]): Promise<void> {
  const identityOf = async (name: string): Promise<string | undefined> =>
    await stat(name, { bigint: true }).then(
      ({ dev, ino }) => `${dev}:${ino}`,
      // An address, or not there: none that could be written over.
      () => undefined,
    );
  const own = await identityOf(path);
  if (own === undefined) return;
  for (const source of sources)
    if ((await identityOf(source)) === own)
      throw new CorpusError("invalid-option", "is one of the files that are read; choose another name", {
        path,
      });
}

/**
 * For outputs that belong together: what is wrong with the place of any should be known before the first is written.
 * @throws CorpusError exists, unwritable
 */
export async function requireFree(paths: readonly string[], overwrite: boolean): Promise<void> {
  for (const path of paths) {
    await requireRegular(path);
    if (!overwrite) await requireAbsent(path);
  }
}

/** @throws CorpusError exists, unwritable */
async function requireAbsent(path: string): Promise<void> {
  try {
    await stat(path);
  } catch (cause) {
    if (isMissing(cause)) return;
    throw new CorpusError("unwritable", `cannot be written (${errorCode(cause)})`, { path, cause });
  }
  throw new CorpusError("exists", "the file exists; choose another name, or ask to overwrite it", {
    path,
    option: "overwrite",
  });
}

/** Creates an empty partial file. @throws CorpusError not-found (its folder), unwritable */
export async function create(partial: string): Promise<FileHandle> {
  try {
    return await open(partial, "w");
  } catch (cause) {
    throw uncreatable(partial, cause);
  }
}

function uncreatable(partial: string, cause: unknown): CorpusError {
  const kind = isMissing(cause) ? "not-found" : "unwritable";
  const what = isMissing(cause) ? "its folder does not exist" : `cannot be written (${errorCode(cause)})`;
  return new CorpusError(kind, what, { path: partial, cause });
}

/** Writes all of `bytes`. @throws CorpusError unwritable */
export async function writeFully(handle: FileHandle, path: string, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    try {
      done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
    } catch (cause) {
      throw new CorpusError("unwritable", `cannot be written (${errorCode(cause)})`, { path, cause });
    }
  }
}

/** Makes the rename itself durable. */
async function syncFolder(folder: string): Promise<void> {
  // Windows does not open folders, and does not need it.
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
