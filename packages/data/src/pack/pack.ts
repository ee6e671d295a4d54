/**
 * Packs rows of whatever form into one Arrow file that can be trained on at the speed of the disk: arrays of numpy
 * and PyTorch, Parquet, and corpora that are compressed, nested, or in many small batches.
 */
import { createHash } from "node:crypto";
import { glob, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { WrittenLabelType } from "../arrow/encode.ts";
import type { ValueType } from "../arrow/vector-column.ts";
import { openCorpus } from "../open-corpus.ts";
import type { Corpus } from "../corpus.ts";
import { CorpusError } from "../errors.ts";
import { errorCode, isMissing } from "../file-errors.ts";
import { firstNonFinite } from "../finite.ts";
import type { RangeReader } from "../range-reader.ts";
import { isRemote } from "../remote/address.ts";
import { writeStatistics } from "../sidecar.ts";
import { StatisticsAccumulator } from "../statistics-accumulator.ts";
import { Storage } from "../storage.ts";
import { isSyntheticPath } from "../synthetic/path.ts";
import { writeCorpusResumably } from "../writer.ts";
import type { RowsToWrite, WriteResult } from "../writer.ts";
import { readArrays, sniff } from "./array-file.ts";
import { openParquet } from "./parquet.ts";
import { arraySource, corpusSource } from "./row-source.ts";
import type { RowSelection, RowSource } from "./row-source.ts";

/** Options of `packCorpus`. */
export interface PackOptions {
  /** How to store the numbers. Default: float32. */
  readonly type?: ValueType | undefined;
  /** The column or array of vectors. Default: the only one there is. */
  readonly column?: string | undefined;
  /** Names of the label columns to keep. Default: all that every input has. */
  readonly labels?: readonly string[] | undefined;
  /** Replace an existing file. Default: false. */
  readonly overwrite?: boolean | undefined;
  /** Opens Parquet files as rows. Default: by the optional package `@duckdb/node-api`. */
  readonly openParquet?: ((file: RangeReader, selection: RowSelection) => Promise<RowSource>) | undefined;
  /** As in `WriteOptions`. */
  readonly rowsPerBatch?: number | undefined;
  /** As in `ResumableRows`. */
  readonly noteEveryBytes?: number | undefined;
  readonly onProgress?: ((rows: number, ofRows: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was packed. */
export interface PackResult extends WriteResult {
  /** Files, or corpora, that the rows come from. */
  readonly sources: number;
  /** Rows that an earlier, broken-off packing had written. */
  readonly resumedRows: number;
  /** Where the statistics were kept; undefined after resuming, when not all rows passed by. */
  readonly statistics: string | undefined;
}

/** Endings of files of arrays that are looked for in folders. */
const ENDINGS: readonly string[] = [".safetensors", ".npy", ".parquet"];

/**
 * Packs the inputs (files, folders, globs, addresses, any corpus), in the order given; those of a folder or glob in
 * the order of their names. Broken off, the same call goes on where it stopped.
 * @throws CorpusError for whatever is wrong with the inputs; exists; unwritable.
 */
export async function packCorpus(
  path: string,
  inputs: readonly string[],
  options: PackOptions = {},
): Promise<PackResult> {
  const { type = "float32", signal } = options;
  const storage = new Storage();
  const opened: Corpus[] = [];
  try {
    const sources = await openSources(inputs, options, storage, opened);
    const { dIn, labels } = commonShape(sources, options.labels);
    const total = sources.reduce((sum, { rows }) => sum + rows, 0);
    if (total === 0) throw new CorpusError("empty", "there are no rows to pack", { path });
    const statistics = new StatisticsAccumulator(dIn);

    async function* from(firstRow: number): AsyncIterable<RowsToWrite> {
      let before = 0;
      for (const source of sources) {
        const skip = Math.max(0, firstRow - before);
        let row = skip;
        for await (const part of source.read(skip, signal)) {
          const stored = type === "float16" ? rounded(part.values) : part.values;
          requireFinite(stored, part.values, source, row, dIn);
          yield part;
          statistics.add(stored, stored.length / dIn);
          row += stored.length / dIn;
          options.onProgress?.(before + row, total);
        }
        before += source.rows;
      }
    }

    const identities = sources.map(({ path: name, identity, rows }) => [name, identity, rows]);
    const key = createHash("sha256").update(JSON.stringify(identities)).digest("hex");
    const { overwrite, column } = options;
    const result = await writeCorpusResumably(
      path,
      {
        dIn,
        type,
        labels,
        column: columnName(column),
        overwrite,
        signal,
        rowsPerBatch: options.rowsPerBatch,
      },
      { key, from, noteEveryBytes: options.noteEveryBytes },
    );
    const kept = result.resumedRows === 0 ? await keepStatistics(path, statistics) : undefined;
    return { ...result, sources: sources.length, statistics: kept };
  } finally {
    for (const corpus of opened) await corpus.close();
    await storage.close();
  }
}

/** Hooks' names are kept; an array's name in its file is no name for a column. */
function columnName(column: string | undefined): string {
  return column ?? "activation";
}

async function keepStatistics(path: string, statistics: StatisticsAccumulator): Promise<string> {
  await using corpus = await openCorpus([path]);
  return await writeStatistics(corpus, {
    rows: corpus.rows,
    sampledRows: statistics.rows,
    exact: true,
    source: "full",
    ...statistics.finish(),
    filteredRows: 0,
    nonFiniteRows: 0,
    nonFinitePlaces: [],
  });
}

/** @throws CorpusError non-finite, naming the input and the row. */
function requireFinite(
  stored: Float32Array,
  given: Float32Array,
  source: RowSource,
  firstRow: number,
  dIn: number,
): void {
  const bad = firstNonFinite(stored);
  if (bad < 0) return;
  const value = given[bad]!;
  const what = Number.isFinite(value)
    ? `${value} is too large for float16; take float32 (--type)`
    : `number ${bad % dIn} of ${dIn} is ${value}; remove the row, or find out what produced it`;
  throw new CorpusError("non-finite", what, source.place(firstRow + Math.floor(bad / dIn)));
}

/** The numbers as float16 stores them. */
function rounded(values: Float32Array): Float32Array {
  return new Float32Array(new Float16Array(values));
}

async function openSources(
  inputs: readonly string[],
  options: PackOptions,
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

async function isFolder(path: string): Promise<boolean> {
  if (isRemote(path)) return false;
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

/** The dimension that all sources share, and the labels that all of them have. */
function commonShape(
  sources: readonly RowSource[],
  wanted: readonly string[] | undefined,
): { dIn: number; labels: Readonly<Record<string, WrittenLabelType>> } {
  const [first, ...others] = sources;
  if (first === undefined) throw new CorpusError("not-found", "no input was given: name files or folders");
  for (const { path, dIn } of others) {
    if (dIn === first.dIn) continue;
    const what = `has ${dIn} dimensions, but ${first.path} has ${first.dIn}; one corpus has one`;
    throw new CorpusError("dimension-mismatch", what, { path });
  }
  const labels: Record<string, WrittenLabelType> = {};
  for (const [name, type] of Object.entries(first.labels)) {
    if (others.every((other) => other.labels[name] === type)) labels[name] = type;
  }
  for (const name of wanted ?? []) {
    if (labels[name] !== undefined) continue;
    const known = Object.keys(labels)
      .map((label) => `"${label}"`)
      .join(", ");
    const what = `not every input has labels "${name}" of one type; all have: ${known || "none"}`;
    throw new CorpusError("no-label-column", what, { path: first.path });
  }
  return { dIn: first.dIn, labels };
}
