/**
 * A run's resolved configuration: what `config.json` holds, and all that `--resume` needs. Made once from the
 * options and the corpus by {@link resolveRun}; nothing of it depends on the number of workers.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type AuxKSetup,
  convertUnits,
  defaultAuxK,
  defaultPrefixes,
  defaultDeadWindow,
  type JumpSetup,
  type KAnnealSetup,
  type ModelSetup,
  type PAnnealSetup,
  columnsTransform,
  inputDimension,
  outputDimension,
  type RowTransform,
  rowTransform,
  type ScaleKind,
  scaleOf,
  type Setup,
  ARCHITECTURES,
  hasThresholds,
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
  type WindowPlan,
} from "@sparseloom/data";
import { RequestError, RunError } from "../errors.ts";
import type { TrainOptions } from "../options.ts";
import type { Resampling } from "../resample.ts";
import { type RecordedFilters, resolveFilterRequest } from "../row-filters.ts";
import { partOfRows } from "../slot-rows.ts";
import { VERSION } from "../version.ts";
import { learningRateOf, updatesOf } from "./learning-rate.ts";

export interface RunConfig {
  readonly version: string;
  /** The kernels whose bits the run has; resuming under others is refused. */
  readonly kernelVariant: string;
  readonly options: TrainOptions;
  readonly corpus: {
    /** Paths and globs as they were given. */
    readonly patterns: readonly string[];
    /** Absolute paths, or addresses, of the files that they named: what `--resume` reads, whatever a glob would find by then. */
    readonly files: readonly string[];
    readonly fingerprint: string;
    readonly column: string;
    /** Of a crosscoder: the columns whose vectors make a row; of a transcoder what it reads, then what it rebuilds. */
    readonly columns?: readonly CorpusColumn[];
    readonly dIn: number;
    readonly rows: number;
    /** Bytes of a block at most: part of the order of rows. */
    readonly blockBytes: number;
    /** How the training rows are shuffled: the windows that `--window-mb` makes of the corpus. */
    readonly windows: WindowPlan;
    /** Rows of the training split that no filter leaves out. */
    readonly trainRows: number;
    /** Rows of the training split that the filters leave out. */
    readonly filteredRows: number;
  };
  /** Rows left out of training, statistics and evaluation; null: none. */
  readonly filters: RecordedFilters | null;
  readonly statistics: CorpusStatistics;
  /** Rows are trained on as x′ = scale·(x − mean); of several columns each by its own of `scales`, and scale is 1. */
  readonly transform: {
    readonly mean: readonly number[] | null;
    readonly scale: number;
    readonly scales?: readonly number[];
  };
  readonly setup: Setup;
  readonly totalExamples: number;
  readonly totalSteps: number;
  /** Absent: dead latents are not resampled. */
  readonly resampling?: Resampling;
}

/**
 * Bytes of a block, the unit that is shuffled across the corpus. Small ones mix better, as a window takes its rows
 * from more places (11 by default); reading is no slower from 1 MiB on. See decision 008.
 */
export const BLOCK_BYTES: number = 2 ** 20;

/** Default L0 of a topk model: the value of the peers' defaults and benchmarks. */
const DEFAULT_K = 32;
/** Default number of latents as a multiple of dIn. */
const DEFAULT_EXPANSION = 8;
/** Default λ (SAELens's default; its scaling sqrt-d and loss convention are ours, too). */
const DEFAULT_L1 = 1;
/**
 * Default λ of JumpReLU's penalties: SAELens's 1, but 10 for `quadratic`: at 1 the reconstruction's pull keeps L0 10 to
 * 27 % above targets of 40 and 10 on the demo's corpus, at 10 it ends within 5 % of 20 and 40 after 774 steps.
 */
const DEFAULT_L0 = { step: 1, tanh: 1, quadratic: 10 } as const;
/** Share of the steps in which λ warms up (Anthropic, April 2024). */
const L1_WARMUP_SHARE = 0.05;

/** What is found out by reading the corpus: equal for all runs whose options ask for the same rows. */
interface TrainingData {
  readonly filters: RecordedFilters | null;
  readonly trainRows: number;
  readonly filteredRows: number;
  readonly statistics: CorpusStatistics;
}

/** Resolves everything that depends on the corpus. Reads statistics from the sidecar or a seeded sample. */
export async function resolveRun(
  corpus: Corpus,
  patterns: readonly string[],
  options: TrainOptions,
  kernelVariant: string,
  blockBytes: number,
  signal?: AbortSignal,
): Promise<RunConfig> {
  const [config] = await resolveRuns(corpus, patterns, [options], kernelVariant, blockBytes, signal);
  return config;
}

/** The same for runs that are to see the same rows in the same order: the corpus is looked at once. */
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
  return { filters, trainRows, filteredRows, statistics };
}

