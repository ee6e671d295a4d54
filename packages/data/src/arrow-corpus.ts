/**
 * The corpus that Arrow files make: reads rows and labels of blocks, straight into memory that the caller gives, and
 * closes the files. They are opened and checked before (`open-corpus.ts`).
 */
import type { BufferReader } from "./arrow/buffers.ts";
import { commonLabels, whyIgnored } from "./arrow/label-columns.ts";
import type { IgnoredColumn, LabelColumn } from "./arrow/label-columns.ts";
import { LabelReader } from "./arrow/labels.ts";
import type { LabelValue } from "./arrow/label-values.ts";
import { readSideBySide } from "./arrow/side-by-side.ts";
import { valueBytes } from "./arrow/vector-column.ts";
import type { ValueType } from "./arrow/vector-column.ts";
import { readVectors } from "./arrow/vector-reader.ts";
import { findRow } from "./blocks.ts";
import type { Block, Blocks, Segment } from "./blocks.ts";
import { mapConcurrently } from "./concurrently.ts";
import type { Corpus, CorpusColumn, CorpusFile, LabelValues, RowPlace } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { notesOn, sequenceCount } from "./opened-files.ts";
import type { OpenedFile } from "./opened-files.ts";
import type { Storage } from "./storage.ts";

/** Segments of a block read at a time from a server; from a disk they are read in turn. */
const REMOTE_SEGMENTS_IN_FLIGHT = 8;

/** What a corpus reads from. */
export interface Sources {
  readonly storage: Storage;
  readonly reader: BufferReader;
  readonly opened: readonly OpenedFile[];
}

/** How its rows look, and how they are cut into blocks. */
export interface CorpusShape {
  readonly dIn: number;
  readonly type: ValueType;
  readonly columns: readonly CorpusColumn[];
  readonly blocks: Blocks;
  readonly rowsPerBlock: number;
}

/** An open corpus of Arrow files. */
export class ArrowCorpus implements Corpus {
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
        const why = whyIgnored(this.ignoredColumns, name);
        const what = `there is no label column "${name}"${why}; there are: ${known}`;
        throw new CorpusError("no-label-column", what);
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
