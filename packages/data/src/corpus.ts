/**
 * A corpus: one or more Arrow files with a column of activation vectors, opened for reading in blocks. Opening
 * reads headers only and refuses what cannot be read, by file, batch and row; the values are read later, block
 * by block, straight into memory that the caller gives. Knows nothing of models, shuffling or statistics.
 */
import type { Field } from "apache-arrow";
import { BufferReader } from "./arrow/buffers.ts";
import { indexIpc } from "./arrow/ipc.ts";
import type { IpcIndex } from "./arrow/ipc.ts";
import { commonLabels } from "./arrow/label-columns.ts";
import type { IgnoredColumn, LabelColumn } from "./arrow/label-columns.ts";
import { LabelReader } from "./arrow/labels.ts";
import type { LabelValue } from "./arrow/label-values.ts";
import { readSideBySide, requireSideBySide } from "./arrow/side-by-side.ts";
import { locateVectors } from "./arrow/vector-batches.ts";
import type { VectorColumn } from "./arrow/vector-batches.ts";
import { chooseVectorColumn, deliveredType, valueBytes } from "./arrow/vector-column.ts";
import type { ValueType } from "./arrow/vector-column.ts";
import { readVectors } from "./arrow/vector-reader.ts";
import { findRow, planBlocks } from "./blocks.ts";
import type { Block, Blocks, Segment } from "./blocks.ts";
import { mapConcurrently } from "./concurrently.ts";
import { CorpusError } from "./errors.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { resolvePaths } from "./paths.ts";
import type { RangeReader } from "./range-reader.ts";
import type { RemoteOptions } from "./remote/options.ts";
import { Storage } from "./storage.ts";
import { openSyntheticCorpus } from "./synthetic/corpus.ts";
import { isSyntheticPath } from "./synthetic/path.ts";

/** Options of `openCorpus`. */
export interface CorpusOptions {
  /**
   * The vector column. Default: the only column that holds vectors. Several: a row is their vectors side by side, in
   * this order; they must have one number type, and their rows in the same record batches.
   */
  readonly column?: string | readonly string[] | undefined;
  /** Most bytes of values in a block, at least one row and at most 16 MiB. Default: 4 MiB. */
  readonly blockBytes?: number | undefined;
  /** How corpora on servers are read and cached. Default: as the environment says. */
  readonly remote?: RemoteOptions | undefined;
  /** Stops the opening. */
  readonly signal?: AbortSignal | undefined;
}

/** One file of a corpus. */
export interface CorpusFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Arrow IPC file or stream, by its content; or no file at all. */
  readonly format: "file" | "stream" | "synthetic";
  readonly rows: number;
  /** Number of record batches. */
  readonly batches: number;
}

/** A column of vectors that is part of a corpus's rows. */
export interface CorpusColumn {
  readonly name: string;
  /** Dimension of its vectors. */
  readonly dIn: number;
}

/** A row's place in the files. */
export interface RowPlace {
  readonly path: string;
  /** Index of the record batch in the file. */
  readonly batch: number;
  /** Index of the row in the batch. */
  readonly row: number;
  /** Index of the vector in the row, where a row of the file is a sequence of vectors. */
  readonly position?: number;
}

/** The labels of some rows. */
export interface LabelValues extends Iterable<LabelValue> {
  readonly length: number;
  /** Label of row `i` of the block; null where the file has a null. @throws RangeError outside the block. */
  get(i: number): LabelValue;
}

/** An open corpus. Close it, or declare it with `await using`. */
export interface Corpus extends AsyncDisposable {
  /** In the order of their rows. */
  readonly files: readonly CorpusFile[];
  readonly rows: number;
  /** Dimension of the rows: of the vectors, or of all columns' vectors together. */
  readonly dIn: number;
  /** Name of the vector column; of several, the names with commas between them. */
  readonly column: string;
  /** The vector columns, in the order in which they make a row: one, unless several were asked for. */
  readonly columns: readonly CorpusColumn[];
  /** How the numbers are given: as they are stored, float64 and bfloat16 as float32. */
  readonly type: ValueType;
  /** What a user should know of how the files are read (conversions, compression), each one line. */
  readonly notes: readonly string[];
  /** Columns readable as labels: those that every file has, with one type. */
  readonly labels: readonly LabelColumn[];
  /** The other columns, and why they are not. */
  readonly ignoredColumns: readonly IgnoredColumn[];
  /** All rows, in order. */
  readonly blocks: Blocks;
  /** Rows of a full block. */
  readonly rowsPerBlock: number;
  /** SHA-256 in hexadecimal of names, sizes, headers, first and last rows; independent of `blockBytes`. */
  readonly fingerprint: string;

