/**
 * A trained sparse autoencoder that works on raw activations: encode to sparse features, decode, load. Runs in
 * Node and browsers. The folder format is SAELens's: `cfg.json` and `sae_weights.safetensors`.
 */
import { magnitude } from "./architectures/gated.ts";
import { OptionError } from "./errors.ts";
import { layerNormRows, type RowMoments, undoLayerNorm } from "./layer-norm.ts";
import { formOf, type ModelColumn } from "./model-form.ts";
import { chainProduct } from "./reference/chains.ts";
import { selectLargest, sortByLatent } from "./reference/select.ts";
import { decodeSafetensors, float32Elements } from "./safetensors.ts";

/**
 * How pre-activations become features: all positive ones, the k largest that are positive, those above a threshold, or
 * another magnitude where they are positive.
 */
export type Activation =
  | { readonly kind: "relu" }
  | { readonly kind: "topk"; readonly k: number }
  /** θ of each latent [latents], at least 0. */
  | { readonly kind: "jumprelu"; readonly threshold: Float32Array }
  /** f = ReLU(exp(r_mag)·(z − b_enc) + b_mag) where z > 0; both [latents]. b_enc is the gate's bias. */
  | { readonly kind: "gated"; readonly r_mag: Float32Array; readonly b_mag: Float32Array };

/** Active latents of some rows. Row r has entries offsets[r] … offsets[r + 1], in ascending latent order. */
export interface SparseFeatures {
  readonly rows: number;
  /** [rows + 1]. */
  readonly offsets: Uint32Array;
  readonly latents: Uint32Array;
  readonly values: Float32Array;
  /** Of a model with LayerNorm: what it took from the rows, which decoding gives back. */
  readonly moments?: RowMoments;
}

/** The parts of a {@link SparseAutoencoder}. */
export interface SparseAutoencoderParts {
  readonly dIn: number;
  readonly latents: number;
  readonly activation: Activation;
  /** Whether the encoder sees x − b_dec. */
  readonly applyBDecToInput: boolean;
  /** Encoder, latent-major [latents, dIn]: the transpose of the field's `W_enc [dIn, latents]`. */
  readonly encoder: Float32Array;
  readonly b_enc: Float32Array;
  /** [latents, dIn], of a transcoder [latents, dOut]. */
  readonly W_dec: Float32Array;
  readonly b_dec: Float32Array;
  /** Of a transcoder: dimension of the vectors that it rebuilds from others. */
  readonly dOut?: number;
  /** Of a skip transcoder: a linear map [dOut, dIn] of its input, which is added to the reconstruction. */
  readonly W_skip?: Float32Array;
  /** Of a crosscoder: the vectors that make a row, side by side; dIn is the sum of theirs. */
  readonly columns?: readonly ModelColumn[];
  /** Whether each row (of a crosscoder each of its vectors) is normalised by LayerNorm before anything else. @default false */
  readonly layerNorm?: boolean;
}

/** The transpose of a row-major matrix [rows, columns]. */
export function transpose(
  matrix: Float32Array,
  rows: number,
  columns: number,
  out: Float32Array = new Float32Array(matrix.length),
): Float32Array {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++)
      out[column * rows + row] = matrix[row * columns + column];
  }
  return out;
}

/** The architectures of a `cfg.json` that can be read. */
const KNOWN = ["standard", "topk", "jumprelu", "gated"] as const;

function isKnown(architecture: unknown): architecture is (typeof KNOWN)[number] {
  return (KNOWN as readonly unknown[]).includes(architecture);
}

/** A finished sparse autoencoder, crosscoder or transcoder: raw activations in, features and reconstructions out. Nothing of it changes. */
export class SparseAutoencoder {
  readonly parts: SparseAutoencoderParts;

  constructor(parts: SparseAutoencoderParts) {
    this.parts = parts;
  }

  /** Dimension of an activation. */
  get dIn(): number {
    return this.parts.dIn;
  }

  /** Dimension of what it rebuilds: that of an activation, unless it is a transcoder. */
  get dOut(): number {
    return this.parts.dOut ?? this.parts.dIn;
  }

  /** Number of dictionary units. */
  get latents(): number {
    return this.parts.latents;
  }

  /** Widths of the vectors in a row that LayerNorm normalises; undefined: none is. */
  get normalisedWidths(): readonly number[] | undefined {
    if (this.parts.layerNorm !== true) return undefined;
    return this.parts.columns?.map(({ dIn }) => dIn) ?? [this.dIn];
  }

  /** The encoder in the field's layout [dIn, latents]; a copy. */
  get W_enc(): Float32Array {
    return transpose(this.parts.encoder, this.latents, this.dIn);
  }

