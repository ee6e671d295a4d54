/** The first parameters of a run: a sample of the corpus for b_dec and the decoder's directions, the rest by seed. */
import { type Arena, geometricMedian, initialise, transformRows } from "@sparseloom/core";
import { type Corpus, sampleRows } from "@sparseloom/data";
import { type RunConfig, splitOptions, transformOf } from "./run/config.ts";

/** Rows at most for the geometric median, which passes over them many times, and their bytes at most. */
const MEDIAN_ROWS = 10_000;
const MEDIAN_BYTES = 8e6;

/** Sets all parameters of a new run's arena, and the mean about which variance is measured. */
export async function initialiseArena(
  arena: Arena,
  corpus: Corpus,
  config: RunConfig,
  signal?: AbortSignal,
): Promise<void> {
  const { options, statistics } = config;
  const { dIn } = corpus;
  const transform = transformOf(config);
  const sample = async (rows: number): Promise<Float32Array> => {
    const { values } = await sampleRows(corpus, {
      ...splitOptions(options, config.filters),
      split: "train",
      rows,
      signal,
    });
    return transformRows(values, dIn, transform);
  };
  const mean = transformRows(statistics.mean, dIn, transform);
  if (arena.kind === "deep") return initialise(arena, { seed: options.seed, mean });
  const medianRows = Math.min(MEDIAN_ROWS, Math.ceil(MEDIAN_BYTES / (4 * dIn)));
  const decoderBias =
    options.initBias === "mean"
      ? mean
      : options.initBias === "median"
        ? Float32Array.from(geometricMedian(await sample(medianRows), dIn))
        : new Float32Array(dIn);
  const decoderRows = options.init === "data" ? { decoderRows: await sample(arena.model.latents) } : {};
  initialise(arena, { seed: options.seed, mean, decoderBias, ...decoderRows });
}
