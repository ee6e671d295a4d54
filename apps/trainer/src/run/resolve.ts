/** From options and a corpus to a run's configuration: what is read of the corpus before training, and what follows from it. */
import { resolve } from "node:path";
import {
  columnsTransform,
  convertUnits,
  IDENTITY_TRANSFORM,
  type ModelSetup,
  type RowTransform,
  rowTransform,
  scaleOf,
  type Setup,
} from "@sparseloom/core";
import {
  absolutePath,
  type Corpus,
  type CorpusColumn,
  type CorpusStatistics,
  countSplit,
  estimateStatistics,
  planWindows,
  readStatistics,
} from "@sparseloom/data";
import { RequestError } from "../errors.ts";
import type { TrainOptions } from "../options.ts";
import { type RecordedFilters, resolveFilterRequest } from "../row-filters.ts";
import { partOfRows } from "../slot-rows.ts";
import { VERSION } from "../version.ts";
import { type RunConfig, splitOptions } from "./config.ts";
import { modelSetup } from "./model-setup.ts";
import { resamplingOf } from "./resampling.ts";
import { trainingSetup } from "./training-setup.ts";

/**
 * Bytes of a block, the unit that is shuffled across the corpus. Small ones mix better, as a window takes its rows
 * from more places (11 by default); reading is no slower from 1 MiB on. See decision 008.
 */
export const BLOCK_BYTES: number = 2 ** 20;

/** What is found out by reading the corpus: equal for all runs whose options ask for the same rows. */
interface TrainingData {
  readonly filters: RecordedFilters | null;
  readonly trainRows: number;
  readonly filteredRows: number;
  readonly statistics: CorpusStatistics;
  /** With LayerNorm: of the rows after it. */
  readonly normalisedStatistics?: CorpusStatistics;
}

/**
 * Resolves everything that depends on the corpus, for runs that are to see the same rows in the same order: the corpus is
 * looked at once. Reads statistics from the sidecar or a seeded sample.
 *
 * @param blockBytes bytes of a block of the corpus at most: {@link BLOCK_BYTES} in new runs
 * @throws RequestError where the options and the corpus do not go together
 */
export async function resolveRuns(
  corpus: Corpus,
  patterns: readonly string[],
  runs: readonly TrainOptions[],
  kernelVariant: string,
  blockBytes: number,
  signal?: AbortSignal,
): Promise<RunConfig[]> {
  const data = await lookAtCorpus(corpus, runs[0], signal);
  return runs.map((options) => configOf(corpus, patterns, options, kernelVariant, blockBytes, data));
}

async function lookAtCorpus(
  corpus: Corpus,
  options: TrainOptions,
  signal: AbortSignal | undefined,
): Promise<TrainingData> {
  const unfiltered = { ...splitOptions(options, null), split: "train", signal } as const;
  const filters = (await resolveFilterRequest(corpus, options, unfiltered)) ?? null;
  const split = splitOptions(options, filters);
  const { rows: trainRows, filteredRows } = await countSplit(corpus, { ...split, split: "train" }, signal);
  if (trainRows === 0)
    throw new RequestError(
      `no rows are left to train on: the corpus has ${corpus.rows}, ` +
        (filteredRows > 0
          ? `the filters leave out all ${filteredRows} of the training split`
          : `--held-out ${options.heldOut} takes all`),
    );
  const saved = await readStatistics(corpus, filters ?? undefined);
  const statistics = saved ?? (await estimateStatistics(corpus, { ...split, split: "train", signal }));
  if (statistics.totalVariance === 0)
    throw new RequestError("there is nothing to learn: all rows of the corpus are equal");
  const data = { filters, trainRows, filteredRows, statistics };
  if (options.normalize !== "layer-norm") return data;
  const layerNorm = widthsForLayerNorm(corpus);
  const sample = { ...split, split: "train", signal, layerNorm } as const;
  const normalisedStatistics = await estimateStatistics(corpus, sample);
  if (normalisedStatistics.totalVariance === 0)
    throw new RequestError("there is nothing to learn: all rows of the corpus are equal after LayerNorm");
  return { ...data, normalisedStatistics };
}

