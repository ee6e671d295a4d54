/** Writes and reads model folders: SAELens's format for sparse autoencoders, our own for deep ones. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type Arena,
  DeepAutoencoder,
  deepModel,
  foldedModel,
  type FloatArray,
  type ModelColumn,
  outputDimension,
  type SafetensorsInput,
  SafetensorsError,
  safetensorsParts,
  SparseAutoencoder,
  transpose,
} from "@sparseloom/core";
import {
  crosscoderParts,
  type JsonValue,
  type SaeLensMetadata,
  type SaeLensModel,
  saeLensParts,
} from "@sparseloom/interop";
import type { Corpus } from "@sparseloom/data";
import { jsonParts } from "../json.ts";
import { RequestError, shellQuoted } from "../errors.ts";
import { isGroup, readGroup } from "../group/group-folder.ts";
import { type RunConfig, transformOf } from "./config.ts";
import type { ThresholdReport } from "./result.ts";
import { isFile, isFolder } from "./entries.ts";
import { writeFolder } from "./write-folder.ts";

/** A run as it stands when its model is written. */
export interface ModelRun extends RunConfig {
  readonly kernelVariants: readonly string[];
  /** Steps taken. */
  readonly step: number;
}

/** What evaluation found, for the model's metadata. */
export interface ModelQuality {
  /** Absent where not known, as the next. */
  readonly l0?: number;
  readonly dead?: number;
  /** Of a BatchTopK autoencoder. */
  readonly threshold?: ThresholdReport;
}

/**
 * Writes the run's result, folded to raw activations, to `path`. The run is over: where the arena has Adam's moments the
 * folded model takes their place, so that writing a large one needs no more memory than training it.
 */
export async function writeModel(
  path: string,
  arena: Arena,
  config: ModelRun,
  quality: ModelQuality,
): Promise<void> {
  const transform = transformOf(config);
  if (arena.kind === "deep") return await writeDeepModel(path, deepModel(arena, transform), config);
  const fold = config.options.fold ?? (arena.model.decoder === "free" ? "unit" : "scale");
  const { latents, dIn } = arena.model;
  const dOut = outputDimension(arena.model);
  const memory = (moments: FloatArray, width: number): Float32Array =>
    moments instanceof Float32Array && moments.length === latents * width
      ? moments
      : new Float32Array(latents * width);
  const ofDecoder = memory(arena.W_dec.m, dOut);
  const { parts } = foldedModel(arena, transform, fold, {
    encoder: memory(arena.W_enc.m, dIn),
    W_dec: ofDecoder,
  });
  const { activation, applyBDecToInput, encoder, b_enc, W_dec, b_dec } = parts;
  const W_enc = transpose(encoder, latents, dIn, memory(arena.W_enc.v, dIn));
  const model: SaeLensModel = {
    architecture: activation.kind === "relu" ? "standard" : activation.kind,
    dIn,
    ...(parts.dOut === undefined ? {} : { dOut }),
    ...(parts.W_skip === undefined ? {} : { W_skip: parts.W_skip }),
    latents,
    ...(activation.kind === "topk" ? { k: activation.k } : {}),
    ...(activation.kind === "jumprelu" ? { threshold: activation.threshold } : {}),
    ...(activation.kind === "gated" ? { r_mag: activation.r_mag, b_mag: activation.b_mag } : {}),
    applyBDecToInput,
    W_enc,
    b_enc,
    W_dec,
    b_dec,
    ...(parts.layerNorm === true ? { layerNorm: true } : {}),
  };
  const { modelName, hookName } = config.options;
  const metadata: SaeLensMetadata = {
    trainingArchitecture: arena.model.architecture,
    ...(modelName === undefined ? {} : { modelName }),
    ...(hookName === undefined ? {} : { hookName }),
    ...(quality.l0 === undefined ? {} : { l0: quality.l0 }),
    ...(quality.dead === undefined ? {} : { deadLatents: quality.dead }),
    sparseloom: {
      ...metadataOf(config),
      fold,
      ...(quality.threshold === undefined ? {} : { threshold: { ...quality.threshold } }),
    },
  };
  const { columns } = config.corpus;
  const files =
    columns === undefined || parts.dOut !== undefined
      ? saeLensParts(model, metadata)
      : crosscoderParts(model, columns, metadata);
  await writeFolder(path, files);
}