function configOf(
  corpus: Corpus,
  patterns: readonly string[],
  options: TrainOptions,
  kernelVariant: string,
  blockBytes: number,
  { filters, trainRows, filteredRows, statistics }: TrainingData,
): RunConfig {
  const totalExamples = options.examples ?? (options.epochs ?? 1) * trainRows;
  const batchRows = Math.min(options.batch, totalExamples);
  const totalSteps = Math.ceil(totalExamples / batchRows);
  const transform = transformFor(options.normalize, options.center, statistics);
  const model = modelSetup(options, corpus);
  const meant = options.units ?? options.normalize;
  const inUnits: Setup = {
    model,
    training: {
      batchRows,
      learningRate: learningRateOf(options, model, totalSteps),
      l1Coefficient: {
        peak: penaltyPeak(model, options),
        warmupSteps: options.l1Warmup ?? options.l0Warmup ?? Math.round(L1_WARMUP_SHARE * totalSteps),
        decaySteps: 0,
        totalSteps,
      },
      adam: { beta1: options.beta1, beta2: options.beta2, epsilon: options.epsilon },
      ...updatesOf(options),
      deadWindow: options.deadWindow ?? defaultDeadWindow(batchRows, totalExamples),
      ...(options.preActLoss === undefined ? {} : { preActCoefficient: options.preActLoss }),
      ...kAnnealing(options, model, totalSteps),
      ...pAnnealing(options, totalSteps),
      ...(options.multiTopk === true ? { multiTopK: true } : {}),
      ...auxiliary(options, model, scaledVariance(statistics, transform, model)),
    },
  };
  // A preset's numbers, say, that were found on rows of another scale.
  const ratio = transform.scale / transformFor(meant, options.center, statistics).scale;
  const setup = ratio === 1 ? inUnits : convertUnits(inUnits, ratio);
  return {
    version: VERSION,
    kernelVariant,
    options,
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
    transform: {
      mean: transform.mean === undefined ? null : [...transform.mean],
      scale: transform.scale,
      ...(transform.scales === undefined ? {} : { scales: firstOfEach(transform.scales, corpus.columns) }),
    },
    setup,
    totalExamples,
    totalSteps,
    ...resamplingOf(options, model, batchRows, totalSteps),
  };
}

/** Rows evaluated for resampling (Bricken et al. 2023). */
const RESAMPLE_ROWS = 819_200;

/** By default a latent is dead when it was silent over half the way from one resampling to the next, as in the source. */
function resamplingOf(
  {
    resampleAt,
    resampleEvery,
    resampleUntil,
    resampleWindow,
    resampleRows: rows = RESAMPLE_ROWS,
  }: TrainOptions,
  model: ModelSetup,
  batchRows: number,
  totalSteps: number,
): { resampling?: Resampling } {
  const steps = (resampleAt ?? []).toSorted((a, b) => a - b);
  if (resampleEvery !== undefined)
    for (let step = resampleEvery; step <= (resampleUntil ?? totalSteps / 2); step += resampleEvery)
      steps.push(step);
  if (resampleAt === undefined && resampleEvery === undefined) return {};
  if (model.kind === "sparse" && model.dOut !== undefined)
    throw new RequestError("resampling is for models that rebuild what they read, not for transcoders");
  const last = steps.at(-1);
  if (last === undefined || last >= totalSteps) {
    const what = last === undefined ? `--resample-every ${resampleEvery}` : `step ${last}`;
    throw new RequestError(
      `${what} is too late to resample: the run has ${totalSteps} steps${last === undefined ? ", of which the first half is resampled in: see --resample-until" : ""}`,
    );
  }
  const windowOf = (index: number): number =>
    resampleWindow ?? Math.ceil((batchRows * (steps[index] - (steps[index - 1] ?? 0))) / 2);
  return { resampling: { events: steps.map((step, index) => ({ step, window: windowOf(index) })), rows } };
}

