/**
 * Writes sparse rows, such as the active features of a corpus's rows, as an Arrow IPC file: `row` (int64, the row's index
 * in its corpus), `latents` (list of uint32, ascending) and `values` (list of float32), then label columns. The file
 * appears under its name only when it is complete. Memory: one part.
 */
import type { FileHandle } from "node:fs/promises";
import { rm } from "node:fs/promises";
import {
  AsyncByteQueue,
  Data,
  Field,
  Float32,
  Int64,
  List,
  makeData,
  RecordBatch,
  RecordBatchFileWriter,
  Schema,
  Struct,
  Uint32,
  vectorFromArray,
} from "apache-arrow";
import type { DataType } from "apache-arrow";
import { labelType } from "./arrow/encode.ts";
import type { WrittenLabelType } from "./arrow/encode.ts";
import type { LabelValue } from "./arrow/label-values.ts";
import { SPARSE_COLUMNS } from "./arrow/sparse-columns.ts";
import { CorpusError } from "./errors.ts";
import { complete, create, lockOutput, requireFree, writeFully } from "./output-file.ts";
import type { OpenOutput } from "./output-file.ts";

/** Options of {@link SparseRowWriter.open}. */
export interface SparseRowOptions {
  /** Label columns. @default none */
  readonly labels?: Readonly<Record<string, WrittenLabelType>>;
  /** Replace an existing file. @default false */
  readonly overwrite?: boolean;
}

/** Some rows; each becomes a record batch's. */
export interface SparseRows {
  /** Index of each row in its corpus, `[rows]`. */
  readonly rowIds: Float64Array;
  /** Where each row's entries begin, and the end of the last, `[rows + 1]`. */
  readonly offsets: Int32Array;
  /** Indices of the entries, ascending within a row, `[entries]`. */
  readonly latents: Uint32Array;
  /** Their values, `[entries]`. */
  readonly values: Float32Array;
  /** Of each label column, `[rows]`; null where there is none. */
  readonly labels: ReadonlyMap<string, readonly LabelValue[]>;
}

/** What was written. */
export interface SparseRowResult {
  readonly rows: number;
  /** Entries of all rows. */
  readonly entries: number;
  readonly bytes: number;
}

/** A file that takes rows until it is finished. Disposing of one that is not removes what was written. */
export class SparseRowWriter implements AsyncDisposable {
  readonly path: string;
  readonly #output: OpenOutput;
  readonly #overwrite: boolean;
  readonly #schema: Schema;
  readonly #labels: Readonly<Record<string, WrittenLabelType>>;
  readonly #sink: ChunkSink = new ChunkSink();
  readonly #writer: RecordBatchFileWriter;
  #rows = 0;
  #entries = 0;
  #bytes = 0;
  #ended = false;

  private constructor(path: string, output: OpenOutput, options: SparseRowOptions) {
    const { labels = {}, overwrite = false } = options;
    this.path = path;
    this.#output = output;
    this.#overwrite = overwrite;
    this.#labels = labels;
    this.#schema = new Schema([
      new Field("row", new Int64(), false),
      new Field("latents", listOf(new Uint32()), false),
      new Field("values", listOf(new Float32()), false),
      ...Object.entries(labels).map(([name, type]) => new Field(name, labelType(type), true)),
    ]);
    this.#writer = new RecordBatchFileWriter().reset(this.#sink, this.#schema) as RecordBatchFileWriter;
  }

  /** @throws CorpusError exists, busy, invalid-option (a label has the name of another column), not-found (the folder), unwritable */
  static async open(path: string, options: SparseRowOptions = {}): Promise<SparseRowWriter> {
    const taken = SPARSE_COLUMNS.find((name) => Object.hasOwn(options.labels ?? {}, name));
    if (taken !== undefined)
      throw new CorpusError("invalid-option", "a label column has the name of a column of features", {
        path,
        column: taken,
      });
    await requireFree([path], options.overwrite ?? false);
    const lock = await lockOutput(path);
    let handle: FileHandle;
    try {
      handle = await create(`${path}.partial`);
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
    return new SparseRowWriter(path, { handle, lock }, options);
  }

  /** Writes rows. @throws CorpusError unwritable */
  async add(part: SparseRows): Promise<void> {
    const rows = part.rowIds.length;
    if (rows === 0) return;
    const children: Data[] = [
      makeData({ type: new Int64(), data: BigInt64Array.from(part.rowIds, BigInt) }),
      listData(new Uint32(), part.offsets, part.latents),
      listData(new Float32(), part.offsets, part.values),
      ...Object.entries(this.#labels).map(([name, type]) => labelData(part.labels.get(name), rows, type)),
    ];
    const data = makeData({ type: new Struct(this.#schema.fields), length: rows, nullCount: 0, children });
    this.#writer.write(new RecordBatch(this.#schema, data));
    this.#rows += rows;
    this.#entries += part.values.length;
    await this.#drain();
  }

  /** Ends the file and gives it its name. @throws CorpusError exists, busy, unwritable */
  async finish(): Promise<SparseRowResult> {
    await complete(this.#output, this.path, this.#overwrite, async () => {
      this.#ended = true;
      this.#writer.finish();
      await this.#drain();
    });
    await this.#output.lock[Symbol.asyncDispose]();
    return { rows: this.#rows, entries: this.#entries, bytes: this.#bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { handle, lock } = this.#output;
    try {
      if (!this.#ended) await handle.close();
    } finally {
      if (await lock.isOurs()) await rm(`${this.path}.partial`, { force: true });
      await lock[Symbol.asyncDispose]();
    }
  }

  async #drain(): Promise<void> {
    for (const chunk of this.#sink.take()) {
      await writeFully(this.#output.handle, this.path, chunk);
      this.#bytes += chunk.byteLength;
    }
  }
}

/** Keeps what the Arrow writer gives until it is taken: the library's own queue never makes a writer wait for the disk. */
class ChunkSink extends AsyncByteQueue {
  #chunks: Uint8Array[] = [];

  override write(value: ArrayBufferLike | ArrayBufferView): void {
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value);
    if (bytes.byteLength > 0) this.#chunks.push(bytes);
  }

  take(): readonly Uint8Array[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }
}

function listOf<T extends DataType>(item: T): List<T> {
  return new List(new Field("item", item, false));
}

function listData(item: Uint32 | Float32, offsets: Int32Array, values: Uint32Array | Float32Array): Data {
  const child = new Data(item, 0, values.length, 0, [undefined, values]);
  return new Data(listOf(item), 0, offsets.length - 1, 0, [offsets], [child]);
}

function labelData(values: readonly LabelValue[] | undefined, rows: number, type: WrittenLabelType): Data {
  if (values?.length !== rows) throw new Error(`internal: ${values?.length ?? 0} labels for ${rows} rows`);
  const wide = type === "int64" || type === "uint64";
  const items = wide ? values.map((value) => (value === null ? null : BigInt(value))) : values;
  const [data] = vectorFromArray(items as readonly unknown[], labelType(type)).data;
  if (data === undefined) throw new Error("internal: a column without data");
  return data;
}
