/** What is at a path: missing is an answer, anything else that keeps us from looking is an error. */
import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";

async function lookAt(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

/** Whether there is a file at `path`. */
export async function isFile(path: string): Promise<boolean> {
  return (await lookAt(path))?.isFile() ?? false;
}

/** Whether there is a folder at `path`. */
export async function isFolder(path: string): Promise<boolean> {
  return (await lookAt(path))?.isDirectory() ?? false;
}