  /**
   * Loads a model folder's contents.
   *
   * @param cfg the parsed `cfg.json`
   * @param weights the bytes of `sae_weights.safetensors`
   * @throws OptionError if the architecture is not one we know, a tensor is missing or has another shape, or rows
   * would have to be normalised at run time in another way than by LayerNorm
   */
  static fromFiles(cfg: unknown, weights: Uint8Array): SparseAutoencoder {
    const config = cfg as Record<string, unknown>;
    const wrong = (what: string): OptionError =>
      new OptionError("model", `not a model that can be loaded: ${what}`);
    if (typeof cfg !== "object" || cfg === null) throw wrong("cfg.json is not an object");
    const whole = (key: string): number => {
      const value = config[key];
      if (!Number.isInteger(value) || (value as number) < 1)
        throw wrong(`cfg.json has no whole number ${key}`);
      return value as number;
    };
    const { architecture, columns, transcodes, skips } = formOf(config);
    if (!isKnown(architecture))
      throw wrong(`architecture must be ${KNOWN.join(" or ")}, got ${String(architecture)}`);
    // What else would change rows at run time is not done here: refused, or every number would be silently wrong.
    const normalization = config["normalize_activations"] ?? "none";
    const layerNorm = normalization === "layer_norm";
    if (normalization !== "none" && !layerNorm) {
      throw wrong(
        normalization === "constant_norm_rescale"
          ? `normalize_activations is "constant_norm_rescale", by which each row is rescaled by its own norm: no weights can take that over`
          : `normalize_activations is ${JSON.stringify(normalization)}: fold it into the weights, so that it is "none"`,
      );
    }
    if (layerNorm && transcodes)
      throw wrong("normalize_activations of a transcoder must be none, got layer_norm");
    const dIn = whole("d_in");
    const dOut = transcodes ? whole("d_out") : dIn;
    const latents = whole("d_sae");
    const { tensors } = decodeSafetensors(weights);
    const tensor = (name: string, length: number): Float32Array => {
      const found = tensors.get(name);
      const data = found === undefined ? undefined : float32Elements(found);
      if (data === undefined)
        throw wrong(
          found === undefined
            ? `no tensor ${name}`
            : `tensor ${name} is ${found.dtype}; F32, F16 and BF16 can be read`,
        );
      if (data.length !== length)
        throw wrong(`tensor ${name} has ${data.length} elements, expected ${length}`);
      return data;
    };
    const activationOf = {
      standard: (): Activation => ({ kind: "relu" }),
      topk: (): Activation => ({ kind: "topk", k: whole("k") }),
      // Below 0 a threshold lets nothing more through: SAELens takes the ReLU first.
      jumprelu: (): Activation => ({
        kind: "jumprelu",
        threshold: tensor("threshold", latents).map((value) => Math.max(0, value)),
      }),
      gated: (): Activation => ({
        kind: "gated",
        r_mag: tensor("r_mag", latents),
        b_mag: tensor("b_mag", latents),
      }),
    };
    const parts: SparseAutoencoderParts = {
      dIn,
      latents,
      activation: activationOf[architecture](),
      applyBDecToInput: !transcodes && config["apply_b_dec_to_input"] !== false,
      encoder: transpose(tensor("W_enc", dIn * latents), dIn, latents),
      b_enc: tensor(architecture === "gated" ? "b_gate" : "b_enc", latents),
      W_dec: tensor("W_dec", latents * dOut),
      b_dec: tensor("b_dec", dOut),
      ...(transcodes ? { dOut } : {}),
      ...(skips ? { W_skip: tensor("W_skip", dOut * dIn) } : {}),
      ...(columns === undefined ? {} : { columns }),
      ...(layerNorm ? { layerNorm } : {}),
    };
    if (parts.activation.kind === "topk" && parts.activation.k > latents)
      throw wrong(`k is ${parts.activation.k}, more than the ${latents} latents`);
    const rescaled = architecture === "topk" && config["rescale_acts_by_decoder_norm"] === true;
    return new SparseAutoencoder(rescaled ? withUnitDecoder(parts) : parts);
  }