  /**
   * Reads a block's values (little-endian float16 or float32, `[rows, dIn]`).
   * @param into at least `block.byteLength` bytes; may lie in shared memory.
   * @throws CorpusError changed, unreadable, malformed (damaged compressed data); the signal's reason when it is aborted.
   */
  readBlock(block: Block, into: Uint8Array, signal?: AbortSignal): Promise<void>;
  /**
   * Reads some rows of a block, one after the other into `into`. Pays for a few rows only (`areFew`);
   * neighbours share a read.
   * @param rows indices within the block, ascending.
   */
  readRows(block: Block, rows: Uint32Array, into: Uint8Array, signal?: AbortSignal): Promise<void>;
  /**
   * Reads label columns of a block's rows.
   * @throws CorpusError no-label-column when a name is not in `labels`.
   */
  readLabels(block: Block, names: readonly string[], signal?: AbortSignal): Promise<Map<string, LabelValues>>;
  /** Where a row comes from. @param row global index. @throws RangeError when there is no such row. */
  locate(row: number): RowPlace;
  /** Closes the files. Safe to call twice. */
  close(): Promise<void>;
}

const DEFAULT_BLOCK_BYTES = 4 * 1024 * 1024;
const MAX_BLOCK_BYTES = 16 * 1024 * 1024;

/** Files opened at a time: on a server each takes several round trips. */
const FILES_IN_FLIGHT = 8;
/** Segments of a block read at a time from a server; from a disk they are read in turn. */
const REMOTE_SEGMENTS_IN_FLIGHT = 8;

interface OpenedFile {
  readonly file: RangeReader;
  readonly index: IpcIndex;
  /** The first vector column: the one that labels and places go by. */
  readonly vectors: VectorColumn;
  /** All of them. */
  readonly columns: readonly VectorColumn[];
}

/**
 * Opens the files that the patterns (paths and globs) name as one corpus, ordered by the bytes of their paths; or
 * the one synthetic corpus that `synth:<preset>` names.
 * @throws CorpusError for whatever is wrong with the patterns, the options or the files.
 */
export async function openCorpus(patterns: readonly string[], options: CorpusOptions = {}): Promise<Corpus> {
  return await openFiles(patterns, options, true);
}

/** As `openCorpus`, but reads no values yet, so that it may succeed where they are damaged; the fingerprint is empty. */
export async function openUnread(patterns: readonly string[], options: CorpusOptions): Promise<Corpus> {
  return await openFiles(patterns, options, false);
}

async function openFiles(
  patterns: readonly string[],
  options: CorpusOptions,
  withFingerprint: boolean,
): Promise<Corpus> {
  const blockBytes = options.blockBytes ?? DEFAULT_BLOCK_BYTES;
  if (!Number.isInteger(blockBytes) || blockBytes < 1 || blockBytes > MAX_BLOCK_BYTES) {
    const what = `blockBytes must be an integer between 1 and ${MAX_BLOCK_BYTES} (16 MiB), got ${blockBytes}`;
    throw new CorpusError("invalid-option", what);
  }
  const synthetic = patterns.find(isSyntheticPath);
  if (synthetic !== undefined) {
    if (patterns.length === 1) return await openSyntheticCorpus(synthetic, { ...options, blockBytes });
    throw new CorpusError("invalid-option", "a synthetic corpus stands alone: name it without others", {
      path: synthetic,
    });
  }
  const storage = new Storage(options.remote);
  const reader = new BufferReader();
  try {
    const paths = await resolvePaths(patterns, (address) => storage.list(address, options.signal));
    const open = (path: string, names: readonly (string | undefined)[]): Promise<OpenedFile> =>
      openFile(storage, reader, path, names, options.signal);
    const [firstPath, ...otherPaths] = paths;
    if (firstPath === undefined) throw new Error("internal: patterns name files");
    const first = await open(firstPath, columnNames(options.column));
    const names = first.columns.map(({ column }) => column);
    const others = await mapConcurrently(otherPaths, FILES_IN_FLIGHT, (path) => open(path, names));
    const opened = [first, ...others];
    const corpus = assemble({ storage, reader, opened }, blockBytes);
    if (withFingerprint) corpus.fingerprint = await fingerprint(corpus, opened, options.signal);
    return corpus;
  } catch (error) {
    await storage.close();
    throw error;
  }
}

