/**
 * Parquet files as rows to be packed, read by DuckDB: it streams row groups of any size, knows all codecs and
 * encodings, and is loaded only when a Parquet file is met (decision 013).
 */
import { availableParallelism } from "node:os";
import type * as DuckDb from "@duckdb/node-api";
import type { WrittenLabelType } from "../arrow/encode.ts";
import { CorpusError } from "../errors.ts";
import type { CorpusErrorPlace } from "../errors.ts";
import { errorCode } from "../file-errors.ts";
import type { WrittenLabel } from "../label-builder.ts";
import type { RangeReader } from "../range-reader.ts";
import type { RowsToWrite } from "../writer.ts";
import type { RowSelection, RowSource } from "./row-source.ts";

type Library = typeof DuckDb;

/** Numbers given at a time. */
const CHUNK_NUMBERS = 2 ** 20;
/** What DuckDB reads at a time, of one row group; its rows may be long sequences. */
const ROWS_AT_A_TIME = 2048;
const MOST_BYTES_AT_A_TIME = 1024 ** 3;
/** More read ahead than is packed. */
const MOST_THREADS = 4;

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
  readonly column: string;
  /** True when a row of the file is a sequence of vectors. */
  readonly nested: boolean;
  readonly dIn: number;
  readonly rows: number;
  /** Rows of the file that are sequences. */
  readonly sequences: number;
  readonly labels: readonly Label[];
}

/**
 * Opens a local Parquet file whose vectors are a column of lists of floats, or of lists of such lists (sequences of
 * vectors, each of which becomes a row, with labels `sequence` and `position`).
 * @param load what imports DuckDB.
 * @throws CorpusError unsupported (DuckDB is not installed, the file is not local, its row groups are too large),
 * malformed, no-vector-column, ambiguous-column, empty.
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
  const library = await loadLibrary(path, load);
  const layout = await withDatabase(library, path, (database) => describe(database, path, selection));
  const { column, dIn, rows, nested } = layout;
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
    return { path, column, ...(nested ? found : { row }) };
  };
  const { sequences } = layout;
  return { path, identity: file.identity, rows, dIn, labels, sequences, place, read };
}

async function loadLibrary(path: string, load: () => Promise<Library>): Promise<Library> {
  try {
    return await load();
  } catch (cause) {
    const code = errorCode(cause);
    const why =
      code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND"
        ? "is Parquet, which needs the package @duckdb/node-api; install it with: npm install @duckdb/node-api"
        : `is Parquet, which needs the package @duckdb/node-api, and that cannot be loaded (${oneLine(cause)})`;
    throw new CorpusError("unsupported", `${why}; or write the file as Arrow`, { path, cause });
  }
}

/** A database that holds nothing, and reads one file. */
class Database {
  readonly #path: string;
  readonly #instance: DuckDb.DuckDBInstance;
  readonly #connection: DuckDb.DuckDBConnection;
  /** The file as a string of SQL. */
  readonly file: string;
  /** Its rows. */
  readonly table: string;

