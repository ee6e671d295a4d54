/**
 * Parquet files as rows to be packed, read by DuckDB: it streams row groups of any size, knows all codecs and
 * encodings, and is loaded only when a Parquet file is met (decision 013).
 */
import type * as DuckDb from "@duckdb/node-api";
import type { WrittenLabelType } from "../arrow/encode.ts";
import { columnNames, rowWidth } from "../columns.ts";
import type { CorpusColumn } from "../corpus.ts";
import { CorpusError } from "../errors.ts";
import type { CorpusErrorPlace } from "../errors.ts";
import type { WrittenLabel } from "../label-builder.ts";
import type { RangeReader } from "../range-reader.ts";
import type { RowsToWrite } from "../writer.ts";
import { Database, identifier, loadDuckDb, text, withDatabase } from "./duckdb-file.ts";
import type { Library } from "./duckdb-file.ts";
import type { RowSelection, RowSource } from "./row-source.ts";

/** Numbers given at a time. */
const CHUNK_NUMBERS = 2 ** 20;
/** What DuckDB reads at a time, of one row group; its rows may be long sequences. */
const ROWS_AT_A_TIME = 2048;
const MOST_BYTES_AT_A_TIME = 1024 ** 3;

const LABEL_TYPES: Readonly<Record<string, WrittenLabelType>> = {
  VARCHAR: "utf8",
  BOOLEAN: "bool",
  TINYINT: "int8",
  SMALLINT: "int16",
  INTEGER: "int32",
  BIGINT: "int64",
  UTINYINT: "uint8",
  USMALLINT: "uint16",
  UINTEGER: "uint32",
  UBIGINT: "uint64",
  FLOAT: "float32",
  DOUBLE: "float64",
};

/** A column of labels. */
interface Label {
  readonly name: string;
  readonly type: WrittenLabelType;
  /** True when a sequence has a list of them, one for each vector. */
  readonly listed: boolean;
}

/** What is read of a file. */
interface Layout {
  /** The columns of vectors, in the order in which they make a row. */
  readonly columns: readonly CorpusColumn[];
  /** True when a row of the file is a sequence of vectors. */
  readonly nested: boolean;
  readonly rows: number;
  /** Rows of the file that are sequences. */
  readonly sequences: number;
  readonly labels: readonly Label[];
}

/**
 * Opens a local Parquet file whose vectors are a column of lists of floats, or of lists of such lists (sequences of
 * vectors, each of which becomes a row, with labels `sequence` and `position`); or several such columns side by side.
 * @param load what imports DuckDB.
 * @throws CorpusError unsupported (DuckDB is not installed, the file is not local, its row groups are too large),
 * malformed, no-vector-column, ambiguous-column, dimension-mismatch (of several columns), empty.
 */
export async function openParquet(
  file: RangeReader,
  selection: RowSelection,
  load: () => Promise<Library> = () => import("@duckdb/node-api"),
): Promise<RowSource> {
  const { path } = file;
  if (file.isRemote) {
    throw new CorpusError("unsupported", "Parquet is read from this machine only; download it first", {
      path,
    });
  }
  const library = await loadDuckDb(path, load);
  const layout = await withDatabase(library, path, (database) => describe(database, path, selection));
  const { columns: vectors, rows, nested } = layout;
  const labels = Object.fromEntries(layout.labels.map(({ name, type }) => [name, type]));
  const wanted = (name: string): boolean => nested && (selection.labels?.includes(name) ?? true);
  const ofSequence = wanted("sequence") && labels["sequence"] === undefined;
  const ofPosition = wanted("position") && labels["position"] === undefined;
  if (ofSequence) labels["sequence"] = "uint32";
  if (ofPosition) labels["position"] = "int32";
  // Of the rows given last, for messages.
  let given: Part | undefined;

  async function* read(firstRow: number, signal?: AbortSignal): AsyncIterable<RowsToWrite> {
    const database = await Database.open(library, path);
    try {
      for await (const part of readParts(database, path, layout, firstRow, signal)) {
        given = part;
        const columns: Record<string, readonly WrittenLabel[]> = { ...part.labels };
        if (ofSequence) columns["sequence"] = part.places.map(({ row }) => selection.firstSequence + row);
        if (ofPosition) columns["position"] = part.places.map(({ position }) => position);
        yield { values: part.values, labels: columns };
      }
    } finally {
      database.close();
    }
  }
  const place = (row: number): CorpusErrorPlace => {
    const found = given?.places[row - given.firstRow];
    return { path, column: vectors[0]?.name, ...(nested ? found : { row }) };
  };
  const { sequences } = layout;
  const widths = vectors.map(({ dIn }) => dIn);
  return { path, identity: file.identity, rows, widths, labels, sequences, place, read };
}

