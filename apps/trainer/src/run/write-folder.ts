/** Files and folders that are there whole or not at all: written beside, flushed to disk, renamed. */
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { RunError } from "../errors.ts";

/**
 * Writes a folder with `files` (name → parts, written one after the other), replacing one that is there.
 *
 * @throws RunError when the place cannot be written; what was there stays
 */
export async function writeFolder(
  path: string,
  files: Readonly<Record<string, readonly Uint8Array[]>>,
): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true });
    for (const [name, parts] of Object.entries(files)) await writeParts(join(partial, name), parts);
    await flushDirectory(partial);
    await replace(partial, path);
    await flushDirectory(dirname(path));
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw unwritable(path, error);
  }
}

/** The disk is full, or the place is not ours: the run fails, and what was there before is as it was. */
function unwritable(path: string, error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return new RunError(`${path} cannot be written: ${reason}`, { cause: error });
}

/** A folder cannot be renamed onto a full one: the old one steps aside first, and goes when the new one is there. */
async function replace(partial: string, path: string): Promise<void> {
  const aside = `${path}.old`;
  await rm(aside, { recursive: true, force: true });
  const had = await rename(path, aside).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
  await rename(partial, path);
  if (had) await rm(aside, { recursive: true });
}

/**
 * Writes one file from `parts`, replacing one that is there.
 *
 * @throws RunError when the place cannot be written; what was there stays
 */
export async function writeFileWhole(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeParts(partial, parts);
    await rename(partial, path);
    await flushDirectory(dirname(path));
  } catch (error) {
    await rm(partial, { force: true });
    throw unwritable(path, error);
  }
}

/** A write of more than 2 GiB at once is refused by the system call. */
const WRITE_BYTES = 2 ** 26;

async function writeParts(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const file = await open(path, "w");
  try {
    for (const part of parts) {
      for (let at = 0; at < part.byteLength; ) {
        const { bytesWritten } = await file.write(part, at, Math.min(WRITE_BYTES, part.byteLength - at));
        at += bytesWritten;
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes renames and new names in a directory durable. */
async function flushDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