  constructor(path: string, instance: DuckDb.DuckDBInstance, connection: DuckDb.DuckDBConnection) {
    this.#path = path;
    this.#instance = instance;
    this.#connection = connection;
    // Its names are patterns.
    this.file = text(path.replaceAll(/[*?[]/g, (sign) => `[${sign}]`));
    this.table = `read_parquet(${this.file}, hive_partitioning = false)`;
  }

  static async open({ DuckDBInstance }: Library, path: string): Promise<Database> {
    const instance = await DuckDBInstance.create(":memory:", {
      threads: String(Math.min(MOST_THREADS, availableParallelism())),
      autoinstall_known_extensions: "false",
    });
    return new Database(path, instance, await instance.connect());
  }

  /** All rows of the answer. @throws CorpusError malformed. */
  async rows(sql: string): Promise<readonly Record<string, DuckDb.DuckDBValue>[]> {
    return await this.#attempt(async () => (await this.#connection.run(sql)).getRowObjects());
  }

  /** The answer in pieces. @throws CorpusError malformed. */
  async *chunks(sql: string): AsyncGenerator<DuckDb.DuckDBDataChunk> {
    const result = await this.#attempt(() => this.#connection.stream(sql));
    for (;;) {
      const chunk = await this.#attempt(() => result.fetchChunk());
      if (chunk === null || chunk.rowCount === 0) return;
      yield chunk;
    }
  }

  close(): void {
    this.#connection.closeSync();
    this.#instance.closeSync();
  }

  /** What DuckDB throws is the file's fault. */
  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      const what = `the Parquet file cannot be read (${oneLine(cause)})`;
      throw new CorpusError("malformed", what, { path: this.#path, cause });
    }
  }
}

async function withDatabase<T>(
  library: Library,
  path: string,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  const database = await Database.open(library, path);
  try {
    return await work(database);
  } finally {
    database.close();
  }
}

/** Finds out what there is. */
async function describe(database: Database, path: string, selection: RowSelection): Promise<Layout> {
  const { table } = database;
  const columns = (await database.rows(`DESCRIBE SELECT * FROM ${table}`)).map((row) => ({
    name: String(row["column_name"]),
    type: String(row["column_type"]),
  }));
  const { name: column, type } = chooseVectors(path, columns, selection.column);
  const nested = type.endsWith("[][]");
  const list = identifier(column);
  const vector = nested ? `${list}[1]` : list;
  const [sample] = await database.rows(
    `SELECT len(${vector}) AS d FROM ${table} WHERE len(${vector}) > 0 LIMIT 1`,
  );
  if (sample === undefined) throw new CorpusError("empty", "there are no vectors", { path, column });
  const dIn = Number(sample["d"]);
  const count = nested ? `sum(len(${list}))` : "count(*)";
  const [counts] = await database.rows(`SELECT ${count} AS rows, count(*) AS lists FROM ${table}`);
  const labels: Label[] = [];
  for (const { name, type: labelType } of columns) {
    if (name === column || !(selection.labels?.includes(name) ?? true)) continue;
    const listed = nested && labelType.endsWith("[]");
    const written = LABEL_TYPES[listed ? labelType.slice(0, -2) : labelType];
    if (written !== undefined) labels.push({ name, type: written, listed });
  }
  await refuseLargeGroups(database, path, column);
  const sequences = nested ? Number(counts?.["lists"]) : 0;
  return { column, nested, dIn, rows: Number(counts?.["rows"]), sequences, labels };
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
  const { column, nested, dIn } = layout;
  const names = [column, ...layout.labels.map(({ name }) => name)].map(identifier);
  // Vectors of a file without sequences can be skipped unread.
  const offset = nested ? 0 : firstRow;
  const most = Math.max(1, Math.floor(CHUNK_NUMBERS / dIn));
  let part = new PartBuilder(layout, path, most, firstRow);
  let fileRow = offset;
  let row = offset;
  for await (const chunk of database.chunks(
    `SELECT ${names.join(", ")} FROM ${database.table} OFFSET ${offset}`,
  )) {
    const lists = chunk.getColumnVector(0) as DuckDb.DuckDBListVector;
    const labels = layout.labels.map((_, i) => chunk.getColumnValues(i + 1));
    for (let i = 0; i < chunk.rowCount; i++, fileRow++) {
      signal?.throwIfAborted();
      const list = lists.getItemVector(i);
      if (list === null) {
        throw new CorpusError("nulls", "the vector is null; leave the row out", {
          path,
          column,
          row: fileRow,
        });
      }
      const count = nested ? list.itemCount : 1;
      for (let position = 0; position < count; position++, row++) {
        if (row < firstRow) continue;
        const vector = nested ? (list as DuckDb.DuckDBListVector).getItemVector(position) : list;
        part.add(vector, { row: fileRow, position }, (label) => labels[label]?.[i], count);
        if (part.rows < most) continue;
        yield part.finish();
        part = new PartBuilder(layout, path, most, row + 1);
      }
    }
  }
  if (part.rows > 0) yield part.finish();
}

/** Collects rows. */
class PartBuilder {
  rows = 0;
  readonly #layout: Layout;
  readonly #path: string;
  readonly #firstRow: number;
  readonly #values: Float32Array;
  readonly #labels: Readonly<Record<string, WrittenLabel[]>>;
  readonly #places: { readonly row: number; readonly position: number }[] = [];

  constructor(layout: Layout, path: string, most: number, firstRow: number) {
    this.#layout = layout;
    this.#path = path;
    this.#firstRow = firstRow;
    this.#values = new Float32Array(most * layout.dIn);
    this.#labels = Object.fromEntries(layout.labels.map(({ name }) => [name, []]));
  }

  /** @param labelAt gives the value of a label's column in the row of the file. @param vectors of the sequence. */
  add(
    vector: DuckDb.DuckDBVector | null,
    place: { readonly row: number; readonly position: number },
    labelAt: (label: number) => DuckDb.DuckDBValue | undefined,
    vectors: number,
  ): void {
    const { dIn, labels, column } = this.#layout;
    if (vector === null || vector.itemCount !== dIn) {
      const what =
        vector === null
          ? "the vector is null; leave the row out"
          : `has ${vector.itemCount} numbers where the first vector has ${dIn}; all must have one length`;
      throw new CorpusError(vector === null ? "nulls" : "ragged", what, this.#placeOf(place, column));
    }
    const start = this.rows++ * dIn;
    for (let i = 0; i < dIn; i++) {
      const value = vector.getItem(i);
      if (value === null) {
        throw new CorpusError("nulls", `number ${i} of ${dIn} is null`, this.#placeOf(place, column));
      }
      this.#values[start + i] = value as number;
    }
    for (const [i, { name, listed }] of labels.entries()) {
      const whole = labelAt(i);
      const items = listed ? (whole as DuckDb.DuckDBListValue | null)?.items : undefined;
      if (items !== undefined && items.length !== vectors) {
        const what = `has ${items.length} labels for ${vectors} vectors; there must be one for each`;
        throw new CorpusError("ragged", what, this.#placeOf(place, name));
      }
      const value = listed ? items?.[place.position] : whole;
      if (value === null || value === undefined) {
        const what = "a label is null, which is not written; leave the column out (--labels)";
        throw new CorpusError("nulls", what, this.#placeOf(place, name));
      }
      this.#labels[name]?.push(value as WrittenLabel);
    }
    this.#places.push(place);
  }

  finish(): Part {
    const values = this.#values.subarray(0, this.rows * this.#layout.dIn);
    return { firstRow: this.#firstRow, values, labels: this.#labels, places: this.#places };
  }

  #placeOf({ row, position }: { row: number; position: number }, column: string): CorpusErrorPlace {
    return { path: this.#path, column, row, ...(this.#layout.nested ? { position } : {}) };
  }
}

/** A string of SQL. */
function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

/** A column's name in SQL. */
function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function oneLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return (message.split("\n")[0] ?? "").trim();
}