/** Finds out what there is. */
async function describe(database: Database, path: string, selection: RowSelection): Promise<Layout> {
  const { table } = database;
  const columns = (await database.rows(`DESCRIBE SELECT * FROM ${table}`)).map((row) => ({
    name: String(row["column_name"]),
    type: String(row["column_type"]),
  }));
  const chosen = columnNames(selection.column).map((name) => chooseVectors(path, columns, name));
  const nested = requireOneForm(path, chosen);
  const vectors: CorpusColumn[] = [];
  for (const { name } of chosen) {
    const vector = nested ? `${identifier(name)}[1]` : identifier(name);
    const [sample] = await database.rows(
      `SELECT len(${vector}) AS d FROM ${table} WHERE len(${vector}) > 0 LIMIT 1`,
    );
    if (sample === undefined) throw new CorpusError("empty", "there are no vectors", { path, column: name });
    vectors.push({ name, dIn: Number(sample["d"]) });
    await refuseLargeGroups(database, path, name);
  }
  const count = nested ? `sum(len(${identifier(vectors[0]?.name ?? "")}))` : "count(*)";
  const [counts] = await database.rows(`SELECT ${count} AS rows, count(*) AS lists FROM ${table}`);
  const labels: Label[] = [];
  for (const { name, type: labelType } of columns) {
    if (vectors.some((vector) => vector.name === name) || !(selection.labels?.includes(name) ?? true))
      continue;
    const listed = nested && labelType.endsWith("[]");
    const written = LABEL_TYPES[listed ? labelType.slice(0, -2) : labelType];
    if (written !== undefined) labels.push({ name, type: written, listed });
  }
  const sequences = nested ? Number(counts?.["lists"]) : 0;
  return { columns: vectors, nested, rows: Number(counts?.["rows"]), sequences, labels };
}

/** True when they are all sequences of vectors. @throws CorpusError dimension-mismatch when only some are. */
function requireOneForm(path: string, columns: readonly { name: string; type: string }[]): boolean {
  const [first, ...others] = columns.map(({ name, type }) => ({ name, nested: type.endsWith("[][]") }));
  if (first === undefined) throw new Error("internal: no columns");
  for (const other of others) {
    if (other.nested === first.nested) continue;
    const [sequences, vectors] = first.nested ? [first, other] : [other, first];
    const what = `"${sequences.name}" holds sequences of vectors and "${vectors.name}" vectors: they have no rows in common`;
    throw new CorpusError("dimension-mismatch", what, { path, column: other.name });
  }
  return first.nested;
}

function chooseVectors(
  path: string,
  columns: readonly { name: string; type: string }[],
  wanted: string | undefined,
): { name: string; type: string } {
  const candidates = columns.filter(
    ({ name, type }) => /^(FLOAT|DOUBLE)(\[\]){1,2}$/.test(type) && (wanted === undefined || name === wanted),
  );
  const there = `there are: ${columns.map(({ name, type }) => `"${name}" (${type})`).join(", ") || "none"}`;
  const [only, ...others] = candidates;
  if (only === undefined) {
    const which = wanted === undefined ? "no column" : `no column "${wanted}"`;
    throw new CorpusError("no-vector-column", `${which} holds lists of floats; ${there}`, { path });
  }
  if (others.length === 0) return only;
  throw new CorpusError("ambiguous-column", `several columns hold vectors; name one; ${there}`, { path });
}

/** Of long sequences, 2,048 may be too many to hold. */
async function refuseLargeGroups(database: Database, path: string, column: string): Promise<void> {
  const pattern = `path_in_schema = ${text(column)} OR starts_with(path_in_schema, ${text(`${column}, `)})`;
  const [most] = await database.rows(
    `SELECT max(4 * num_values / row_group_num_rows * least(${ROWS_AT_A_TIME}, row_group_num_rows)) AS bytes
     FROM parquet_metadata(${database.file}) WHERE row_group_num_rows > 0 AND (${pattern})`,
  );
  const bytes = Number(most?.["bytes"] ?? 0);
  if (bytes <= MOST_BYTES_AT_A_TIME) return;
  const what = `its row groups have sequences of which ${ROWS_AT_A_TIME} take ${(bytes / 1e9).toFixed(1)} GB, more than 1 GiB; write it again with fewer rows in a row group`;
  throw new CorpusError("unsupported", what, { path, column });
}

/** Rows that were read together. */
interface Part {
  /** Index in the source of the first. */
  readonly firstRow: number;
  readonly values: Float32Array;
  readonly labels: Readonly<Record<string, WrittenLabel[]>>;
  /** The row of the file that each comes from, and its position in it. */
  readonly places: readonly { readonly row: number; readonly position: number }[];
}

