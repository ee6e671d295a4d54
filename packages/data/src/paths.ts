/**
 * From what the user typed (paths and globs) to an ordered list of files. Depends on node:fs only.
 */
import { glob, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { CorpusError } from "./errors.ts";

/** What this package itself writes beside a corpus; a glob does not pick it up. */
const OWN_FILES: readonly string[] = [".sparseloom.json", ".partial"];

/**
 * The files that the patterns name, each once, ordered by the bytes of their absolute paths.
 * A pattern that names an existing file is that file, whatever characters it has; otherwise it is a glob.
 * @throws CorpusError not-found, unsupported (a folder), unreadable.
 */
export async function resolvePaths(patterns: readonly string[]): Promise<readonly string[]> {
  if (patterns.length === 0) {
    throw new CorpusError("not-found", "no corpus was given: name at least one Arrow file, or a glob");
  }
  const pathOfFile = new Map<string, string>();
  for (const pattern of patterns) {
    for (const path of await matches(pattern)) {
      const absolute = resolve(path);
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
