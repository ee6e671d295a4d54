/**
 * The first parameters of runs: a sample of the corpus for b_dec and the decoder's directions, the rest by seed. Runs
 * that see the same data share what the data seed alone decides, so that several read no more than one.
 */
import {
  type Arena,
  DeepAutoencoder,
  defaultInitialRate,
  geometricMedian,
  initialise,
  initialiseFrom,
  type KernelVariant,
  OptionError,
  setInitialBias,
  outputDimension,
  type SparseArena,
  transformRows,
} from "@sparseloom/core";
import { type Corpus, sampleRows } from "@sparseloom/data";
import { RequestError } from "./errors.ts";
import { type RunConfig, splitOptions, trainingMean, transformOf } from "./run/config.ts";
import { columnFor, readModel } from "./run/model-folder.ts";
import { isTranscoder, partOfRows } from "./slot-rows.ts";

/** Rows at most for the geometric median, which passes over them many times, and their bytes at most. */
const MEDIAN_ROWS = 10_000;
const MEDIAN_BYTES = 8e6;

/** Rows on which a latent is to be active in the sample for encoder biases: its share is then right to 7 %. */
const ACTIVE_ROWS = 200;
/** Rows of that sample at least and at most. */
const BIAS_ROWS = { least: 2000, most: 20_000 } as const;

/** A run that begins. */
export interface NewRun {
  readonly arena: Arena;
  readonly config: RunConfig;
}

/** Sets all parameters of new runs' arenas, and the mean about which variance is measured. The runs see the same data. */
export async function initialiseArenas(
  runs: readonly NewRun[],
  corpus: Corpus,
  kernels: KernelVariant,
  signal?: AbortSignal,
): Promise<void> {
  const samples = new Samples(corpus, signal);
  // Runs of one seed one after the other: they share a sample of decoder rows, and only one is held at a time.
  for (const { arena, config } of runs.toSorted((a, b) => a.config.options.seed - b.config.options.seed)) {
    const { options } = config;
    const means = trainingMean(config);
    const mean = partOfRows(means, arena.model, "target");
    if (arena.kind === "deep" || options.initFrom !== undefined) {
      initialise(arena, { seed: options.seed, mean });
      if (arena.kind === "sparse") await takeFrom(options.initFrom, arena, config);
      continue;
    }
    const decoderBias =
      options.initBias === "mean"
        ? mean
        : options.initBias === "median"
          ? await samples.median(config)
          : new Float32Array(mean.length);
    const decoderRows =
      options.init === "data"
        ? {
            decoderRows: partOfRows(
              await samples.decoderRows(config, arena.model.latents),
              arena.model,
              "target",
            ),
          }
        : {};
    initialise(arena, {
      seed: options.seed,
      mean,
      decoderBias,
      decoderEntries: options.init === "uniform" ? "uniform" : "normal",
      encoder: options.initEncoder ?? (isTranscoder(arena.model) ? "random" : "tied"),
      ...(isTranscoder(arena.model) ? { inputMean: partOfRows(means, arena.model, "input") } : {}),
      ...(options.decoderNorm === undefined ? {} : { decoderNorm: options.decoderNorm }),
      ...decoderRows,
    });
    if (options.initEncoderBias === "sparse") {
      const rate = options.initRate ?? defaultInitialRate(arena.model);
      const rows = await samples.biasRows(config, rate);
      setInitialBias(arena, partOfRows(rows, arena.model, "input"), rate, kernels);
    }
  }
}

/** @throws RequestError where there is no such model, or the run cannot begin with it */
async function takeFrom(path: string | undefined, arena: SparseArena, config: RunConfig): Promise<void> {
  if (path === undefined) throw new Error("internal: no model to begin with");
  const loaded = await readModel(path);
  const { model } = loaded;
  // Names in another order would go unnoticed where widths are the same.
  const { columns } = config.corpus;
  if (columns !== undefined)
    columnFor(
      loaded,
      columns.map(({ name }) => name),
    );
  if (model instanceof DeepAutoencoder)
    throw new RequestError(`--init-from ${path} is a deep autoencoder, and the run trains a sparse one`);
  try {
    initialiseFrom(arena, model, transformOf(config));
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    throw new RequestError(`--init-from ${path}: ${error.message}`, { cause: error });
  }
}

/** Samples of training rows in the model's coordinates; each is read when it is first asked for. */
class Samples {
  readonly #corpus: Corpus;
  readonly #signal: AbortSignal | undefined;
  #median: Float32Array | undefined;
  #bias: { readonly asked: number; readonly rows: Float32Array } | undefined;
  #decoder: { readonly seed: number; readonly rows: Float32Array } | undefined;

  constructor(corpus: Corpus, signal: AbortSignal | undefined) {
    this.#corpus = corpus;
    this.#signal = signal;
  }

  /** The geometric median of a sample by the data seed. */
  async median(config: RunConfig): Promise<Float32Array> {
    const { model } = config.setup;
    const dOut = model.kind === "sparse" ? outputDimension(model) : this.#corpus.dIn;
    const count = Math.min(MEDIAN_ROWS, Math.ceil(MEDIAN_BYTES / (4 * dOut)));
    if (this.#median === undefined) {
      const rows = partOfRows(await this.#sample(config, count), model, "target");
      this.#median = Float32Array.from(geometricMedian(rows, dOut));
    }
    return this.#median;
  }

  /** A sample by the data seed on which a latent's share of active rows is told. */
  async biasRows(config: RunConfig, rate: number): Promise<Float32Array> {
    const rows = Math.min(BIAS_ROWS.most, Math.max(BIAS_ROWS.least, Math.ceil(ACTIVE_ROWS / rate)));
    if (this.#bias?.asked !== rows) this.#bias = { asked: rows, rows: await this.#sample(config, rows) };
    return this.#bias.rows;
  }

  /** Rows by the model's own seed: models that began with the same directions would agree too easily. */
  async decoderRows(config: RunConfig, latents: number): Promise<Float32Array> {
    const { seed } = config.options;
    if (this.#decoder?.seed !== seed)
      this.#decoder = { seed, rows: await this.#sample(config, latents, seed) };
    return this.#decoder.rows;
  }

  async #sample(config: RunConfig, rows: number, seed?: number): Promise<Float32Array> {
    const split = splitOptions(config.options, config.filters);
    const { values } = await sampleRows(this.#corpus, {
      ...split,
      seed: seed ?? split.seed,
      // Whatever decides which rows are taken: the held-out ones are those of the run.
      heldOut: { ...split.heldOut, seed: split.seed },
      split: "train",
      rows,
      signal: this.#signal,
    });
    return transformRows(values, this.#corpus.dIn, transformOf(config));
  }
}
