/** A file that is there whole or not at all. */
import type { FileHandle } from "node:fs/promises";
import { open, rename, rm } from "node:fs/promises";

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
