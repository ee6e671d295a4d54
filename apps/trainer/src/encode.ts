/** Features of a corpus: which latents of a finished model are active in each row, and how much, written as an Arrow file. */
import { type Arena, DeepAutoencoder, type SparseArena } from "@sparseloom/core";
import {
  type Block,
  type Corpus,
  type LabelValue,
  type LabelValues,
  requireOther,
  RowStream,
  type SparseRowResult,
  type SparseRows,
  SparseRowWriter,
  writtenLabels,
} from "@sparseloom/data";
import { RequestError } from "./errors.ts";
import { notCopied, requireLabels } from "./label-columns.ts";
import { evaluate } from "./evaluate.ts";
import { startModelTeam } from "./model-team.ts";
import { openForModel } from "./open-corpus.ts";
import { filtersForModel, idleModelFilterWarnings, type ModelFilterOptions } from "./row-filters.ts";
import { columnWarnings, readModel } from "./run/model-folder.ts";

/** Options of {@link encodeCorpus}. */
export interface EncodeOptions {
  /** File to write. */
  readonly out: string;
  /** Default: the model's own, or the only one there is. */
  readonly column?: string | readonly string[] | undefined;
  /** Label columns to copy. Default: all. */
  readonly labels?: readonly string[] | undefined;
  /** Rows at most, from the first on. Default: all. */
  readonly rows?: number | undefined;
  readonly workers: number;
  /** Default: the model's own filters. */
  readonly filters?: ModelFilterOptions | undefined;
  /** Replace an existing file. Default: no. */
  readonly overwrite?: boolean | undefined;
  /** Stops it: its reason is thrown, and nothing is left of the file. */
  readonly signal?: AbortSignal | undefined;
  /** Told how many of how many rows are encoded. */
  readonly onProgress?: ((rows: number, ofRows: number) => void) | undefined;
}

/** What `encode --json` prints. */
export interface EncodeReport extends SparseRowResult {
  readonly model: string;
  readonly out: string;
  /** Rows that the row filters left out where those were read. */
  readonly filteredRows: number;
  /** Mean number of active latents per row. */
  readonly l0: number;
  /** What makes the features doubtful, and columns that are not copied; one line each. */
  readonly warnings: readonly string[];
}

/**
 * Writes the active latents of each row of a corpus, in the order of its rows, with their labels.
 *
 * @throws RequestError if the model has no latents, a label is missing, or no row is left; CorpusError where the corpus cannot be
 * read, a label has the name of a column of features, or the file cannot be written
 */
export async function encodeCorpus(
  path: string,
  patterns: readonly string[],
  { out, column, labels: names, rows = Infinity, workers, overwrite, ...options }: EncodeOptions,
): Promise<EncodeReport> {
  const loaded = await readModel(path);
  if (loaded.model instanceof DeepAutoencoder)
    throw new RequestError(`${path} is a deep autoencoder: it has no sparse features`);
  await using corpus = await openForModel(loaded, patterns, workers, column);
  requireLabels(corpus, names ?? [], "--labels");
  const labels = writtenLabels(corpus, names, out);
  const warnings = [...columnWarnings(loaded, corpus), ...(names === undefined ? notCopied(corpus) : [])];
  await requireOther(
    out,
    corpus.files.map((file) => file.path),
  );
  const filters = await filtersForModel(loaded.cfg, corpus, options.filters, { seed: 0 });
  await using writer = await SparseRowWriter.open(out, {
    labels,
    ...(overwrite === true ? { overwrite } : {}),
  });
  // Only errors of reconstruction are about the mean.
  const { team: started, transform } = startModelTeam(loaded, corpus, new Float64Array(corpus.dIn), workers);
  await using team = started;
  await using stream = new RowStream(corpus, { seed: 0, filters, shuffle: "none", epochs: 1, transform });
  const reader = new LabelReader(corpus, Object.keys(labels));
  let done = 0;
  await evaluate(team, stream, rows, {
    signal: options.signal,
    onRows: async (arena, rowIds, count) => {
      await writer.add({ ...activeOf(sparse(arena), rowIds, count), labels: await reader.of(rowIds) });
      done += count;
      options.onProgress?.(done, Math.min(rows, corpus.rows));
    },
  });
  await team.stop();
  options.signal?.throwIfAborted();
  if (done === 0)
    throw new RequestError(
      `the row filters leave out all ${stream.filteredRows} rows: there is nothing to write`,
    );
  const result = await writer.finish();
  return {
    model: loaded.path,
    out,
    ...result,
    filteredRows: stream.filteredRows,
    l0: result.rows === 0 ? 0 : result.entries / result.rows,
    warnings: [...warnings, ...idleModelFilterWarnings(options.filters, stream, done)],
  };
}

function sparse(arena: Arena): SparseArena {
  if (arena.kind !== "sparse") throw new Error("internal: not a sparse model");
  return arena;
}

/** The records of the arena's current rows whose latents are active, without gaps. */
function activeOf(arena: SparseArena, rowIds: Float64Array, rows: number): Omit<SparseRows, "labels"> {
  const { rowOffset, rowCount, recordLatent, recordValue } = arena;
  const offsets = new Int32Array(rows + 1);
  const latents: number[] = [];
  const values: number[] = [];
  for (let row = 0; row < rows; row++) {
    for (let record = rowOffset[row]; record < rowOffset[row] + rowCount[row]; record++) {
      // JumpReLU's records also hold latents that are not active.
      if (recordValue[record] <= 0) continue;
      latents.push(recordLatent[record]);
      values.push(recordValue[record]);
    }
    offsets[row + 1] = latents.length;
  }
  return {
    rowIds: rowIds.slice(),
    offsets,
    latents: Uint32Array.from(latents),
    values: Float32Array.from(values),
  };
}

/** Labels of ascending rows; those of one block are read once. */
class LabelReader {
  readonly #corpus: Corpus;
  readonly #names: readonly string[];
  #block: Block | undefined;
  #values: ReadonlyMap<string, LabelValues> = new Map();

  constructor(corpus: Corpus, names: readonly string[]) {
    this.#corpus = corpus;
    this.#names = names;
  }

  async of(rowIds: Float64Array): Promise<SparseRows["labels"]> {
    const found = new Map<string, LabelValue[]>(this.#names.map((name) => [name, []]));
    if (this.#names.length === 0) return found;
    for (const row of rowIds) {
      const block = await this.#blockOf(row);
      for (const [name, values] of found)
        values.push(this.#values.get(name)?.get(row - block.firstRow) ?? null);
    }
    return found;
  }

  async #blockOf(row: number): Promise<Block> {
    let block = this.#block;
    if (block === undefined || row < block.firstRow || row >= block.firstRow + block.rows) {
      block = this.#corpus.blocks.holding(row);
      this.#values = await this.#corpus.readLabels(block, this.#names);
      this.#block = block;
    }
    return block;
  }
}
