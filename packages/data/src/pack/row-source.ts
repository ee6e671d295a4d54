/**
 * Rows to be packed, whatever they come from, read in order, from any row on; and a corpus as such rows. Files of arrays:
 * `array-source.ts`, Parquet: `parquet.ts`.
 */
import type { WrittenLabelType } from "../arrow/encode.ts";
import { valueBytes } from "../arrow/vector-column.ts";
import type { Corpus } from "../corpus.ts";
import { CorpusError } from "../errors.ts";
import type { CorpusErrorPlace } from "../errors.ts";
import type { WrittenLabel } from "../label-builder.ts";
import { createRowWriter, rawValues, rowTarget } from "../transform.ts";
import type { RowsToWrite } from "../writer.ts";

/** Rows in order. */
export interface RowSource {
  readonly path: string;
  /** Tells this content from another of the same name. */
  readonly identity: string;
  readonly rows: number;
  /** Dimensions of the vectors of each column that was asked for; of one, unless there were several. */
  readonly widths: readonly number[];
  readonly labels: Readonly<Record<string, WrittenLabelType>>;
  /** Number of sequences, where its rows are the vectors of sequences and it numbers them. Default: 0. */
  readonly sequences?: number;
  /** Where a row comes from, for messages: of several columns, in the first. */
  place(row: number): CorpusErrorPlace;
  /** The rows from `firstRow` on. Each part's arrays may be overwritten by the next. */
  read(firstRow: number, signal?: AbortSignal): AsyncIterable<RowsToWrite>;
}

/** What to take of a source. */
export interface RowSelection {
  /**
   * The column or array of vectors. Default: the only one there is. Several: a row is their vectors side by side, in
   * this order.
   */
  readonly column?: string | readonly string[] | undefined;
  /** Names of the labels to take. Default: all. */
  readonly labels?: readonly string[] | undefined;
  /** Sequences in the sources before, whose indices are taken. */
  readonly firstSequence: number;
}

/** A corpus as a source; its labels keep their names and types. */
export function corpusSource(corpus: Corpus, names: readonly string[] | undefined, path: string): RowSource {
  const labels = writtenLabels(corpus, names, path);
  const { dIn, type } = corpus;
  async function* read(firstRow: number, signal?: AbortSignal): AsyncIterable<RowsToWrite> {
    const bytes = new Uint8Array(corpus.rowsPerBlock * dIn * valueBytes(type));
    const stored = rawValues(type, bytes.buffer, 0, corpus.rowsPerBlock * dIn);
    const values = new Float32Array(corpus.rowsPerBlock * dIn);
    const target = rowTarget(values);
    const writeRow = createRowWriter(type, dIn);
    for (const block of corpus.blocks) {
      const skip = Math.max(0, firstRow - block.firstRow);
      if (skip >= block.rows) continue;
      await corpus.readBlock(block, bytes, signal);
      // Numbers that are not finite are found by the writer, which names their place.
      for (let row = skip; row < block.rows; row++) writeRow(stored, row * dIn, target, (row - skip) * dIn);
      // Without a prototype: a column may be called __proto__.
      const columns = Object.create(null) as Record<string, WrittenLabel[]>;
      for (const [name, column] of await corpus.readLabels(block, Object.keys(labels), signal)) {
        columns[name] = Array.from(column)
          .slice(skip)
          .map((label, i) => {
            if (label !== null) return label;
            const what = "a label is null, which is not written; leave the column out";
            throw new CorpusError("nulls", what, {
              ...corpus.locate(block.firstRow + skip + i),
              column: name,
              option: "labels",
            });
          });
      }
      yield { values: values.subarray(0, (block.rows - skip) * dIn), labels: columns };
    }
  }
  const [first] = corpus.columns;
  const place = (row: number): CorpusErrorPlace => ({ ...corpus.locate(row), column: first?.name });
  const widths = corpus.columns.map((column) => column.dIn);
  return { path, identity: corpus.fingerprint, rows: corpus.rows, widths, labels, place, read };
}

/** The label columns of a corpus, as they are written. @param names default: all. */
export function writtenLabels(
  corpus: Corpus,
  names: readonly string[] | undefined,
  path: string,
): Readonly<Record<string, WrittenLabelType>> {
  return Object.fromEntries(
    corpus.labels
      .filter(({ name }) => names === undefined || names.includes(name))
      .map(({ name, type }) => [name, writtenType(type, path, name)]),
  );
}

/** Arrow's name of a label's type as one that can be written; dictionaries are written out. */
function writtenType(type: string, path: string, column: string): WrittenLabelType {
  const plain = /^Dictionary<.*, *(\w+)>$/.exec(type)?.[1] ?? type;
  const names: Readonly<Record<string, WrittenLabelType>> = {
    Utf8: "utf8",
    LargeUtf8: "utf8",
    Utf8View: "utf8",
    Bool: "bool",
    Int8: "int8",
    Int16: "int16",
    Int32: "int32",
    Int64: "int64",
    Uint8: "uint8",
    Uint16: "uint16",
    Uint32: "uint32",
    Uint64: "uint64",
    Float32: "float32",
    Float64: "float64",
  };
  const written = names[plain];
  if (written !== undefined) return written;
  throw new CorpusError("unsupported", `labels of type ${type} are not written; leave the column out`, {
    path,
    column,
  });
}