function metadataOf(config: ModelRun) {
  const { options, statistics, setup } = config;
  return {
    version: config.version,
    kernelVariants: config.kernelVariants,
    steps: config.step,
    stepsOfRun: config.totalSteps,
    seed: options.seed,
    // Who is held out follows from it.
    dataSeed: options.dataSeed ?? options.seed,
    corpusFingerprint: config.corpus.fingerprint,
    column: config.corpus.column,
    ...(config.corpus.columns === undefined
      ? {}
      : { columns: config.corpus.columns.map(({ name }) => name) }),
    heldOut: options.heldOut,
    documentColumn: options.documentColumn ?? null,
    // Of runs before there were filters the configuration has none.
    rowFilters: JSON.parse(JSON.stringify(config.filters ?? null)) as JsonValue,
    scaling: {
      normalize: options.normalize,
      center: options.center,
      scale: config.transform.scale,
      ...(config.transform.scales === undefined ? {} : { scales: config.transform.scales }),
    },
    lossConvention: `mean over rows of the squared error summed over dimensions, on ${options.normalize === "layer-norm" ? "normalised" : "scaled"} rows`,
    deadWindow: setup.training.deadWindow,
    // What eval compares a corpus with before it trusts a number.
    corpus: {
      meanNorm: statistics.meanNorm,
      totalVariance: statistics.totalVariance,
      gamma: Number.isFinite(statistics.gamma) ? statistics.gamma : null,
    },
  };
}

async function writeDeepModel(path: string, model: DeepAutoencoder, config: ModelRun): Promise<void> {
  const { layers, outputActivation, transform } = model.parts;
  const tensors: Record<string, SafetensorsInput> = {};
  layers.forEach((layer, index) => {
    tensors[`layers.${index}.weight`] = { shape: [layer.outputs, layer.inputs], data: layer.weight };
    tensors[`layers.${index}.bias`] = { shape: [layer.outputs], data: layer.bias };
  });
  if (transform.mean !== undefined) tensors["mean"] = { shape: [model.dIn], data: transform.mean };
  const cfg = {
    architecture: "autoencoder",
    d_in: model.dIn,
    widths: model.widths,
    tied: config.options.tied ?? false,
    output_activation: outputActivation,
    scale: transform.scale,
    ...(transform.layerNorm === undefined ? {} : { normalize_activations: "layer_norm" }),
    dtype: "float32",
    metadata: { sparseloom: metadataOf(config) },
  };
  await writeFolder(path, {
    "cfg.json": jsonParts(cfg),
    "sae_weights.safetensors": safetensorsParts(tensors),
  });
}

/** A model that was read, with its `cfg.json`. */
export interface LoadedModel {
  readonly path: string;
  readonly model: SparseAutoencoder | DeepAutoencoder;
  readonly cfg: Readonly<Record<string, unknown>>;
}

/** What a model of ours says of its training; nothing of another tool's. */
export function trainingRecordOf(cfg: LoadedModel["cfg"]): Readonly<Record<string, unknown>> {
  const metadata = (cfg["metadata"] ?? {}) as Record<string, unknown>;
  return (metadata["sparseloom"] ?? {}) as Record<string, unknown>;
}

/** The corpus's columns that a model reads, where it reads several. */
export function columnsOf({ model }: LoadedModel): readonly ModelColumn[] | undefined {
  return model instanceof DeepAutoencoder ? undefined : model.parts.columns;
}

/** What a transcoder was trained on, its input and its target, where its metadata say so. */
function transcoderColumns({ model, cfg }: LoadedModel): readonly string[] | undefined {
  if (model instanceof DeepAutoencoder || model.parts.dOut === undefined) return undefined;
  const { columns } = trainingRecordOf(cfg);
  return Array.isArray(columns) && columns.length === 2 ? columns.map(String) : undefined;
}

