/**
 * A run's resolved configuration: what `config.json` holds, and all that `--resume` needs. Nothing of it depends on the
 * number of workers. resolve.ts makes it from the options and the corpus.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type RowTransform, type Setup, transformMean } from "@sparseloom/core";
import type { CorpusColumn, CorpusStatistics, WindowPlan } from "@sparseloom/data";
import { RequestError } from "../errors.ts";
import type { TrainOptions } from "../options.ts";
import type { Resampling } from "../resample.ts";
import type { RecordedFilters } from "../row-filters.ts";

/** What `config.json` holds. */
export interface RunConfig {
  readonly version: string;
  /** The kernels that the run began with; resuming under others is refused, unless allowed. */
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
  /** Of the rows as they are stored. */
  readonly statistics: CorpusStatistics;
  /** Of the rows after LayerNorm, where they are normalised so; always of a sample. */
  readonly normalisedStatistics?: CorpusStatistics;
  /**
   * Rows are trained on as x′ = scale·(x − mean); of several columns each by its own of `scales`, and scale is 1. With
   * `layerNorm`, the widths of a row's vectors, LayerNorm takes the place of both.
   */
  readonly transform: {
    readonly mean: readonly number[] | null;
    readonly scale: number;
    readonly scales?: readonly number[];
    readonly layerNorm?: readonly number[];
  };
  readonly setup: Setup;
  readonly totalExamples: number;
  readonly totalSteps: number;
  /** Absent: dead latents are not resampled. */
  readonly resampling?: Resampling;
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
  const { mean, scale, scales, layerNorm } = config.transform;
  const normalised = layerNorm === undefined ? {} : { layerNorm };
  const transform = { mean: mean === null ? undefined : Float32Array.from(mean), scale, ...normalised };
  const { columns = [] } = config.corpus;
  if (scales === undefined) return transform;
  const each = columns.flatMap(({ dIn }, i) => Array<number>(dIn).fill(scales[i] as number));
  return { ...transform, scales: Float32Array.from(each) };
}

/** The mean of the training rows [dIn] in the model's coordinates. */
export function trainingMean(config: RunConfig): Float32Array {
  return transformMean((config.normalisedStatistics ?? config.statistics).mean, transformOf(config));
}

/** What may be there of a file that may be damaged. */
type PartOf<T> = { readonly [Key in keyof T]?: Partial<T[Key]> };

/**
 * Reads a run directory's configuration.
 *
 * @throws RequestError if there is none, or it is damaged
 */
export async function readRunConfig(runDirectory: string): Promise<RunConfig> {
  const path = join(runDirectory, "config.json");
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
    throw new RequestError(`${runDirectory} is not a run directory: it has no config.json`);
  });
  try {
    const config = JSON.parse(text) as PartOf<RunConfig> | null;
    const { setup, corpus, options, statistics, transform } = config ?? {};
    const needed = [setup?.model, setup?.training, corpus?.files, corpus?.windows];
    if ([...needed, options, statistics, transform].some((one) => typeof one !== "object" || one === null))
      throw new Error("keys are missing");
    return config as RunConfig;
  } catch (error) {
    throw new RequestError(`${path} is damaged: ${(error as Error).message}`, { cause: error });
  }
}