/** The names that an option gives; undefined: the only column there is. */
function columnNames(column: CorpusOptions["column"]): readonly (string | undefined)[] {
  if (column === undefined || typeof column === "string") return [column];
  const twice = column.find((name, i) => column.indexOf(name) !== i);
  if (twice !== undefined) throw new CorpusError("invalid-option", `the column "${twice}" is named twice`);
  if (column.length === 0) throw new CorpusError("invalid-option", "name at least one vector column");
  return column;
}

/** What a corpus reads from. */
interface Sources {
  readonly storage: Storage;
  readonly reader: BufferReader;
  readonly opened: readonly OpenedFile[];
}

async function openFile(
  storage: Storage,
  reader: BufferReader,
  path: string,
  names: readonly (string | undefined)[],
  signal: AbortSignal | undefined,
): Promise<OpenedFile> {
  signal?.throwIfAborted();
  const file = await storage.open(path, signal);
  const index = await indexIpc(file, signal);
  const columns: VectorColumn[] = [];
  for (const name of names) {
    const field: Field = chooseVectorColumn(index.schema, name, path);
    columns.push(await locateVectors(file, index, field, reader, signal));
  }
  const [vectors] = columns;
  if (vectors === undefined) throw new Error("internal: no columns");
  if (columns.length > 1) requireSideBySide(path, columns);
  return { file, index, vectors, columns };
}

function assemble(sources: Sources, blockBytes: number): OpenCorpus {
  const { opened } = sources;
  const { columns, type } = commonShape(opened);
  const dIn = columns.reduce((sum, column) => sum + column.dIn, 0);
  const rowBytes = dIn * valueBytes(type);
  if (rowBytes > MAX_BLOCK_BYTES) {
    const what = `a row of ${dIn} numbers takes ${rowBytes} bytes; at most ${MAX_BLOCK_BYTES} (16 MiB) are read`;
    throw new CorpusError("unsupported", what, { path: opened[0]?.file.path, column: columns[0]?.name });
  }
  const batchRows = opened.map(({ vectors }) => vectors.batches.rows);
  const rowsPerBlock = Math.max(1, Math.floor(blockBytes / rowBytes));
  const blocks = planBlocks(batchRows, rowBytes, rowsPerBlock);
  return new OpenCorpus(sources, { dIn, type, columns, blocks, rowsPerBlock });
}

async function fingerprint(
  corpus: Corpus,
  opened: readonly OpenedFile[],
  signal: AbortSignal | undefined,
): Promise<string> {
  const rowBytes = corpus.dIn * valueBytes(corpus.type);
  const columns = opened.map(({ vectors }) => vectors.batches.rows);
  // It must not depend on the block size, so it has its own plan.
  const plan = planBlocks(columns, rowBytes, Math.max(1, Math.floor(DEFAULT_BLOCK_BYTES / rowBytes)));
  const first = plan.at(0)!;
  const memory = new Uint8Array(first.byteLength);
  const ends = async function* (): AsyncIterable<Uint8Array> {
    for (const block of plan.length > 1 ? [first, plan.at(-1)!] : [first]) {
      // The first block may be that of a small file, and the last a whole one.
      const bytes = block.byteLength <= memory.byteLength ? memory : new Uint8Array(block.byteLength);
      await corpus.readBlock(block, bytes, signal);
      yield bytes.subarray(0, block.byteLength);
    }
  };
  const parts = opened.map(({ file, index }) => ({ ...file, metadataBytes: index.metadataBytes }));
  const names = corpus.columns.map(({ name }) => name);
  return await fingerprintOf(names.length === 1 ? corpus.column : JSON.stringify(names), parts, ends());
}

