/**
 * Shuffled mini-batches as an async iterator, with labels: the stream for whoever trains with a library of their
 * own. Each batch is memory of its own; who wants to fill memory given beforehand takes `RowStream`.
 */
import type { LabelValue } from "./arrow/label-values.ts";
import type { Block } from "./blocks.ts";
import type { Corpus, LabelValues } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { RowStream } from "./stream.ts";
import type { RowStreamOptions, StreamPosition } from "./stream.ts";

/** Options of `miniBatches`. */
export interface MiniBatchOptions extends RowStreamOptions {
  /** Rows of a mini-batch; the last one may have fewer. Default: 4096. */
  readonly batchRows?: number | undefined;
  /** Label columns to give with the rows. Default: none. */
  readonly labels?: readonly string[] | undefined;
  /** Ends the iteration with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Some rows of a corpus, in the order of the stream. */
export interface MiniBatch {
  readonly rows: number;
  /** `[rows, dIn]`, transformed. */
  readonly values: Float32Array;
  /** Global index of each row. */
  readonly rowIds: Float64Array;
  /** Of each column that was asked for, the label of each row; null where the file has a null. */
  readonly labels: Readonly<Record<string, readonly LabelValue[]>>;
  /** Where the next mini-batch begins; as the option `from` it continues the stream another day. Plain JSON. */
  readonly position: StreamPosition;
}

const DEFAULT_BATCH_ROWS = 4096;
/** Labels of blocks kept at most, some 100 KiB each: with a full shuffle rows come from all over the corpus. */
const MOST_LABEL_BLOCKS = 512;

/**
 * The mini-batches of a corpus. Leaving the loop early stops reading.
 * @throws CorpusError as `RowStream`, also for a label column that is not there.
 */
export async function* miniBatches(
  corpus: Corpus,
  options: MiniBatchOptions,
): AsyncGenerator<MiniBatch, void, undefined> {
  const { batchRows = DEFAULT_BATCH_ROWS, labels: names = [], signal } = options;
  if (!Number.isInteger(batchRows) || batchRows < 1) {
    throw new CorpusError("invalid-option", `batchRows must be a whole number above 0, got ${batchRows}`);
  }
  await using stream = new RowStream(corpus, options);
  const reader = new LabelCache(corpus, names, 2 * stream.windows.blocksPerWindow);
  for (;;) {
    signal?.throwIfAborted();
    const values = new Float32Array(batchRows * corpus.dIn);
    const rowIds = new Float64Array(batchRows);
    const rows = await stream.fill(values, batchRows, rowIds);
    if (rows === 0) return;
    const ids = rowIds.subarray(0, rows);
    const labels = names.length === 0 ? {} : await reader.read(ids, signal);
    const { position } = stream;
    yield { rows, values: values.subarray(0, rows * corpus.dIn), rowIds: ids, labels, position };
    if (rows < batchRows) return;
  }
}

/** Labels of the blocks that rows come from, kept as long as their windows may be: rows of a block come in many batches. */
class LabelCache {
  readonly #corpus: Corpus;
  readonly #names: readonly string[];
  readonly #most: number;
  /** By block index, the one used last at the end. */
  readonly #blocks = new Map<number, ReadonlyMap<string, LabelValues>>();

  constructor(corpus: Corpus, names: readonly string[], most: number) {
    this.#corpus = corpus;
    this.#names = names;
    this.#most = Math.min(most, MOST_LABEL_BLOCKS);
  }

  async read(
    rowIds: Float64Array,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, readonly LabelValue[]>> {
    const columns = this.#names.map((name) => ({ name, values: Array.from(rowIds, (): LabelValue => null) }));
    // Block by block, so that each is read once however few are kept.
    const order = Uint32Array.from(rowIds.keys()).sort((a, b) => rowIds[a]! - rowIds[b]!);
    let block: Block | undefined;
    let labels: ReadonlyMap<string, LabelValues> | undefined;
    for (const place of order) {
      const row = rowIds[place]!;
      if (block === undefined || row >= block.firstRow + block.rows) {
        block = this.#corpus.blocks.holding(row);
        labels = await this.#labelsOf(block, signal);
      }
      for (const { name, values } of columns) values[place] = labels!.get(name)!.get(row - block.firstRow);
    }
    return Object.fromEntries(columns.map(({ name, values }) => [name, values]));
  }

  async #labelsOf(block: Block, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, LabelValues>> {
    const known = this.#blocks.get(block.index);
    const labels = known ?? (await this.#corpus.readLabels(block, this.#names, signal));
    this.#blocks.delete(block.index);
    this.#blocks.set(block.index, labels);
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= this.#most) break;
      this.#blocks.delete(oldest);
    }
    return labels;
  }
}
