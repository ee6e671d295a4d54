/**
 * Packs rows of whatever form into one Arrow file that can be trained on at the speed of the disk: arrays of numpy
 * and PyTorch, Parquet, and corpora that are compressed, nested, or in many small batches.
 */
import { createHash } from "node:crypto";
import type { WrittenLabelType } from "../arrow/encode.ts";
import type { ValueType } from "../arrow/vector-column.ts";
import { ColumnAccumulators } from "../column-statistics.ts";
import { columnAt, columnNames, rowWidth } from "../columns.ts";
import type { Corpus, CorpusColumn } from "../corpus.ts";
import { CorpusError } from "../errors.ts";
import { firstNonFinite } from "../finite.ts";
import { openCorpus } from "../open-corpus.ts";
import { writeStatistics } from "../sidecar.ts";
import { StatisticsAccumulator } from "../statistics-accumulator.ts";
import { Storage } from "../storage.ts";
import { writeCorpusResumably } from "../writer.ts";
import type { RowsToWrite, WriteResult } from "../writer.ts";
import { requireOther } from "../output-file.ts";
import { openSources } from "./inputs.ts";
import type { InputOptions } from "./inputs.ts";
import type { RowSource } from "./row-source.ts";

/** Options of `packCorpus`. */
export interface PackOptions extends InputOptions {
  /** How to store the numbers. Default: float32. */
  readonly type?: ValueType | undefined;
  /** Replace an existing file. Default: false. */
  readonly overwrite?: boolean | undefined;
  /** As in `WriteOptions`. */
  readonly rowsPerBatch?: number | undefined;
  /** As in `ResumableRows`. */
  readonly noteEveryBytes?: number | undefined;
  readonly onProgress?: ((rows: number, ofRows: number) => void) | undefined;
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
    await requireOther(path, [...new Set(sources.map((source) => source.path))]);
    const { widths, labels } = commonShape(sources, options.labels);
    const columns = columnNames(options.column).map((name, i) => ({
      name: name ?? "activation",
      dIn: widths[i] ?? 0,
    }));
    const dIn = rowWidth(widths);
    const total = sources.reduce((sum, { rows }) => sum + rows, 0);
    if (total === 0) throw new CorpusError("empty", "there are no rows to pack", { path });
    const statistics = new StatisticsAccumulator(dIn);
    const ofColumns = columns.length > 1 ? new ColumnAccumulators(columns) : undefined;

    async function* from(firstRow: number): AsyncIterable<RowsToWrite> {
      let before = 0;
      for (const source of sources) {
        const skip = Math.max(0, firstRow - before);
        let row = skip;
        for await (const part of source.read(skip, signal)) {
          const stored = type === "float16" ? rounded(part.values) : part.values;
          requireFinite(stored, part.values, source, row, columns);
          yield part;
          statistics.add(stored, stored.length / dIn);
          ofColumns?.add(stored, stored.length / dIn);
          row += stored.length / dIn;
          options.onProgress?.(before + row, total);
        }
        before += source.rows;
      }
    }

    const identities = sources.map(({ path: name, identity, rows }) => [name, identity, rows]);
    const key = createHash("sha256").update(JSON.stringify(identities)).digest("hex");
    const { overwrite } = options;
    const result = await writeCorpusResumably(
      path,
      {
        dIn,
        type,
        labels,
        columns,
        overwrite,
        signal,
        rowsPerBatch: options.rowsPerBatch,
      },
      { key, from, noteEveryBytes: options.noteEveryBytes },
    );
    const kept =
      result.resumedRows === 0 ? await keepStatistics(path, columns, statistics, ofColumns) : undefined;
    return { ...result, sources: sources.length, statistics: kept };
  } finally {
    for (const corpus of opened) await corpus.close();
    await storage.close();
  }
}

async function keepStatistics(
  path: string,
  columns: readonly CorpusColumn[],
  statistics: StatisticsAccumulator,
  ofColumns: ColumnAccumulators | undefined,
): Promise<string> {
  await using corpus = await openCorpus([path], { column: columns.map(({ name }) => name) });
  return await writeStatistics(corpus, {
    rows: corpus.rows,
    sampledRows: statistics.rows,
    exact: true,
    source: "full",
    ...statistics.finish(),
    filteredRows: 0,
    nonFiniteRows: 0,
    nonFinitePlaces: [],
    ...(ofColumns === undefined ? {} : { columns: ofColumns.finish() }),
  });
}

/** @throws CorpusError non-finite, naming the input, the row and the column. */
function requireFinite(
  stored: Float32Array,
  given: Float32Array,
  source: RowSource,
  firstRow: number,
  columns: readonly CorpusColumn[],
): void {
  const bad = firstNonFinite(stored);
  if (bad < 0) return;
  const value = given[bad]!;
  const dIn = rowWidth(columns.map((column) => column.dIn));
  const { column, index } = columnAt(columns, bad % dIn);
  const tooLarge = Number.isFinite(value);
  const what = tooLarge
    ? `${value} is too large for float16; take float32`
    : `number ${index} of ${column.dIn} is ${value}; remove the row, or find out what produced it`;
  throw new CorpusError("non-finite", what, {
    ...source.place(firstRow + Math.floor(bad / dIn)),
    ...(columns.length > 1 && { column: column.name }),
    ...(tooLarge && { option: "type" }),
  });
}

/** The numbers as float16 stores them. */
function rounded(values: Float32Array): Float32Array {
  return new Float32Array(new Float16Array(values));
}

/** The dimensions that all sources share, and the labels that all of them have. */
function commonShape(
  sources: readonly RowSource[],
  wanted: readonly string[] | undefined,
): { widths: readonly number[]; labels: Readonly<Record<string, WrittenLabelType>> } {
  const [first, ...others] = sources;
  if (first === undefined) throw new CorpusError("not-found", "no input was given: name files or folders");
  const dimensions = ({ widths }: RowSource): string => widths.join(" + ");
  for (const other of others) {
    if (dimensions(other) === dimensions(first)) continue;
    const what = `has ${dimensions(other)} dimensions, but ${first.path} has ${dimensions(first)}; one corpus has one`;
    throw new CorpusError("dimension-mismatch", what, { path: other.path });
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
  return { widths: first.widths, labels };
}