/** Name of the one column that a model was trained on, where its metadata say so. */
export function onlyColumnOf({ cfg }: LoadedModel): string | undefined {
  const { column, columns } = trainingRecordOf(cfg);
  return typeof column === "string" && columns === undefined ? column : undefined;
}

/** Names of the columns that a model was trained on, in its order, where it has several. */
function namesOfColumns(loaded: LoadedModel): readonly string[] | undefined {
  return columnsOf(loaded)?.map(({ name }) => name) ?? transcoderColumns(loaded);
}

/**
 * The columns of a corpus to open for a model: those asked for, or the model's own, where it has several.
 *
 * @throws RequestError when the model has several and another number is asked for, or one of them in another's place
 */
export function columnFor(
  loaded: LoadedModel,
  asked: string | readonly string[] | undefined,
): string | readonly string[] | undefined {
  const own = namesOfColumns(loaded);
  if (own === undefined) return asked;
  if (asked === undefined) return own;
  if (typeof asked === "string" || asked.length !== own.length)
    throw new RequestError(
      `the model ${loaded.path} reads ${own.length} columns (${own.join(", ")}): give as many with --columns, or none`,
    );
  const misplaced = asked.find((name, place) => name !== own[place] && own.includes(name));
  if (misplaced !== undefined)
    throw new RequestError(
      `the model ${loaded.path} was trained on the columns ${own.join(",")} in this order, got --columns ${asked.join(",")}: "${misplaced}" stands in another's place`,
    );
  return asked;
}

/** A warning where columns of other names take the place of those that a model was trained on. */
export function columnWarnings(loaded: LoadedModel, corpus: Corpus): string[] {
  const own = namesOfColumns(loaded);
  const there = corpus.columns.map(({ name }) => name);
  return own === undefined || own.every((name, place) => name === there[place])
    ? []
    : [
        `the model was trained on the columns ${own.join(",")}; the corpus's ${there.join(",")} stand for them`,
      ];
}

/** Why there is no model at `path`: several together and runs that are not complete are what it is most often. */
async function explainNoModel(path: string, file: string, error: NodeJS.ErrnoException): Promise<string> {
  if (error.code === "ENOENT") {
    if (!(await isFolder(path))) return `${path}: no such folder; a model folder or run directory is needed`;
    if (await isGroup(path)) {
      const [{ name }] = (await readGroup(path)).members;
      return `${path} holds several models: name one, for example ${join(path, name)}`;
    }
    if (await isFile(join(path, "config.json")))
      return `${path} has no model yet: the run is not complete; go on with sparseloom train --resume ${shellQuoted(path)}, or take a checkpoint's with sparseloom export`;
  }
  if (error.code === "ENOTDIR")
    return `${path} is a file: a model is a folder, that of a run or SAELens's, and stands before the corpus`;
  return `${path} is not a model: ${file} cannot be read (${error.code})`;
}

/**
 * Reads a model folder, or the model of a run directory.
 *
 * @throws RequestError if there is no model, OptionError if it is not one we know
 */
export async function readModel(path: string): Promise<LoadedModel> {
  const inRun = join(path, "model");
  const folder = (await isFolder(inRun)) ? inRun : path;
  const read = async (name: string): Promise<Buffer> =>
    await readFile(join(folder, name)).catch(async (error: NodeJS.ErrnoException) => {
      throw new RequestError(await explainNoModel(path, join(folder, name), error));
    });
  const text = (await read("cfg.json")).toString("utf8");
  const weights = await read("sae_weights.safetensors");
  let cfg: Record<string, unknown>;
  try {
    cfg = JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new RequestError(`${join(folder, "cfg.json")} is not JSON`, { cause: error });
  }
  try {
    const model =
      cfg?.["architecture"] === "autoencoder"
        ? DeepAutoencoder.fromFiles(cfg, weights)
        : SparseAutoencoder.fromFiles(cfg, weights);
    return { path: folder, model, cfg };
  } catch (error) {
    if (error instanceof SafetensorsError)
      throw new RequestError(`${join(folder, "sae_weights.safetensors")}: ${error.message}`, {
        cause: error,
      });
    throw error;
  }
}
