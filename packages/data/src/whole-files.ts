/** Small files, read and written whole. */
import type { FileHandle } from "node:fs/promises";
import { open, readFile, rename, rm } from "node:fs/promises";
import { CorpusError } from "./errors.ts";
import { errorCode, isMissing } from "./file-errors.ts";

/** The bytes of a file; undefined where there is none. @throws CorpusError unreadable. */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw new CorpusError("unreadable", `cannot be read (${errorCode(cause)})`, { path, cause });
  }
}

/**
 * Replaces a file so that a reader sees the old or the new one, whole: `write` fills a file of another name, which then
 * takes the place of `path`. Whether that waits for the disk is for `write` to say.
 * @param partial the other name. Default: one of this process.
 */
export async function replaceFile(
  path: string,
  write: (handle: FileHandle) => Promise<void>,
  partial: string = `${path}.${process.pid}.partial`,
): Promise<void> {
  const handle = await open(partial, "w");
  try {
    try {
      await write(handle);
    } finally {
      await handle.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