/** @throws RequestError for a vector of one number, of which LayerNorm would leave nothing */
function widthsForLayerNorm({ columns }: Corpus): number[] {
  const narrow = columns.find(({ dIn }) => dIn < 2);
  if (narrow !== undefined)
    throw new RequestError(
      `--normalize layer-norm needs vectors of at least 2 dimensions, but the column "${narrow.name}" has ${narrow.dIn}`,
    );
  return columns.map(({ dIn }) => dIn);
}

function configOf(
  corpus: Corpus,
  patterns: readonly string[],
  options: TrainOptions,
  kernelVariant: string,
  blockBytes: number,
  { filters, trainRows, filteredRows, statistics, normalisedStatistics }: TrainingData,
): RunConfig {
  const totalExamples = options.examples ?? (options.epochs ?? 1) * trainRows;
  const batchRows = Math.min(options.batch, totalExamples);
  const totalSteps = Math.ceil(totalExamples / batchRows);
  const transform = transformFor(options, corpus, statistics);
  const model = modelSetup(options, corpus);
  const length = { batchRows, totalExamples, totalSteps };
  const variance = scaledVariance(normalisedStatistics ?? statistics, transform, model);
  const inUnits: Setup = { model, training: trainingSetup(options, model, length, variance) };
  // A preset's numbers, say, that were found on rows of another scale.
  const { normalize, units = normalize } = options;
  const ratio =
    units === normalize || normalize === "layer-norm"
      ? 1
      : transform.scale / transformFor({ ...options, normalize: units }, corpus, statistics).scale;
  const setup = ratio === 1 ? inUnits : convertUnits(inUnits, ratio);
  return {
    version: VERSION,
    kernelVariant,
    // A run that is resumed before its first checkpoint may be so from another folder.
    options: options.initFrom === undefined ? options : { ...options, initFrom: resolve(options.initFrom) },
    corpus: {
      patterns,
      files: corpus.files.map(({ path, format }) => (format === "synthetic" ? path : absolutePath(path))),
      fingerprint: corpus.fingerprint,
      column: corpus.column,
      ...(corpus.columns.length > 1 ? { columns: corpus.columns } : {}),
      dIn: corpus.dIn,
      rows: corpus.rows,
      blockBytes,
      windows: planWindows(corpus, { shuffle: options.shuffle, windowBytes: options.windowMb * 1e6 }),
      trainRows,
      filteredRows,
    },
    filters,
    statistics,
    ...(normalisedStatistics === undefined ? {} : { normalisedStatistics }),
    transform: {
      mean: transform.mean === undefined ? null : [...transform.mean],
      scale: transform.scale,
      ...(transform.scales === undefined ? {} : { scales: firstOfEach(transform.scales, corpus.columns) }),
      ...(transform.layerNorm === undefined ? {} : { layerNorm: transform.layerNorm }),
    },
    setup,
    totalExamples,
    totalSteps,
    ...resamplingOf(options, model, batchRows, totalSteps),
  };
}

/** The transform of a corpus's rows: of several columns, each by its own statistics. */
function transformFor(
  { normalize: kind, center: centre }: Pick<TrainOptions, "normalize" | "center">,
  corpus: Corpus,
  statistics: CorpusStatistics,
): RowTransform {
  if (kind === "layer-norm")
    return { ...IDENTITY_TRANSFORM, layerNorm: corpus.columns.map(({ dIn }) => dIn) };
  const { columns, mean } = statistics;
  if (columns === undefined) return rowTransform(kind, centre, statistics);
  let from = 0;
  const parts = columns.map((column) => ({ ...column, mean: mean.slice(from, (from += column.dIn)) }));
  return columnsTransform(kind, centre, parts);
}

/** The total variance of what is rebuilt, as rows are trained on. */
function scaledVariance(
  { variance, totalVariance }: CorpusStatistics,
  transform: RowTransform,
  model: ModelSetup,
): number {
  if (transform.scales === undefined) return totalVariance * transform.scale ** 2;
  const scaled = Float32Array.from(variance, (value, i) => value * scaleOf(transform, i) ** 2);
  return partOfRows(scaled, model, "target").reduce((sum, value) => sum + value, 0);
}

/** What the dimensions of each column have in common. */
function firstOfEach(values: Float32Array, columns: readonly CorpusColumn[]): number[] {
  let from = 0;
  return columns.map(({ dIn }) => values[(from += dIn) - dIn] as number);
}
