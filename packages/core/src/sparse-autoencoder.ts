/**
 * A trained sparse autoencoder that works on raw activations: encode to sparse features, decode. Runs in Node and
 * browsers.
 */
import { magnitude } from "./architectures/gated.ts";
import { OptionError } from "./errors.ts";
import { layerNormRows, type RowMoments, undoLayerNorm } from "./layer-norm.ts";
import type { ModelColumn } from "./model-form.ts";
import { chainProduct } from "./reference/chains.ts";
import { selectLargest, sortByLatent } from "./reference/select.ts";
import { readSparseParts } from "./sparse-model-files.ts";
import { transpose } from "./transpose.ts";

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
    return new SparseAutoencoder(readSparseParts(cfg, weights));
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