async function* readParts(
  database: Database,
  path: string,
  layout: Layout,
  firstRow: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Part> {
  const { columns, nested } = layout;
  const names = [...columns, ...layout.labels].map(({ name }) => identifier(name));
  // Vectors of a file without sequences can be skipped unread.
  const offset = nested ? 0 : firstRow;
  const most = Math.max(1, Math.floor(CHUNK_NUMBERS / rowWidth(columns.map(({ dIn }) => dIn))));
  let part = new PartBuilder(layout, path, most, firstRow);
  let fileRow = offset;
  let row = offset;
  for await (const chunk of database.chunks(
    `SELECT ${names.join(", ")} FROM ${database.table} OFFSET ${offset}`,
  )) {
    const lists = columns.map((_, i) => chunk.getColumnVector(i) as DuckDb.DuckDBListVector);
    const labels = layout.labels.map((_, i) => chunk.getColumnValues(columns.length + i));
    for (let i = 0; i < chunk.rowCount; i++, fileRow++) {
      signal?.throwIfAborted();
      const items = lists.map((list, column) =>
        requireItem(list.getItemVector(i), { path, column: columns[column]?.name, row: fileRow }),
      );
      const count = nested ? requireOneLength(items, layout, path, fileRow) : 1;
      for (let position = 0; position < count; position++, row++) {
        if (row < firstRow) continue;
        const vectors = nested
          ? items.map((list) => (list as DuckDb.DuckDBListVector).getItemVector(position))
          : items;
        part.add(vectors, { row: fileRow, position }, (label) => labels[label]?.[i], count);
        if (part.rows < most) continue;
        yield part.finish();
        part = new PartBuilder(layout, path, most, row + 1);
      }
    }
  }
  if (part.rows > 0) yield part.finish();
}

function requireItem(item: DuckDb.DuckDBVector | null, place: CorpusErrorPlace): DuckDb.DuckDBVector {
  if (item !== null) return item;
  throw new CorpusError("nulls", "the vector is null; leave the row out", place);
}

/** Vectors of each of a row's sequences. @throws CorpusError ragged unless all have as many. */
function requireOneLength(
  sequences: readonly DuckDb.DuckDBVector[],
  { columns }: Layout,
  path: string,
  row: number,
): number {
  const count = sequences[0]?.itemCount ?? 0;
  for (const [i, { itemCount }] of sequences.entries()) {
    if (itemCount === count) continue;
    const what = `has ${itemCount} vectors, but "${columns[0]?.name}" has ${count}; columns packed together must have the same rows`;
    throw new CorpusError("ragged", what, { path, column: columns[i]?.name, row });
  }
  return count;
}

/** Collects rows. */
class PartBuilder {
  rows = 0;
  readonly #layout: Layout;
  readonly #path: string;
  readonly #firstRow: number;
  readonly #dIn: number;
  readonly #values: Float32Array;
  readonly #labels: Readonly<Record<string, WrittenLabel[]>>;
  readonly #places: { readonly row: number; readonly position: number }[] = [];

  constructor(layout: Layout, path: string, most: number, firstRow: number) {
    this.#layout = layout;
    this.#path = path;
    this.#firstRow = firstRow;
    this.#dIn = rowWidth(layout.columns.map(({ dIn }) => dIn));
    this.#values = new Float32Array(most * this.#dIn);
    this.#labels = Object.fromEntries(layout.labels.map(({ name }) => [name, []]));
  }

  /**
   * @param vectors one of each column.
   * @param labelAt gives the value of a label's column in the row of the file.
   * @param count vectors of the sequence.
   */
  add(
    vectors: readonly (DuckDb.DuckDBVector | null)[],
    place: { readonly row: number; readonly position: number },
    labelAt: (label: number) => DuckDb.DuckDBValue | undefined,
    count: number,
  ): void {
    const { labels, columns } = this.#layout;
    let start = this.rows++ * this.#dIn;
    for (const [i, { name, dIn }] of columns.entries()) {
      this.#addVector(vectors[i] ?? null, dIn, start, this.#placeOf(place, name));
      start += dIn;
    }
    for (const [i, { name, listed }] of labels.entries()) {
      const whole = labelAt(i);
      const items = listed ? (whole as DuckDb.DuckDBListValue | null)?.items : undefined;
      if (items !== undefined && items.length !== count) {
        const what = `has ${items.length} labels for ${count} vectors; there must be one for each`;
        throw new CorpusError("ragged", what, this.#placeOf(place, name));
      }
      const value = listed ? items?.[place.position] : whole;
      if (value === null || value === undefined) {
        const what = "a label is null, which is not written; leave the column out (--labels, --no-labels)";
        throw new CorpusError("nulls", what, this.#placeOf(place, name));
      }
      this.#labels[name]?.push(value as WrittenLabel);
    }
    this.#places.push(place);
  }

  #addVector(vector: DuckDb.DuckDBVector | null, dIn: number, start: number, place: CorpusErrorPlace): void {
    const given = requireItem(vector, place);
    if (given.itemCount !== dIn) {
      const what = `has ${given.itemCount} numbers where the first vector has ${dIn}; all must have one length`;
      throw new CorpusError("ragged", what, place);
    }
    for (let i = 0; i < dIn; i++) {
      const value = given.getItem(i);
      if (value === null) throw new CorpusError("nulls", `number ${i} of ${dIn} is null`, place);
      this.#values[start + i] = value as number;
    }
  }

  finish(): Part {
    const values = this.#values.subarray(0, this.rows * this.#dIn);
    return { firstRow: this.#firstRow, values, labels: this.#labels, places: this.#places };
  }

  #placeOf({ row, position }: { row: number; position: number }, column: string): CorpusErrorPlace {
    return { path: this.#path, column, row, ...(this.#layout.nested ? { position } : {}) };
  }
}
