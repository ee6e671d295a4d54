/**
 * What a corpus is to whoever reads it: rows of activation vectors in blocks, with labels, wherever they come from.
 * Types only; `open-corpus.ts` opens one.
 */
import type { IgnoredColumn, LabelColumn } from "./arrow/label-columns.ts";
import type { LabelValue } from "./arrow/label-values.ts";
import type { ValueType } from "./arrow/vector-column.ts";
import type { Block, Blocks } from "./blocks.ts";

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
