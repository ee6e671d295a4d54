/**
 * From what the user typed (paths, globs, addresses) to an ordered list of files. Depends on node:fs only.
 */
import { glob, stat } from "node:fs/promises";
import { CorpusError } from "./errors.ts";
import { absolutePath, isRemote } from "./remote/address.ts";

/** What this package itself writes beside a corpus; a glob does not pick it up. */
const OWN_FILES: readonly string[] = [".sparseloom.json", ".partial"];

/** Finds what an address on a server names. */
export type ListRemote = (address: string) => Promise<readonly string[]>;

/**
 * The files that the patterns name, each once, ordered by the bytes of their absolute paths.
 * A pattern that names an existing file is that file, whatever characters it has; otherwise it is a glob.
 * @param listRemote default: an address names itself.
 * @throws CorpusError not-found, unsupported (a folder), unreadable.
 */
export async function resolvePaths(
  patterns: readonly string[],
  listRemote: ListRemote = async (address) => [address],
): Promise<readonly string[]> {
  if (patterns.length === 0) {
    throw new CorpusError("not-found", "no corpus was given: name at least one Arrow file, or a glob");
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
  if (kind === "folder") {
    throw new CorpusError("unsupported", "is a folder; name its files, for example with the glob *.arrow", {
      path: pattern,
    });
  }
  if (!/[*?[\]{}]/.test(pattern)) {
    throw new CorpusError("not-found", "no such file", { path: pattern });
  }
  const found: string[] = [];
  for await (const path of glob(pattern)) {
    if (OWN_FILES.some((ending) => path.endsWith(ending))) continue;
    if ((await kindOf(path)) === "file") found.push(path);
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

/** True when a file-system error says that the path does not exist. */
export function isMissing(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/** The `code` of a file-system error, or its message. */
export function errorCode(error: unknown): string {
  if (error instanceof Error) return "code" in error ? String(error.code) : error.message;
  return String(error);
}
