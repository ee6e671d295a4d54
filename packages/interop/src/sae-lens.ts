/**
 * The SAELens writer: a trained model becomes the two files of a folder that `SAE.load_from_disk` of the Python
 * package sae-lens reads as it is. Tensors follow its row-vector convention, x @ W.
 * Knows the layout only: weights arrive already folded to raw activations, and writing files is the caller's.
 */
import { encodeSafetensors, type SafetensorsInput, safetensorsParts } from "@sparseloom/core";

/** The sae-lens release whose loader these files were checked with; loaders choose their reading rules by it. */
export const SAE_LENS_VERSION = "6.54.12";

/** The architecture of a transcoder's folder: SAELens's own for `standard` and `jumprelu`; others have names that it refuses. */
function transcoderName(architecture: SaeLensArchitecture, skips: boolean): string {
  const form = skips ? "skip_transcoder" : "transcoder";
  return architecture === "standard" ? form : `${architecture}_${form}`;
}

/** The inference architectures that are written: ReLU (`standard`), TopK (`topk`), JumpReLU (`jumprelu`) and Gated (`gated`). */
export type SaeLensArchitecture = "standard" | "topk" | "jumprelu" | "gated";

/** A sparse autoencoder that takes and gives raw activations, or what LayerNorm makes of them. */
export interface SaeLensModel {
  readonly architecture: SaeLensArchitecture;
  /** Dimensions of an activation. */
  readonly dIn: number;
  /** Units of the dictionary. */
  readonly latents: number;
  /** Active latents per row; required for `topk`, absent for others. */
  readonly k?: number;
  /** θ [latents], what a pre-activation must exceed, at least 0; required for `jumprelu`, absent for others. */
  readonly threshold?: Float32Array;
  /** [latents] each, f = ReLU(exp(r_mag)·x·W_enc + b_mag) where the gate is open; required for `gated`, absent for others. */
  readonly r_mag?: Float32Array;
  readonly b_mag?: Float32Array;
  /** Whether the encoder sees x − b_dec (true) or x (false). */
  readonly applyBDecToInput: boolean;
  /** [dIn, latents], row-major. */
  readonly W_enc: Float32Array;
  /** [latents]; for `gated` the gate's bias. */
  readonly b_enc: Float32Array;
  /** Of a transcoder: dimensions of what it rebuilds from x; it cannot subtract b_dec from that. */
  readonly dOut?: number;
  /** [dOut, dIn], row-major: what a skip transcoder adds W_skip·x by. */
  readonly W_skip?: Float32Array;
  /** [latents, dIn], of a transcoder [latents, dOut], row-major. */
  readonly W_dec: Float32Array;
  /** [dIn], of a transcoder [dOut] */
  readonly b_dec: Float32Array;
  /**
   * Whether the weights are for rows after LayerNorm, (x − mean)/(std + 1e-5), which whoever uses the model must do and
   * undo. Not of a transcoder: SAELens does not undo it there. @default false
   */
  readonly layerNorm?: boolean;
}

/** What JSON can hold. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** What is known about a model beside its weights. Absent properties are left out of the file. */
export interface SaeLensMetadata {
  /** The architecture it was trained as. @default the architecture that is written */
  readonly trainingArchitecture?: string;
  /** The model whose activations these are, by its TransformerLens name. */
  readonly modelName?: string;
  /** The place in that model, by its TransformerLens name, e.g. `blocks.6.hook_resid_pre`. */
  readonly hookName?: string;
  /** The attention head, where the hook has several. */
  readonly hookHeadIndex?: number;
  /** Tokens per sequence when the activations were taken. */
  readonly contextSize?: number;
  /** Whether the sequences began with the beginning-of-sequence token. */
  readonly prependBos?: boolean;
  /** Mean number of active latents per row on held-out data. */
  readonly l0?: number;
  /** Latents that count as dead at the end of training. */
  readonly deadLatents?: number;
  /** Our own record, kept as it is under `metadata.sparseloom`: version, scaling, loss convention, seed, … */
  readonly sparseloom: { readonly [key: string]: JsonValue };
}

/** A model folder: file names and their bytes. */
export interface SaeLensFiles {
  readonly "cfg.json": Uint8Array<ArrayBuffer>;
  readonly "sae_weights.safetensors": Uint8Array<ArrayBuffer>;
}

