/**
 * The true features of a synthetic corpus, as `corpus generate` writes them beside it: directions, and by the
 * generator's options which of them are active in each row.
 */
import { readFile } from "node:fs/promises";
import { decodeSafetensors, SafetensorsError } from "@sparseloom/core";
import {
  type Corpus,
  createSynthetic,
  type FeatureModelOptions,
  type KnownFeatures,
  openKnownFeatures,
  parseSyntheticPath,
  type SyntheticOptions,
} from "@sparseloom/data";
import { RequestError } from "../errors.ts";
import { isFile } from "../run/entries.ts";

/** What is known of a corpus. */
export interface GroundTruth {
  readonly path: string;
  /** [features, dIn]. */
  readonly directions: Float32Array;
  readonly features: number;
  /** Makes the corpus's rows once more; undefined where the file does not say how. */
  readonly generator: RowGenerator | undefined;
}

/** Makes rows of a synthetic corpus, and tells what is active in them. */
export interface RowGenerator {
  /** Writes one row [dIn]. */
  readonly fill: (into: Float32Array, row: number) => void;
  /** The features active in a row; overwritten by the next call. */
  readonly activeFeatures: (row: number) => ArrayLike<number>;
}

/**
 * The ground truth at `path`, that of a synthetic corpus by its name, or the file beside a corpus of one file;
 * undefined where there is none.
 *
 * @throws RequestError if the file is not of that kind, or of other dimensions
 */
export async function findGroundTruth(
  corpus: Corpus,
  path: string | undefined,
): Promise<GroundTruth | undefined> {
  if (path !== undefined) return await readGroundTruth(path, corpus);
  const [file, ...others] = corpus.files;
  if (file === undefined || others.length > 0) return undefined;
  if (file.format === "synthetic") {
    const { options } = parseSyntheticPath(file.path);
    const known = await openKnownFeatures(options);
    const { features } = options;
    return { path: file.path, directions: known.directions, features, generator: generatorFrom(known) };
  }
  const beside = `${file.path}.features.safetensors`;
  return (await isFile(beside)) ? await readGroundTruth(beside, corpus) : undefined;
}

async function readGroundTruth(path: string, { dIn }: Corpus): Promise<GroundTruth> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new RequestError(`true features ${path} cannot be read (${error.code})`);
  });
  const { tensors, metadata } = decode(path, bytes);
  const directions = tensors.get("directions");
  if (!(directions?.data instanceof Float32Array) || directions.shape.length !== 2) {
    throw new RequestError(
      `true features ${path}: expected a float32 tensor "directions" of [features, dimensions]`,
    );
  }
  const [features = 0, dimensions] = directions.shape;
  if (dimensions !== dIn)
    throw new RequestError(`true features ${path} have ${dimensions} dimensions, but the corpus has ${dIn}`);
  const generator = await generatorOf(path, metadata.get("generator"));
  return { path, directions: directions.data, features, generator };
}

function decode(path: string, bytes: Uint8Array): ReturnType<typeof decodeSafetensors> {
  try {
    return decodeSafetensors(bytes);
  } catch (error) {
    if (!(error instanceof SafetensorsError)) throw error;
    throw new RequestError(`true features ${path}: ${error.message}`, { cause: error });
  }
}

async function generatorOf(path: string, text: string | undefined): Promise<RowGenerator | undefined> {
  if (text === undefined) return undefined;
  let options: SyntheticOptions | FeatureModelOptions;
  try {
    options = JSON.parse(text) as SyntheticOptions | FeatureModelOptions;
  } catch (error) {
    throw new RequestError(`true features ${path}: the generator's options are not JSON`, { cause: error });
  }
  if ("active" in options) return toyGenerator(options);
  return generatorFrom(await openKnownFeatures(options));
}

function generatorFrom(known: KnownFeatures): RowGenerator {
  return {
    fill: (into, row) => known.fill(into, row, 1),
    activeFeatures: (row) => known.activeFeatures(row).features,
  };
}

function toyGenerator(options: SyntheticOptions): RowGenerator {
  const { fill } = createSynthetic(options);
  const scratch = new Float32Array(options.dIn);
  const magnitudes = new Float32Array(options.features);
  return {
    fill: (into, row) => fill(into, row, 1),
    activeFeatures: (row) => {
      fill(scratch, row, 1, magnitudes);
      const active: number[] = [];
      for (let feature = 0; feature < magnitudes.length; feature++)
        if (magnitudes[feature] > 0) active.push(feature);
      return active;
    },
  };
}