/** The columns' dimensions and the number type that all files share. */
function commonShape(opened: readonly OpenedFile[]): { columns: CorpusColumn[]; type: ValueType } {
  const withRows = opened.filter((one) => one.vectors.batches.totalRows > 0);
  const first = withRows[0];
  if (first === undefined) {
    const path = opened.length === 1 ? opened[0]?.file.path : undefined;
    throw new CorpusError("empty", "there are no rows", { path });
  }
  const type = deliveredType(first.vectors.stored);
  const columns = first.columns.map(({ column, dIn }) => {
    // Batches with rows have vectors of some length.
    if (dIn === undefined)
      throw new CorpusError("empty", "there are no rows", { path: first.file.path, column });
    return { name: column, dIn };
  });
  for (const file of withRows) {
    for (const [i, other] of file.columns.entries()) {
      const { name, dIn } = columns[i]!;
      if (other.dIn === dIn && deliveredType(other.stored) === type) continue;
      const what = `${other.dIn} x ${other.stored}, but ${first.file.path} has ${dIn} x ${type}; the files of a corpus must agree`;
      throw new CorpusError("dimension-mismatch", what, { path: file.file.path, column: name });
    }
  }
  return { columns, type };
}

interface CorpusShape {
  readonly dIn: number;
  readonly type: ValueType;
  readonly columns: readonly CorpusColumn[];
  readonly blocks: Blocks;
  readonly rowsPerBlock: number;
}

class OpenCorpus implements Corpus {
  readonly files: readonly CorpusFile[];
  readonly rows: number;
  readonly dIn: number;
  readonly column: string;
  readonly columns: readonly CorpusColumn[];
  readonly type: ValueType;
  readonly labels: readonly LabelColumn[];
  readonly ignoredColumns: readonly IgnoredColumn[];
  readonly blocks: Blocks;
  readonly rowsPerBlock: number;
  fingerprint = "";
  readonly notes: readonly string[];
  readonly #sources: Sources;
  readonly #labelReaders: readonly LabelReader[];
  readonly #rowBytes: number;
  readonly #isRemote: boolean;

