/**
 * What features respond to: the rows that activate each latent most, with their labels, and how alike these rows
 * are. A latent whose top rows point the same way is one that a person can read.
 */
import {
  DeepAutoencoder,
  normaliseDirections,
  type RowTransform,
  type SparseAutoencoder,
  transformRows,
} from "@sparseloom/core";
import { type Block, type Corpus, estimateStatistics, readStatistics, RowStream } from "@sparseloom/data";
import { RequestError } from "./errors.ts";
import { evaluate } from "./evaluate.ts";
import { requireLabels } from "./label-columns.ts";
import { startModelTeam, transformOfModel } from "./model-team.ts";
import { openForModel } from "./open-corpus.ts";
import { columnWarnings, readModel } from "./run/model-folder.ts";
import { filtersForModel, idleModelFilterWarnings, type ModelFilterOptions } from "./row-filters.ts";
import { TopRows } from "./top-rows.ts";

export interface InspectOptions {
  /** Default: the model's own, or the only one there is. */
  readonly column?: string | readonly string[] | undefined;
  /** Label column to show. Default: the corpus's first. */
  readonly label?: string | undefined;
  /** Features to report. */
  readonly features: number;
  /** These latents instead, in this order. Default: the most coherent features. */
  readonly latents?: readonly number[] | undefined;
  /** Also features that are left out otherwise: see {@link LeftOut}. Default: no. */
  readonly all?: boolean | undefined;
  /** Rows to show of each. */
  readonly top: number;
  /** Rows at most to look at. */
  readonly rows: number;
  readonly workers: number;
  /** Default: the model's own filters. */
  readonly filters?: ModelFilterOptions | undefined;
}

/** A feature and what it responds to. */
export interface FeatureReport {
  readonly latent: number;
  /** Share of rows that activate it. */
  readonly density: number;
  /** Mean cosine between its top rows, about the corpus's mean: 1 when they all point the same way. */
  readonly coherence: number;
  /** Of a crosscoder: norm of its decoder row's part of each column, raw; 0 in a column that it does not write to. */
  readonly columnNorms?: Readonly<Record<string, number>>;
  readonly top: readonly { readonly row: number; readonly value: number; readonly label: string }[];
}

/** Latents that were active and are not among those that a report ranks, by the reason; 0 where latents were named. */
export interface LeftOut {
  /** Active on fewer rows than are shown of a feature. */
  readonly rare: number;
  /** Active on more than 5 % of the rows: directions of the whole corpus rather than features. */
  readonly dense: number;
  /** Not looked at: of more than 4,096 an even sample is. */
  readonly unsampled: number;
  /** With a top row that a more coherent feature has, too. */
  readonly overlapping: number;
}

/** What `inspect --json` prints. */
export interface InspectReport {
  readonly model: string;
  readonly rows: number;
  /** Rows that the row filters left out where those were read. */
  readonly filteredRows: number;
  readonly latents: number;
  readonly neverActive: number;
  readonly leftOut: LeftOut;
  /** Name of the label column; null when the corpus has none and rows are named by their index. */
  readonly label: string | null;
  /** `coherence`: the most coherent features first; `given`: the latents that were named. */
  readonly order: "coherence" | "given";
  readonly features: readonly FeatureReport[];
  /** What makes the report doubtful; one line each. */
  readonly warnings: readonly string[];
}

/** Latents looked at more closely at most; beyond, an even sample: reading their top rows is random access. */
const CANDIDATES = 4096;
/** A latent active in more than this share of rows is a direction of the whole corpus rather than a feature. */
const DENSE = 0.05;