/** Thrown when a model cannot be written as a SAELens folder. */
export class SaeLensError extends Error {
  override readonly name = "SaeLensError";
  /** The property of the model or of its metadata at fault, e.g. `W_enc`. */
  readonly property: string;

  constructor(property: string, message: string) {
    super(`SAELens export: ${property} ${message}`);
    this.property = property;
  }
}

/**
 * The contents of a SAELens model folder.
 *
 * @throws SaeLensError where a size is not a positive whole number, a tensor's length does not match the sizes,
 *   a weight or a metadata number is NaN or infinite, or `k` does not suit the architecture
 */
export function exportSaeLens(model: SaeLensModel, metadata: SaeLensMetadata): SaeLensFiles {
  checkModel(model);
  return {
    "cfg.json": encodeConfig(model, metadata, {}),
    "sae_weights.safetensors": encodeSafetensors(tensorsOf(model)),
  };
}

/**
 * The same files in pieces, to be written one after the other: each tensor is the model's own memory, uncopied.
 *
 * @param keys of `cfg.json` beside SAELens's, or instead of them
 * @throws SaeLensError as {@link exportSaeLens}
 */
export function saeLensParts(
  model: SaeLensModel,
  metadata: SaeLensMetadata,
  keys: { readonly [key: string]: JsonValue } = {},
): Readonly<Record<keyof SaeLensFiles, readonly Uint8Array[]>> {
  checkModel(model);
  return {
    "cfg.json": [encodeConfig(model, metadata, keys)],
    "sae_weights.safetensors": safetensorsParts(tensorsOf(model)),
  };
}

