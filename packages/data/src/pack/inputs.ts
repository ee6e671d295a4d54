/**
 * From what was named to be packed (files, folders, globs, addresses, any corpus) to sources of rows, each opened by what
 * its first bytes say it is.
 */
import { glob, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { columnNames } from "../columns.ts";
import type { Corpus } from "../corpus.ts";
import { CorpusError } from "../errors.ts";
import { errorCode, isMissing } from "../file-errors.ts";
import { openCorpus } from "../open-corpus.ts";
import type { RangeReader } from "../range-reader.ts";
import { isRemote } from "../remote/address.ts";
import { isHttpFolder } from "../remote/http-folder.ts";
import type { Storage } from "../storage.ts";
import { isSyntheticPath } from "../synthetic/path.ts";
import { readArrays, sniff } from "./array-file.ts";
import { arraySource } from "./array-source.ts";
import { openParquet } from "./parquet.ts";
import { corpusSource } from "./row-source.ts";
import type { RowSelection, RowSource } from "./row-source.ts";

/** What to take of the inputs. */
export interface InputOptions {
  /**
   * The column or array of vectors. Default: the only one there is, which is called `activation` in the file. Several: a
   * row is their vectors side by side, in this order, and each is a column of the file.
   */
  readonly column?: string | readonly string[] | undefined;
  /** Names of the label columns to keep. Default: all that every input has. */
  readonly labels?: readonly string[] | undefined;
  /** Opens Parquet files as rows. Default: by the optional package `@duckdb/node-api`. */
  readonly openParquet?: ((file: RangeReader, selection: RowSelection) => Promise<RowSource>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Endings of files of arrays that are looked for in folders. */
const ENDINGS: readonly string[] = [".safetensors", ".npy", ".parquet"];

/**
 * Opens the inputs in the order given; those of a folder or glob in the order of their names.
 * @param storage opens their files; whoever gives it closes it.
 * @param opened receives the corpora among them, for whoever called to close.
 * @throws CorpusError for whatever is wrong with the inputs.
 */
export async function openSources(
  inputs: readonly string[],
  options: InputOptions,
  storage: Storage,
  opened: Corpus[],
): Promise<readonly RowSource[]> {
  const { column, labels, signal } = options;
  const sources: RowSource[] = [];
  let firstSequence = 0;
  const add = (source: RowSource): void => {
    sources.push(source);
    firstSequence += source.sequences ?? 0;
  };
  const addCorpus = async (path: string): Promise<void> => {
    const corpus = await openCorpus([path], { column, signal });
    opened.push(corpus);
    sources.push(corpusSource(corpus, labels, path));
  };
  for (const input of inputs) {
    for (const path of await expand(input)) {
      signal?.throwIfAborted();
      if (isSyntheticPath(path) || path.endsWith("/") || (await isFolder(path))) {
        await addCorpus(path);
        continue;
      }
      const file = await storage.open(path, signal);
      const kind = await sniff(file);
      if (kind === "npy" && columnNames(column).length > 1) {
        const what =
          "an npy file holds one array; keep the columns in one safetensors, Parquet or Arrow file";
        throw new CorpusError("no-vector-column", what, { path });
      }
      if (kind === "npy" || kind === "safetensors") {
        add(arraySource(file, await readArrays(file, kind), { column, labels, firstSequence }));
      } else if (kind === "parquet") {
        add(await (options.openParquet ?? openParquet)(file, { column, labels, firstSequence }));
      } else {
        // Arrow, or something whose fault the corpus's own reader names.
        await addCorpus(path);
      }
    }
  }
  return sources;
}

/** An input's files in order; a folder of Arrow files stays one. */
async function expand(input: string): Promise<readonly string[]> {
  if (isRemote(input) || isSyntheticPath(input)) return [input];
  if (await isFolder(input)) {
    const names = (await readdir(input)).filter((name) => ENDINGS.some((ending) => name.endsWith(ending)));
    return names.length === 0 ? [input] : names.sort().map((name) => join(input, name));
  }
  if ((await exists(input)) || !/[*?[\]{}]/.test(input)) return [input];
  const found: string[] = [];
  for await (const path of glob(input)) found.push(path);
  if (found.length === 0) {
    throw new CorpusError("not-found", "the pattern matches no file", { path: input });
  }
  return found.filter((path) => !path.endsWith(".partial") && !path.endsWith(".json")).sort();
}

/** On an HTTP server, by its address: what ends in a slash before a `?`. */
async function isFolder(path: string): Promise<boolean> {
  if (isRemote(path)) return isHttpFolder(path);
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    if (isMissing(cause)) return false;
    throw new CorpusError("unreadable", `cannot be read (${errorCode(cause)})`, { path, cause });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if (isMissing(cause)) return false;
    throw new CorpusError("unreadable", `cannot be read (${errorCode(cause)})`, { path, cause });
  }
}