/** Looks at a sparse model's features on a corpus. */
export async function inspect(
  path: string,
  patterns: readonly string[],
  options: InspectOptions,
): Promise<InspectReport> {
  const loaded = await readModel(path);
  const { model } = loaded;
  if (model instanceof DeepAutoencoder)
    throw new RequestError(`${path} is a deep autoencoder: it has no sparse features to inspect`);
  const wrong = options.latents?.find((latent) => latent >= model.latents);
  if (wrong !== undefined)
    throw new RequestError(`--latents must be below the model's ${model.latents} latents, got ${wrong}`);
  await using corpus = await openForModel(loaded, patterns, options.workers, options.column);
  // Labels are read at the end, which may be long after.
  if (options.label !== undefined) requireLabels(corpus, [options.label], "--label");
  const label = options.label ?? corpus.labels[0]?.name ?? null;
  const filters = await filtersForModel(loaded.cfg, corpus, options.filters, { seed: 0 });
  const { layerNorm } = transformOfModel(model);
  // Those on record are of the rows as stored.
  const statistics =
    (layerNorm === undefined ? await readStatistics(corpus, filters) : undefined) ??
    (await estimateStatistics(corpus, { seed: 0, filters, layerNorm }));
  const { team: started, transform } = startModelTeam(loaded, corpus, statistics.mean, options.workers);
  await using team = started;
  await using stream = new RowStream(corpus, { seed: 0, filters, shuffle: "window", epochs: 1, transform });
  const tops = new TopRows(model.latents, options.top);
  const found = await evaluate(team, stream, options.rows, {
    onRows: (arena, rowIds, rows) => {
      if (arena.kind === "sparse") tops.add(arena, rowIds, rows);
    },
  });
  await team.stop();

  const { looked, ...leftOut } = latentsToLookAt(found.fireCount, found.rows, options);
  const vectors = await readVectors(
    corpus,
    looked.flatMap((latent) => tops.of(latent).map(({ rowId }) => rowId)),
    transform,
  );
  const ranked = looked
    .map((latent) => ({
      latent,
      coherence: coherenceOf(
        tops.of(latent).map(({ rowId }) => vectors.get(rowId) as Float32Array),
        statistics.mean,
      ),
    }))
    .sort((a, b) => (options.latents === undefined ? b.coherence - a.coherence : 0));
  const listed = options.all === true || options.latents !== undefined ? ranked : distinct(ranked, tops);
  const chosen = options.latents === undefined ? listed.slice(0, options.features) : listed;
  const labels = await readLabels(
    corpus,
    label,
    chosen.flatMap(({ latent }) => tops.of(latent).map(({ rowId }) => rowId)),
  );
  return {
    model: loaded.path,
    rows: found.rows,
    filteredRows: stream.filteredRows,
    latents: model.latents,
    neverActive: found.neverActive,
    leftOut: { ...leftOut, overlapping: ranked.length - listed.length },
    label,
    order: options.latents === undefined ? "coherence" : "given",
    features: chosen.map(({ latent, coherence }) => ({
      latent,
      density: found.fireCount[latent] / found.rows,
      coherence,
      ...columnNormsOf(model, latent),
      top: tops
        .of(latent)
        .map(({ rowId, value }) => ({ row: rowId, value, label: labels.get(rowId) ?? `row ${rowId}` })),
    })),
    warnings: [
      ...columnWarnings(loaded, corpus),
      ...idleModelFilterWarnings(options.filters, stream, found.rows),
    ],
  };
}

/** Whether a feature is shared by the columns or one's own is told by these. */
function columnNormsOf(
  { parts: { columns, W_dec }, dOut }: SparseAutoencoder,
  latent: number,
): Pick<FeatureReport, "columnNorms"> {
  if (columns === undefined) return {};
  let at = latent * dOut;
  const norms = columns.map(({ name, dIn }) => [name, Math.hypot(...W_dec.subarray(at, (at += dIn)))]);
  return { columnNorms: Object.fromEntries(norms) as Record<string, number> };
}

