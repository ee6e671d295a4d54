/**
 * Writes a corpus: an Arrow IPC file with FixedSizeList columns of vectors, one or several, and, if wanted, label columns;
 * uncompressed, buffers aligned to 64 bytes, so that a reader can take rows straight from the file. The file
 * appears under its name only when it is complete. Memory: one record batch.
 */
import type { FileHandle } from "node:fs/promises";
import { rm } from "node:fs/promises";
import { FileEncoder } from "./arrow/encode.ts";
import type { BatchPlace, WrittenLabelType } from "./arrow/encode.ts";
import { valueBytes } from "./arrow/vector-column.ts";
import type { ValueType } from "./arrow/vector-column.ts";
import { columnAt, columnNames, rowWidth } from "./columns.ts";
import type { CorpusColumn } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { Journal } from "./journal.ts";
import { LabelBuilder } from "./label-builder.ts";
import type { WrittenLabel } from "./label-builder.ts";
import { complete, create, lockOutput, requireFree, writeFully } from "./output-file.ts";
import { RowStage } from "./row-stage.ts";

/** Options of `writeCorpus`. */
export interface WriteOptions {
  /** Name of the vector column. Default: `activation`. */
  readonly column?: string | undefined;
  /** Dimension of the rows. */
  readonly dIn: number;
  /**
   * Instead of `column`: the vector columns, where rows are the vectors of several side by side, in this order. Their
   * dimensions add up to `dIn`.
   */
  readonly columns?: readonly CorpusColumn[] | undefined;
  /** How to store the numbers; float16 rounds to nearest, ties to even. */
  readonly type: ValueType;
  /** Label columns by name. Default: none. */
  readonly labels?: Readonly<Record<string, WrittenLabelType>> | undefined;
  /** Rows of a record batch (the last may be shorter). Default: as many as fill 16 MiB. */
  readonly rowsPerBatch?: number | undefined;
  /** Replace an existing file. Default: false. */
  readonly overwrite?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Some rows to write; any number of them. */
export interface RowsToWrite {
  /** `[rows, dIn]`. */
  readonly values: Float32Array;
  /** A value per row for each label column. */
  readonly labels?: Readonly<Record<string, readonly WrittenLabel[]>> | undefined;
}

/** What was written. */
export interface WriteResult {
  readonly rows: number;
  /** Record batches. */
  readonly batches: number;
  /** Size of the file. */
  readonly bytes: number;
}

/** Rows to write that can be asked for from any row on: what makes a broken-off writing resumable. */
export interface ResumableRows {
  /**
   * Tells these rows from all others. A part that was written under the same key, with the same options, is gone
   * on with.
   */
  readonly key: string;
  /** Bytes after which it is noted again how far the file is good; each note waits for the disk. Default: 256 MiB. */
  readonly noteEveryBytes?: number | undefined;
  /** The rows from `firstRow` on. */
  from(firstRow: number): AsyncIterable<RowsToWrite> | Iterable<RowsToWrite>;
}

/** A good unit for readers of whole batches; ours cuts as it likes. */
const BATCH_BYTES = 16 * 1024 * 1024;

/**
 * Writes rows to `path`, by way of `<path>.partial`, which is removed when anything goes wrong.
 * @throws CorpusError exists, not-found (the folder), invalid-option, invalid-label, non-finite (a value that is
 *   not finite, or too large for float16), unwritable; and what `batches` throws.
 */
export async function writeCorpus(
  path: string,
  options: WriteOptions,
  batches: AsyncIterable<RowsToWrite> | Iterable<RowsToWrite>,
): Promise<WriteResult> {
  const rowsPerBatch = checkOptions(path, options);
  await requireFree([path], options.overwrite ?? false);
  await using lock = await lockOutput(path);
  const partial = `${path}.partial`;
  const handle = await create(partial);
  try {
    return await complete({ handle, lock }, path, options.overwrite === true, () =>
      writeRows(handle, path, options, rowsPerBatch, batches, [], async () => {}),
    );
  } catch (error) {
    if (await lock.isOurs()) await rm(partial, { force: true });
    throw error;
  }
}

/**
 * As `writeCorpus`, but what was written stays when something goes wrong (a signal, a full disk, a lost input):
 * `<path>.partial`, and `<path>.partial.json`, which says how far it is good. The same call goes on from there, and
 * the file has the bytes that it would have had.
 */
export async function writeCorpusResumably(
  path: string,
  options: WriteOptions,
  rows: ResumableRows,
): Promise<WriteResult & { readonly resumedRows: number }> {
  const rowsPerBatch = checkOptions(path, options);
  await requireFree([path], options.overwrite ?? false);
  const { type, labels = {} } = options;
  await using lock = await lockOutput(path);
  const key = JSON.stringify([rows.key, columnsOf(options), type, labels, rowsPerBatch]);
  const journal = new Journal(path, key, rows.noteEveryBytes);
  const { handle, batches } = await journal.open();
  const resumedRows = batches.length * rowsPerBatch;
  try {
    const result = await complete({ handle, lock }, path, options.overwrite === true, () =>
      writeRows(handle, path, options, rowsPerBatch, rows.from(resumedRows), batches, (written) =>
        journal.note(handle, written),
      ),
    );
    await journal.remove();
    return { ...result, resumedRows };
  } catch (error) {
    // What was not yet noted cannot be gone on with.
    if (!journal.isNoted && (await lock.isOurs())) await rm(`${path}.partial`, { force: true });
    throw error;
  }
}

async function writeRows(
  handle: FileHandle,
  path: string,
  options: WriteOptions,
  rowsPerBatch: number,
  source: AsyncIterable<RowsToWrite> | Iterable<RowsToWrite>,
  before: readonly BatchPlace[],
  onBatch: (written: readonly BatchPlace[]) => Promise<void>,
): Promise<WriteResult> {
  const { dIn, type, labels = {} } = options;
  const columns = columnsOf(options);
  const encoder = new FileEncoder({ columns, type, labels }, before);
  const stage = new RowStage(columns, type, rowsPerBatch);
  const builders = Object.entries(labels).map(([name, kind]) => new LabelBuilder(name, kind, rowsPerBatch));
  let rows = before.length * rowsPerBatch;

  const write = async (chunks: readonly Uint8Array[]): Promise<void> => {
    for (const chunk of chunks) await writeFully(handle, path, chunk);
  };
  const flush = async (): Promise<void> => {
    const stagedRows = stage.rows;
    const values = stage.finish();
    const finished = builders.map((builder) => builder.finish());
    await write(encoder.batch(stagedRows, values, finished));
  };

  if (before.length === 0) await write(encoder.start());
  let given = 0;
  for await (const part of source) {
    options.signal?.throwIfAborted();
    const partRows = checkPart(path, part, given, dIn, builders);
    for (let done = 0; done < partRows; ) {
      const take = Math.min(partRows - done, rowsPerBatch - stage.rows);
      const values = part.values.subarray(done * dIn, (done + take) * dIn);
      const bad = stage.append(values);
      if (bad >= 0) {
        const { name } = columnAt(columns, bad % dIn).column;
        throw unstorable(path, given, done + Math.floor(bad / dIn), values[bad]!, type, name);
      }
      for (const builder of builders) {
        builder.append(part.labels?.[builder.name] ?? [], done, take, { path, batch: given });
      }
      done += take;
      rows += take;
      if (stage.rows === rowsPerBatch) {
        await flush();
        await onBatch(encoder.batches);
      }
    }
    given++;
  }
  if (stage.rows > 0) await flush();
  await write(encoder.end());
  return { rows, batches: encoder.batches.length, bytes: encoder.bytes };
}

function unstorable(
  path: string,
  batch: number,
  row: number,
  value: number,
  type: ValueType,
  column: string,
): CorpusError {
  const what = Number.isFinite(value)
    ? `${value} is too large for float16; write float32`
    : `a number is ${value}; leave the row out`;
  return new CorpusError("non-finite", `${what} (${type})`, { path, batch, row, column });
}

function checkPart(
  path: string,
  part: RowsToWrite,
  batch: number,
  dIn: number,
  builders: readonly LabelBuilder[],
): number {
  const rows = part.values.length / dIn;
  if (!Number.isInteger(rows)) {
    const what = `${part.values.length} numbers are not whole rows of ${dIn}`;
    throw new CorpusError("dimension-mismatch", what, { path, batch });
  }
  for (const { name } of builders) {
    const given = part.labels?.[name]?.length ?? 0;
    if (given !== rows) {
      const what = `${given} labels were given for ${rows} rows`;
      throw new CorpusError("invalid-label", what, { path, batch, column: name });
    }
  }
  return rows;
}

/** Checks the options and returns the rows of a record batch. */
function checkOptions(path: string, options: WriteOptions): number {
  const { dIn, type, labels = {} } = options;
  if (!Number.isInteger(dIn) || dIn < 1) {
    throw new CorpusError("invalid-option", `dIn must be a positive integer, got ${dIn}`, { path });
  }
  const columns = columnsOf(options);
  const widths = columns.map((one) => one.dIn);
  columnNames(columns.map(({ name }) => name));
  if (!widths.every((width) => Number.isInteger(width) && width > 0) || rowWidth(widths) !== dIn) {
    const what = `the columns have ${widths.join(" + ")} dimensions, which do not make the ${dIn} of a row`;
    throw new CorpusError("invalid-option", what, { path });
  }
  for (const { name: column } of columns) {
    if (!Object.hasOwn(labels, column)) continue;
    throw new CorpusError("invalid-option", `a label column has the vector column's name`, { path, column });
  }
  const rowBytes = dIn * valueBytes(type);
  const rows = options.rowsPerBatch ?? Math.max(1, Math.floor(BATCH_BYTES / rowBytes));
  // Below 2^31 numbers and 1 GiB every reader can take a batch.
  const most = Math.max(1, Math.floor(2 ** 30 / rowBytes));
  if (!Number.isInteger(rows) || rows < 1 || rows > most) {
    throw new CorpusError("invalid-option", `rowsPerBatch must be between 1 and ${most}, got ${rows}`, {
      path,
    });
  }
  return rows;
}

/** The vector columns, of rows of one or several. */
function columnsOf({ column, columns, dIn }: WriteOptions): readonly CorpusColumn[] {
  return columns ?? [{ name: column ?? "activation", dIn }];
}
