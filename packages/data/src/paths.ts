/**
 * From what the user typed (files, folders, globs, addresses) to an ordered list of files. Depends on node:fs only.
 */
import { glob, stat } from "node:fs/promises";
import { CorpusError } from "./errors.ts";
import { errorCode, isMissing } from "./file-errors.ts";
import { filesOfFolder, isDatasetFolder, isIndexOfDataset, isOwnFile } from "./folders.ts";
import { absolutePath, isRemote } from "./remote/address.ts";

/** Finds what an address on a server names. */
export type ListRemote = (address: string) => Promise<readonly string[]>;

/**
 * The files that the patterns name, each once, ordered by the bytes of their absolute paths.
 * A pattern that names an existing file is that file, whatever characters it has; one that names a folder is the Arrow
 * files in it; otherwise it is a glob, of files and of folders that `save_to_disk` wrote.
 * @param listRemote default: an address names itself.
 * @throws CorpusError not-found, unsupported (a folder of several splits), malformed (its state.json), unreadable.
 */
export async function resolvePaths(
  patterns: readonly string[],
  listRemote: ListRemote = async (address) => [address],
): Promise<readonly string[]> {
  if (patterns.length === 0) {
    throw new CorpusError("not-found", "no corpus was given: name at least one Arrow file, folder or glob");
  }
  const pathOfFile = new Map<string, string>();
  for (const pattern of patterns) {
    for (const path of isRemote(pattern) ? await listRemote(pattern) : await matches(pattern)) {
      const absolute = absolutePath(path);
      if (!pathOfFile.has(absolute)) pathOfFile.set(absolute, path);
    }
  }
  const ordered = [...pathOfFile].map(([absolute, path]) => ({ bytes: Buffer.from(absolute), path }));
  ordered.sort((a, b) => Buffer.compare(a.bytes, b.bytes));
  return ordered.map((entry) => entry.path);
}

async function matches(pattern: string): Promise<readonly string[]> {
  const kind = await kindOf(pattern);
  if (kind === "file") return [pattern];
  if (kind === "folder") return filesOfFolder(pattern);
  if (!/[*?[\]{}]/.test(pattern)) {
    throw new CorpusError("not-found", "no such file or folder", { path: pattern });
  }
  const found: string[] = [];
  for await (const path of glob(pattern)) {
    const what = await kindOf(path);
    if (what === "file" && !isOwnFile(path) && !(await isIndexOfDataset(path))) found.push(path);
    else if (what === "folder" && (await isDatasetFolder(path))) found.push(...(await filesOfFolder(path)));
  }
  if (found.length === 0)
    throw new CorpusError("not-found", "the pattern matches no file", { path: pattern });
  return found;
}

async function kindOf(path: string): Promise<"file" | "folder" | "nothing"> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch (cause) {
    if (isMissing(cause)) return "nothing";
    throw new CorpusError("unreadable", `cannot be read (${errorCode(cause)})`, { path, cause });
  }
}