  constructor(sources: Sources, shape: CorpusShape) {
    this.#sources = sources;
    const { opened, reader } = sources;
    this.#isRemote = sources.opened.some(({ file }) => file.isRemote);
    this.#rowBytes = shape.dIn * valueBytes(shape.type);
    this.files = opened.map(({ file, index, vectors }) => ({
      path: file.path,
      size: file.size,
      format: index.format,
      rows: vectors.batches.totalRows,
      batches: vectors.batches.length,
    }));
    this.rows = this.files.reduce((sum, file) => sum + file.rows, 0);
    this.dIn = shape.dIn;
    const names = shape.columns.map(({ name }) => name);
    this.column = names.join(",");
    this.columns = shape.columns;
    this.type = shape.type;
    this.blocks = shape.blocks;
    this.rowsPerBlock = shape.rowsPerBlock;
    const schemas = opened.map(({ file, index, vectors }) => ({
      path: file.path,
      schema: index.schema,
      nested: vectors.nested,
    }));
    const columns = commonLabels(schemas, names);
    this.labels = columns.labels;
    this.ignoredColumns = columns.ignored;
    let firstSequence = 0;
    this.#labelReaders = opened.map(({ file, index, vectors }) => {
      const labels = new LabelReader(file, reader, index, vectors, firstSequence);
      firstSequence += sequenceCount(vectors);
      return labels;
    });
    this.notes = notesOn(opened);
  }

  async readBlock(block: Block, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    requireRoom(into, block.byteLength);
    let start = 0;
    const read = (segment: Segment): Promise<void> => {
      const target = into.subarray(start, (start += segment.rows * this.#rowBytes));
      return this.#readRange(segment, segment.firstRow, target, signal);
    };
    // Both take the segments in order, which is that of their places in the block.
    if (this.#isRemote) await mapConcurrently(block.segments, REMOTE_SEGMENTS_IN_FLIGHT, read);
    else for (const segment of block.segments) await read(segment);
  }

  async readRows(block: Block, rows: Uint32Array, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const rowBytes = this.#rowBytes;
    requireRoom(into, rows.length * rowBytes);
    if (this.#isRemote && rows.length > 1) {
      // One round trip instead of several, and the cache keeps what the block's other readers ask for.
      const bytes = new Uint8Array(block.byteLength);
      await this.readBlock(block, bytes, signal);
      for (const [i, row] of rows.entries()) {
        if (row >= block.rows) throw outsideBlock(row, block);
        into.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), i * rowBytes);
      }
      return;
    }
    let next = 0;
    let firstRow = 0;
    for (const segment of block.segments) {
      const endRow = firstRow + segment.rows;
      while (next < rows.length && rows[next]! < endRow) {
        const row = rows[next]!;
        let run = 1;
        while (next + run < rows.length && rows[next + run] === row + run && row + run < endRow) run++;
        const target = into.subarray(next * rowBytes, (next + run) * rowBytes);
        await this.#readRange(segment, segment.firstRow + row - firstRow, target, signal);
        next += run;
      }
      firstRow = endRow;
    }
    if (next < rows.length) throw outsideBlock(rows[next]!, block);
  }

  async readLabels(
    block: Block,
    names: readonly string[],
    signal?: AbortSignal,
  ): Promise<Map<string, LabelValues>> {
    const result = new Map<string, LabelValues>();
    for (const name of names) {
      if (!this.labels.some((label) => label.name === name)) {
        const known = this.labels.map((label) => `"${label.name}"`).join(", ") || "none";
        throw new CorpusError("no-label-column", `there is no label column "${name}"; there are: ${known}`);
      }
      const values: LabelValue[] = [];
      for (const { file: fileIndex, batch, firstRow, rows } of block.segments) {
        const part = await this.#labelReader(fileIndex).read(batch, name, firstRow, rows, signal);
        for (const value of part) values.push(value);
      }
      result.set(name, labelValues(values));
    }
    return result;
  }

  locate(row: number): RowPlace {
    const { segment, batchRow } = findRow(this.blocks, row);
    const { batch } = segment;
    const { file, vectors } = this.#file(segment.file);
    const sequences = vectors.batches.sequences(batch);
    return { path: file.path, batch, ...(sequences?.place(batchRow) ?? { row: batchRow }) };
  }

  async close(): Promise<void> {
    this.#sources.reader.clear();
    await this.#sources.storage.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Fills `into` with rows of a segment's batch, from `firstRow` of the batch on. */
  #readRange(
    { file: fileIndex, batch }: Segment,
    firstRow: number,
    into: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { file, vectors, columns } = this.#file(fileIndex);
    const range = { batch, firstRow, rows: into.byteLength / this.#rowBytes };
    if (columns.length > 1) {
      const widths = this.columns.map(({ dIn }) => dIn);
      return readSideBySide(this.#sources.reader, columns, widths, range, into, file.path, signal);
    }
    const place = { path: file.path, batch, column: this.column };
    return readVectors(this.#sources.reader, vectors, this.dIn, range, into, place, signal);
  }

  #file(index: number): OpenedFile {
    const opened = this.#sources.opened[index];
    if (opened === undefined) throw new RangeError("the block belongs to another corpus");
    return opened;
  }

  #labelReader(index: number): LabelReader {
    const reader = this.#labelReaders[index];
    if (reader === undefined) throw new RangeError("the block belongs to another corpus");
    return reader;
  }
}

function sequenceCount(vectors: VectorColumn): number {
  if (!vectors.nested) return 0;
  let count = 0;
  for (let batch = 0; batch < vectors.batches.length; batch++) {
    count += vectors.batches.sequences(batch)?.count ?? 0;
  }
  return count;
}

/** What is not read as it is stored. */
function notesOn(opened: readonly OpenedFile[]): string[] {
  const notes: string[] = [];
  const sequences = opened.reduce((sum, { vectors }) => sum + sequenceCount(vectors), 0);
  if (sequences > 0) notes.push(`${sequences} sequences are read as one row per vector`);
  for (const type of ["float64", "bfloat16"] as const) {
    if (opened.some(({ vectors }) => vectors.stored === type)) {
      notes.push(`numbers stored as ${type} are converted to float32`);
    }
  }
  const isPacked = opened.some(({ vectors }) => vectors.batches.isPacked);
  if (isPacked) {
    notes.push("compressed batches are unpacked whole: uncompressed files are read several times faster");
  }
  return notes;
}

function labelValues(values: readonly LabelValue[]): LabelValues {
  return {
    length: values.length,
    get: (i) => {
      const value = values[i];
      if (value === undefined) throw new RangeError(`there is no label ${i} of ${values.length}`);
      return value;
    },
    [Symbol.iterator]: () => values[Symbol.iterator](),
  };
}

function outsideBlock(row: number, block: Block): RangeError {
  return new RangeError(`row ${row} is not in a block of ${block.rows} rows`);
}

function requireRoom(into: Uint8Array, byteLength: number): void {
  if (into.byteLength < byteLength) {
    throw new RangeError(`${byteLength} bytes are needed to read into, got ${into.byteLength}`);
  }
}