function encodeConfig(
  model: SaeLensModel,
  metadata: SaeLensMetadata,
  keys: { readonly [key: string]: JsonValue },
): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${toJson({ ...configOf(model, metadata), ...keys })}\n`);
}

function tensorsOf({
  dIn,
  dOut = dIn,
  latents,
  W_skip,
  W_enc,
  b_enc,
  W_dec,
  b_dec,
  threshold,
  architecture,
  r_mag,
  b_mag,
}: SaeLensModel): Record<string, SafetensorsInput> {
  return {
    W_enc: { shape: [dIn, latents], data: W_enc },
    [architecture === "gated" ? "b_gate" : "b_enc"]: { shape: [latents], data: b_enc },
    W_dec: { shape: [latents, dOut], data: W_dec },
    b_dec: { shape: [dOut], data: b_dec },
    ...(W_skip === undefined ? {} : { W_skip: { shape: [dOut, dIn], data: W_skip } }),
    ...(threshold === undefined ? {} : { threshold: { shape: [latents], data: threshold } }),
    ...(r_mag === undefined ? {} : { r_mag: { shape: [latents], data: r_mag } }),
    ...(b_mag === undefined ? {} : { b_mag: { shape: [latents], data: b_mag } }),
  };
}

/**
 * The keys of `cfg.json`. SAELens rescales nothing at run time: `normalize_activations` is "none" because the
 * weights are folded (but for LayerNorm, which nothing folds), and the decoder's norms are not used to rank latents.
 */
function configOf(model: SaeLensModel, metadata: SaeLensMetadata): { [key: string]: JsonValue } {
  return {
    architecture:
      model.dOut === undefined
        ? model.architecture
        : transcoderName(model.architecture, model.W_skip !== undefined),
    d_in: model.dIn,
    ...(model.dOut === undefined ? {} : { d_out: model.dOut }),
    d_sae: model.latents,
    ...(model.k === undefined ? {} : { k: model.k, rescale_acts_by_decoder_norm: false }),
    dtype: "float32",
    device: "cpu",
    apply_b_dec_to_input: model.applyBDecToInput,
    normalize_activations: model.layerNorm === true ? "layer_norm" : "none",
    reshape_activations: "none",
    metadata: withoutAbsent({
      sae_lens_version: SAE_LENS_VERSION,
      // Said, because a loader that misses the key takes the model for one of its own version's training.
      sae_lens_training_version: null,
      training_architecture: metadata.trainingArchitecture ?? model.architecture,
      model_name: metadata.modelName,
      hook_name: metadata.hookName,
      hook_head_index: metadata.hookHeadIndex,
      context_size: metadata.contextSize,
      prepend_bos: metadata.prependBos,
      l0: metadata.l0,
      num_dead_features: metadata.deadLatents,
      sparseloom: metadata.sparseloom,
    }),
  };
}

function withoutAbsent(entries: { [key: string]: JsonValue | undefined }): { [key: string]: JsonValue } {
  const present = Object.entries(entries).filter(
    (entry): entry is [string, JsonValue] => entry[1] !== undefined,
  );
  return Object.fromEntries(present);
}

/** JSON with two-space indentation; a number that JSON cannot hold is an error, not a silent null. */
function toJson(config: { [key: string]: JsonValue }): string {
  return JSON.stringify(
    config,
    (key, value: unknown) => {
      if (typeof value === "number" && !Number.isFinite(value)) {
        throw new SaeLensError("metadata", `holds ${value} under "${key}", expected a finite number`);
      }
      return value;
    },
    2,
  );
}

function checkModel(model: SaeLensModel): void {
  const { architecture, dIn, latents, k, threshold } = model;
  checkCount("dIn", dIn);
  checkCount("latents", latents);
  switch (architecture) {
    case "topk":
      if (k === undefined)
        throw new SaeLensError("k", "is missing, expected the active latents per row of topk");
      checkCount("k", k);
      if (k > latents)
        throw new SaeLensError("k", `is ${k}, expected at most ${latents}, the number of latents`);
      break;
    case "standard":
    case "gated":
    case "jumprelu":
      if (k !== undefined) throw new SaeLensError("k", `is ${k}, but architecture ${architecture} has none`);
      break;
    default:
      architecture satisfies never;
      throw new SaeLensError(
        "architecture",
        `is "${String(architecture)}", expected "standard", "topk", "jumprelu" or "gated"`,
      );
  }
  if ((threshold !== undefined) !== (architecture === "jumprelu"))
    throw new SaeLensError(
      "threshold",
      threshold === undefined
        ? "is missing, expected that of jumprelu"
        : `is for jumprelu, not for ${architecture}`,
    );
  if (threshold !== undefined) {
    checkTensor("threshold", threshold, latents);
    const negative = threshold.find((value) => value < 0);
    if (negative !== undefined) throw new SaeLensError("threshold", `holds ${negative}, expected at least 0`);
  }
  for (const name of ["r_mag", "b_mag"] as const) {
    const values = model[name];
    if ((values !== undefined) !== (architecture === "gated"))
      throw new SaeLensError(
        name,
        values === undefined ? "is missing, expected that of gated" : `is for gated, not for ${architecture}`,
      );
    if (values !== undefined) checkTensor(name, values, latents);
  }
  checkTensor("W_enc", model.W_enc, dIn * latents);
  checkTensor("b_enc", model.b_enc, latents);
  const { dOut = dIn, W_skip } = model;
  if (model.dOut !== undefined) {
    checkCount("dOut", dOut);
    if (model.applyBDecToInput)
      throw new SaeLensError("applyBDecToInput", "is true, expected false in a transcoder");
    if (model.layerNorm === true)
      throw new SaeLensError(
        "layerNorm",
        "is true, expected false in a transcoder: SAELens would not undo it",
      );
  }
  if (W_skip !== undefined) {
    if (model.dOut === undefined)
      throw new SaeLensError("W_skip", "is for a transcoder, whose dOut is missing");
    checkTensor("W_skip", W_skip, dOut * dIn);
  }
  checkTensor("W_dec", model.W_dec, latents * dOut);
  checkTensor("b_dec", model.b_dec, dOut);
}

function checkCount(property: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new SaeLensError(property, `is ${value}, expected a whole number of at least 1`);
  }
}

function checkTensor(property: string, values: Float32Array, length: number): void {
  if (values.length !== length) {
    throw new SaeLensError(property, `has ${values.length} elements, expected ${length}`);
  }
  const index = values.findIndex((value) => !Number.isFinite(value));
  if (index !== -1) {
    throw new SaeLensError(property, `holds ${values[index]} at element ${index}, expected a finite number`);
  }
}
