/**
 * A synthetic corpus without a file: its blocks are made when they are read. Rows are pure functions of the
 * path and their index, so shuffling, splits and resuming work as for files.
 */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { LabelColumn } from "../arrow/label-columns.ts";
import { planBlocks } from "../blocks.ts";
import type { Block, Blocks } from "../blocks.ts";
import type { Corpus, CorpusColumn, CorpusFile, LabelValues, RowPlace } from "../corpus.ts";
import { CorpusError } from "../errors.ts";
import { openKnownFeatures } from "./known-features.ts";
import type { KnownFeatures, KnownFeaturesOptions } from "./known-features.ts";
import { parseSyntheticPath } from "./path.ts";

/** Makes rows, here or on other threads. */
export interface RowMaker extends AsyncDisposable {
  /**
   * Writes rows `firstRow .. firstRow + rows - 1`.
   * @param into receives `[rows, dIn]`.
   */
  make(into: Float32Array, firstRow: number, rows: number, signal?: AbortSignal): Promise<void>;
}

/** Options of `openSyntheticCorpus`. */
export interface SyntheticCorpusOptions extends KnownFeaturesOptions {
  /** As in `CorpusOptions`. */
  readonly column?: string | readonly string[] | undefined;
  /** As in `CorpusOptions`; where that makes more than 65,536 blocks, larger ones are taken. */
  readonly blockBytes?: number | undefined;
  /** Where rows are made. Default: on the calling thread. */
  readonly createMaker?: ((known: KnownFeatures) => RowMaker) | undefined;
}

/** Changes when the same options give other rows. */
const VERSION = 1;
const COLUMN = "activation";
const DEFAULT_BLOCK_BYTES = 4 * 1024 * 1024;
const MAX_BLOCK_BYTES = 16 * 1024 * 1024;
/** Rows are independent of each other: many blocks mix them no better, and cost memory. */
const MOST_BLOCKS = 65_536;
/** Rows made at a time on the calling thread, some milliseconds: others must get their turn. */
const ROWS_AT_A_TIME = 64;

/**
 * Opens `synth:<preset>[:<scale>][@<rows>][#<seed>]`.
 * @throws CorpusError invalid-option, no-vector-column, unreadable (directions that were kept).
 */
export async function openSyntheticCorpus(
  path: string,
  options: SyntheticCorpusOptions = {},
): Promise<Corpus> {
  const { options: model, rows } = parseSyntheticPath(path);
  const names = typeof options.column === "string" ? [options.column] : (options.column ?? [COLUMN]);
  if (names.length !== 1 || names[0] !== COLUMN) {
    const what = `a synthetic corpus has the one column "${COLUMN}"`;
    throw new CorpusError("no-vector-column", what, { path, column: names.join(",") });
  }
  const known = await openKnownFeatures(model, options);
  const maker = options.createMaker?.(known) ?? localMaker(known);
  return new SyntheticCorpus(path, known, maker, rows, options.blockBytes ?? DEFAULT_BLOCK_BYTES);
}

function localMaker(known: KnownFeatures): RowMaker {
  const { dIn } = known.model.options;
  return {
    make: async (into, firstRow, rows, signal) => {
      for (let done = 0; done < rows; done += ROWS_AT_A_TIME) {
        signal?.throwIfAborted();
        known.fill(into.subarray(done * dIn), firstRow + done, Math.min(ROWS_AT_A_TIME, rows - done));
        await setImmediate();
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

class SyntheticCorpus implements Corpus {
  readonly files: readonly CorpusFile[];
  readonly rows: number;
  readonly dIn: number;
  readonly column: string = COLUMN;
  readonly columns: readonly CorpusColumn[];
  readonly type = "float32";
  readonly notes: readonly string[] = [];
  readonly labels: readonly LabelColumn[] = [];
  readonly ignoredColumns = [];
  readonly blocks: Blocks;
  readonly rowsPerBlock: number;
  readonly fingerprint: string;
  readonly #path: string;
  readonly #maker: RowMaker;

  constructor(path: string, { model }: KnownFeatures, maker: RowMaker, rows: number, blockBytes: number) {
    const { dIn } = model.options;
    const rowBytes = 4 * dIn;
    const most = Math.max(1, Math.floor(MAX_BLOCK_BYTES / rowBytes));
    const asked = Math.max(1, Math.floor(blockBytes / rowBytes));
    this.#path = path;
    this.#maker = maker;
    this.rows = rows;
    this.dIn = dIn;
    this.columns = [{ name: COLUMN, dIn }];
    this.rowsPerBlock = Math.min(most, Math.max(asked, Math.ceil(rows / MOST_BLOCKS)));
    this.blocks = planBlocks([Float64Array.of(rows)], rowBytes, this.rowsPerBlock);
    this.files = [{ path, size: rows * rowBytes, format: "synthetic", rows, batches: 1 }];
    this.fingerprint = createHash("sha256")
      .update(JSON.stringify(["synthetic", VERSION, model.options, rows]))
      .digest("hex");
  }

  async readBlock(block: Block, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#make(into, block.firstRow, block.rows, signal);
  }

  async readRows(block: Block, rows: Uint32Array, into: Uint8Array, signal?: AbortSignal): Promise<void> {
    const rowBytes = 4 * this.dIn;
    for (let next = 0, run = 1; next < rows.length; next += run, run = 1) {
      const row = rows[next]!;
      if (row >= block.rows) throw new RangeError(`row ${row} is not in a block of ${block.rows} rows`);
      while (next + run < rows.length && rows[next + run] === row + run) run++;
      await this.#make(into.subarray(next * rowBytes), block.firstRow + row, run, signal);
    }
  }

  readLabels(_block: Block, names: readonly string[]): Promise<Map<string, LabelValues>> {
    const [name] = names;
    if (name === undefined) return Promise.resolve(new Map<string, LabelValues>());
    const what = `there is no label column "${name}"; there are: none`;
    return Promise.reject(new CorpusError("no-label-column", what));
  }

  locate(row: number): RowPlace {
    if (!Number.isInteger(row) || row < 0 || row >= this.rows) {
      throw new RangeError(`there is no row ${row} in a corpus of ${this.rows} rows`);
    }
    return { path: this.#path, batch: 0, row };
  }

  async close(): Promise<void> {
    await this.#maker[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #make(
    into: Uint8Array,
    firstRow: number,
    rows: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const bytes = 4 * rows * this.dIn;
    if (into.byteLength < bytes) {
      throw new RangeError(`${bytes} bytes are needed to read into, got ${into.byteLength}`);
    }
    if (into.byteOffset % 4 === 0) {
      const target = new Float32Array(into.buffer, into.byteOffset, rows * this.dIn);
      await this.#maker.make(target, firstRow, rows, signal);
    } else {
      const aligned = new Float32Array(rows * this.dIn);
      await this.#maker.make(aligned, firstRow, rows, signal);
      into.set(new Uint8Array(aligned.buffer));
    }
  }
}
