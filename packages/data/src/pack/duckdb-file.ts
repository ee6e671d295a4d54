/**
 * One Parquet file by way of DuckDB: loads it, asks it in SQL, and makes its complaints the file's. Used by `parquet.ts`.
 */
import { availableParallelism } from "node:os";
import type * as DuckDb from "@duckdb/node-api";
import { CorpusError } from "../errors.ts";
import { errorCode } from "../file-errors.ts";

/** What the package exports. */
export type Library = typeof DuckDb;

/** More read ahead than is packed. */
const MOST_THREADS = 4;

/** @throws CorpusError unsupported, with the command that installs it. */
export async function loadDuckDb(path: string, load: () => Promise<Library>): Promise<Library> {
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
export class Database {
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

/** Opens a database for `work`, and closes it. */
export async function withDatabase<T>(
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

/** A string of SQL. */
export function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

/** A column's name in SQL. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function oneLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return (message.split("\n")[0] ?? "").trim();
}