/** The transform of a corpus's rows: of several columns, each by its own statistics. */
function transformFor(kind: ScaleKind, centre: boolean, statistics: CorpusStatistics): RowTransform {
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

function modelSetup(options: TrainOptions, corpus: Corpus): ModelSetup {
  const { columns } = corpus;
  const [input, target] = columns;
  const transcodes = options.target !== undefined && input !== undefined && target !== undefined;
  const dIn = transcodes ? input.dIn : corpus.dIn;
  if (options.arch === "autoencoder") {
    const widths = options.widths ?? [];
    if (widths[0] !== dIn) {
      throw new RequestError(
        `--widths must begin with the corpus's dimension ${dIn}, got ${widths.join(",")}`,
      );
    }
    const { outputActivation, tied = false } = options;
    return { kind: "deep", architecture: "autoencoder", widths, outputActivation, ...(tied ? { tied } : {}) };
  }
  const architecture = ARCHITECTURES[options.arch];
  const latents = options.latents ?? Math.round((options.expansion ?? DEFAULT_EXPANSION) * dIn);
  const hasK = architecture.selection !== "positive";
  if (hasK && options.k === undefined && latents < DEFAULT_K) {
    throw new RequestError(`--k is ${DEFAULT_K} by default: give one of at most the ${latents} latents`);
  }
  if (options.targetL0 !== undefined && options.targetL0 > latents)
    throw new RequestError(`--target-l0 must be at most the ${latents} latents, got ${options.targetL0}`);
  return {
    kind: "sparse",
    architecture: options.arch,
    dIn,
    latents,
    k: hasK ? (options.k ?? DEFAULT_K) : 0,
    decoder: options.decoder ?? architecture.decoders[0] ?? "unit",
    applyBDecToInput: options.applyBDecToInput,
    ...(transcodes
      ? { dOut: target.dIn, ...(options.skip === true ? { skip: true } : {}) }
      : columns.length > 1
        ? { columns: columns.map((column) => column.dIn) }
        : {}),
    ...(architecture.prefixes === true ? { prefixes: options.prefixes ?? defaultPrefixes(latents) } : {}),
    ...(hasThresholds(architecture) ? { jump: jumpSetup(options) } : {}),
  };
}

/** SAELens's defaults, whose scaling (sqrt-d) and loss convention are ours, too. */
function jumpSetup(options: TrainOptions): JumpSetup {
  return {
    bandwidth: options.bandwidth ?? 0.05,
    initialThreshold: options.initThreshold ?? 0.01,
    penalty: options.l0Penalty ?? "step",
    tanhScale: options.tanhScale ?? 4,
    targetL0: options.targetL0 ?? 20,
    gradientToInput: options.gradientToInput ?? false,
  };
}

function pAnnealing(
  { pAnnealStart: from, pEnd: end = 0.2, pNorm: norm = "sum" }: TrainOptions,
  totalSteps: number,
): { pAnneal?: PAnnealSetup } {
  if (from === undefined) return {};
  if (from > totalSteps - 10)
    throw new RequestError(
      `--p-anneal-start must leave 10 of the run's ${totalSteps} steps for its updates, got ${from}`,
    );
  return { pAnneal: { from, totalSteps, end, norm } };
}

/** From the dimension on, as dictionary_learning and sparsify do, or from all latents where they are fewer. */
function kAnnealing(
  { kAnnealSteps: steps, kAnneal: shape = "linear" }: TrainOptions,
  model: ModelSetup,
  totalSteps: number,
): { kAnneal?: KAnnealSetup } {
  if (steps === undefined || model.kind === "deep") return {};
  const from = Math.min(model.dIn, model.latents);
  if (from <= model.k)
    throw new RequestError(
      `--k-anneal-steps brings k down from ${from}, the dimension or all latents, which must be above --k ${model.k}`,
    );
  if (steps > totalSteps)
    throw new RequestError(`--k-anneal-steps must be at most the run's ${totalSteps} steps, got ${steps}`);
  return { kAnneal: { steps, shape, from } };
}

function auxiliary(options: TrainOptions, model: ModelSetup, totalVariance: number): { auxK?: AuxKSetup } {
  const { auxK, auxMode: mode = "variance", auxCoefficient } = options;
  if (auxK === undefined) return {};
  // OpenAI's and SAELens's.
  const coefficient = auxCoefficient ?? (mode === "variance" ? 1 / 32 : 1);
  const dimension = model.kind === "sparse" ? outputDimension(model) : inputDimension(model);
  return { auxK: { coefficient, k: auxK === "auto" ? defaultAuxK(dimension) : auxK, mode, totalVariance } };
}

function penaltyPeak(model: ModelSetup, options: TrainOptions): number {
  if (model.kind === "deep") return options.bottleneckL1 ?? 0;
  const { penalty } = ARCHITECTURES[model.architecture];
  if (penalty === undefined) return 0;
  return penalty === "l1"
    ? (options.l1 ?? DEFAULT_L1)
    : (options.l0 ?? DEFAULT_L0[options.l0Penalty ?? "step"]);
}

/** Who is held out, and who is left out: the same for training, statistics and evaluation. */
export function splitOptions(
  options: TrainOptions,
  filters: RecordedFilters | null,
): {
  seed: number;
  heldOut: { fraction: number; documentColumn?: string };
  filters: RecordedFilters | undefined;
} {
  const { seed, dataSeed, heldOut: fraction, documentColumn } = options;
  return {
    seed: dataSeed ?? seed,
    heldOut: documentColumn === undefined ? { fraction } : { fraction, documentColumn },
    filters: filters ?? undefined,
  };
}

/** The run's row transform, as the data path and the export apply it. */
export function transformOf(config: RunConfig): RowTransform {
  const { mean, scale, scales } = config.transform;
  const transform = { mean: mean === null ? undefined : Float32Array.from(mean), scale };
  const { columns = [] } = config.corpus;
  if (scales === undefined) return transform;
  const each = columns.flatMap(({ dIn }, i) => Array<number>(dIn).fill(scales[i] as number));
  return { ...transform, scales: Float32Array.from(each) };
}

/**
 * Reads a run directory's configuration.
 *
 * @throws RequestError if there is none, RunError if it is not ours
 */
export async function readRunConfig(runDirectory: string): Promise<RunConfig> {
  const path = join(runDirectory, "config.json");
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
    throw new RequestError(`${runDirectory} is not a run directory: it has no config.json`);
  });
  try {
    const config = JSON.parse(text) as RunConfig;
    if (config.setup === undefined || config.corpus === undefined) throw new Error("keys are missing");
    return config;
  } catch (error) {
    throw new RunError(`${path} is damaged: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