/** The latents whose top rows are read, and how many others are active. */
function latentsToLookAt(
  fireCount: ArrayLike<number>,
  rows: number,
  { top, all = false, latents }: InspectOptions,
): Omit<LeftOut, "overlapping"> & { readonly looked: readonly number[] } {
  if (latents !== undefined) return { looked: latents, rare: 0, dense: 0, unsampled: 0 };
  const active = Array.from(fireCount, (count, latent) => ({ count, latent })).filter(
    ({ count }) => count > 0,
  );
  const often = active.filter(({ count }) => all || count >= top);
  const sparse = often.filter(({ count }) => all || count / rows <= DENSE);
  // In a small dictionary every latent may be active often: better these than nothing.
  const candidates = sparse.length > 0 ? sparse : often;
  const stride = Math.max(1, Math.ceil(candidates.length / CANDIDATES));
  const looked = candidates.filter((_, index) => index % stride === 0).map(({ latent }) => latent);
  return {
    looked,
    rare: active.length - often.length,
    dense: often.length - candidates.length,
    unsampled: candidates.length - looked.length,
  };
}

/** Leaves out features that share a top row with a better one: ten ways to say "months" would teach little. */
function distinct<T extends { latent: number }>(ranked: readonly T[], tops: TopRows): T[] {
  const taken = new Set<number>();
  return ranked.filter(({ latent }) => {
    const rows = tops.of(latent).map(({ rowId }) => rowId);
    if (rows.some((row) => taken.has(row))) return false;
    for (const row of rows) taken.add(row);
    return true;
  });
}

/** Mean pairwise cosine of vectors about `mean`. */
function coherenceOf(vectors: readonly Float32Array[], mean: readonly number[]): number {
  const units = vectors.map((vector) => {
    const unit = Float64Array.from(vector, (value, j) => value - mean[j]);
    normaliseDirections(unit, unit.length);
    return unit;
  });
  // ‖Σ u‖² = count + 2·Σ of all pairs' cosines.
  let square = 0;
  for (let j = 0; j < mean.length; j++) square += units.reduce((sum, unit) => sum + unit[j], 0) ** 2;
  const count = units.length;
  return count < 2 ? 0 : (square - count) / (count * (count - 1));
}

/** Rows by block, ascending and without repetition, as the corpus reads them. */
function byBlock(corpus: Corpus, rowIds: readonly number[]): Map<Block, number[]> {
  const groups = new Map<Block, number[]>();
  let block: Block | undefined;
  for (const row of [...new Set(rowIds)].sort((a, b) => a - b)) {
    if (block === undefined || row >= block.firstRow + block.rows) {
      block = corpus.blocks.holding(row);
      groups.set(block, []);
    }
    groups.get(block)!.push(row - block.firstRow);
  }
  return groups;
}

/** Rows in the model's coordinates, by their index. */
async function readVectors(
  corpus: Corpus,
  rowIds: readonly number[],
  transform: RowTransform,
): Promise<Map<number, Float32Array>> {
  const vectors = new Map<number, Float32Array>();
  const { dIn } = corpus;
  for (const [block, rows] of byBlock(corpus, rowIds)) {
    const bytes = new Uint8Array(rows.length * dIn * (corpus.type === "float16" ? 2 : 4));
    await corpus.readRows(block, Uint32Array.from(rows), bytes);
    const stored =
      corpus.type === "float16"
        ? Float32Array.from(new Float16Array(bytes.buffer))
        : new Float32Array(bytes.buffer);
    const values = transformRows(stored, dIn, transform);
    rows.forEach((row, place) =>
      vectors.set(block.firstRow + row, values.subarray(place * dIn, (place + 1) * dIn)),
    );
  }
  return vectors;
}

async function readLabels(
  corpus: Corpus,
  name: string | null,
  rowIds: readonly number[],
): Promise<Map<number, string>> {
  const labels = new Map<number, string>();
  if (name === null) return labels;
  for (const [block, rows] of byBlock(corpus, rowIds)) {
    const values = (await corpus.readLabels(block, [name])).get(name);
    for (const row of rows) labels.set(block.firstRow + row, String(values?.get(row)));
  }
  return labels;
}