  /**
   * Features of raw activations.
   *
   * @param raw x [rows, dIn]
   * @throws OptionError if x is not whole rows, or a row's pre-activations are not numbers
   */
  encode(raw: Float32Array): SparseFeatures {
    const { dIn, latents, activation, applyBDecToInput, encoder, b_enc, b_dec } = this.parts;
    const rows = this.#rowsOf(raw);
    const widths = this.normalisedWidths;
    const normalised = widths === undefined ? undefined : layerNormRows(raw, widths);
    const x = normalised?.values ?? raw;
    const offsets = new Uint32Array(rows + 1);
    const foundLatents: number[] = [];
    const foundValues: number[] = [];
    const input = new Float32Array(dIn);
    const z = new Float32Array(latents);
    const k = activation.kind === "topk" ? activation.k : 0;
    const threshold = activation.kind === "jumprelu" ? activation.threshold : undefined;
    const gains = activation.kind === "gated" ? activation.r_mag.map(Math.exp) : undefined;
    const topValues = new Float32Array(k);
    const topLatents = new Int32Array(k);
    for (let row = 0; row < rows; row++) {
      for (let j = 0; j < dIn; j++) input[j] = x[row * dIn + j] - (applyBDecToInput ? b_dec[j] : 0);
      chainProduct(z, 0, b_enc, input, 0, 1, encoder, latents, dIn, Math.fround);
      if (z.some(Number.isNaN)) {
        throw new OptionError("x", `row ${row} of x does not give numbers: it must be finite`);
      }
      if (activation.kind === "topk") {
        const count = selectLargest(z, 0, latents, k, topValues, topLatents, 0);
        sortByLatent(topLatents, topValues, 0, count);
        for (let i = 0; i < count; i++) {
          if (topValues[i] <= 0) continue;
          foundLatents.push(topLatents[i]);
          foundValues.push(topValues[i]);
        }
      } else {
        for (let latent = 0; latent < latents; latent++) {
          if (z[latent] <= (threshold?.[latent] ?? 0)) continue;
          const value =
            activation.kind === "gated" && gains !== undefined
              ? magnitude(z[latent], b_enc[latent], gains[latent], activation.b_mag[latent], Math.fround)
              : z[latent];
          if (value <= 0) continue;
          foundLatents.push(latent);
          foundValues.push(value);
        }
      }
      offsets[row + 1] = foundLatents.length;
    }
    return {
      rows,
      offsets,
      latents: Uint32Array.from(foundLatents),
      values: Float32Array.from(foundValues),
      ...(normalised === undefined
        ? {}
        : { moments: { mean: normalised.mean, deviation: normalised.deviation } }),
    };
  }

  /** Features as a dense matrix [rows, latents]; for small numbers of rows. */
  encodeDense(x: Float32Array): Float32Array {
    const features = this.encode(x);
    const dense = new Float32Array(features.rows * this.latents);
    for (let row = 0; row < features.rows; row++) {
      for (let entry = features.offsets[row]; entry < features.offsets[row + 1]; entry++) {
        dense[row * this.latents + features.latents[entry]] = features.values[entry];
      }
    }
    return dense;
  }

  /**
   * Reconstruction [rows, dOut] of raw activations from features: b_dec + Σ f_i·W_dec,i, without what skips them. With
   * LayerNorm that times σ plus m of each row, which the features bring along.
   *
   * @throws OptionError if the features have a latent that the model has not, or are without moments and the model has
   * LayerNorm
   */
  decode(features: SparseFeatures): Float32Array {
    const { W_dec, b_dec, latents } = this.parts;
    const { dOut } = this;
    const x = new Float32Array(features.rows * dOut);
    for (let row = 0; row < features.rows; row++) {
      x.set(b_dec, row * dOut);
      for (let entry = features.offsets[row]; entry < features.offsets[row + 1]; entry++) {
        const latent = features.latents[entry];
        if (latent >= latents)
          throw new OptionError(
            "features",
            `row ${row} of the features has latent ${latent}, the model has ${latents}`,
          );
        const from = latent * dOut;
        for (let j = 0; j < dOut; j++) x[row * dOut + j] += features.values[entry] * W_dec[from + j];
      }
    }
    const widths = this.normalisedWidths;
    if (widths !== undefined) {
      if (features.moments === undefined)
        throw new OptionError(
          "features",
          "features of a model with LayerNorm must have the moments that encode found",
        );
      undoLayerNorm(x, widths, features.moments);
    }
    return x;
  }

  /** decode(encode(x)), and of a skip transcoder W_skip·x. */
  reconstruct(x: Float32Array): Float32Array {
    const y = this.decode(this.encode(x));
    const { W_skip } = this.parts;
    if (W_skip === undefined) return y;
    const { dIn, dOut } = this;
    const none = new Float32Array(dOut);
    const skipped = new Float32Array(y.length);
    chainProduct(skipped, 0, none, x, 0, x.length / dIn, W_skip, dOut, dIn, Math.fround);
    return y.map((value, i) => value + skipped[i]);
  }

  #rowsOf(x: Float32Array): number {
    if (x.length % this.dIn !== 0) {
      throw new OptionError("x", `expected whole rows of ${this.dIn} values, got ${x.length} values`);
    }
    return x.length / this.dIn;
  }
}

/**
 * The same model with decoder rows of norm 1. Features take over the norms: SAELens's `rescale_acts_by_decoder_norm`
 * multiplies pre-activations by them before it selects, and divides by them when it decodes.
 */
function withUnitDecoder(parts: SparseAutoencoderParts): SparseAutoencoderParts {
  const { dIn, latents, dOut = dIn } = parts;
  const encoder = Float32Array.from(parts.encoder);
  const b_enc = Float32Array.from(parts.b_enc);
  const W_dec = Float32Array.from(parts.W_dec);
  for (let latent = 0; latent < latents; latent++) {
    const row = W_dec.subarray(latent * dOut, (latent + 1) * dOut);
    const norm = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    // SAELens divides by zero here and decodes to NaN; a latent without direction adds nothing.
    if (norm === 0) continue;
    b_enc[latent] *= norm;
    for (let j = 0; j < dIn; j++) encoder[latent * dIn + j] *= norm;
    for (let j = 0; j < dOut; j++) row[j] /= norm;
  }
  return { ...parts, encoder, b_enc, W_dec };
}
