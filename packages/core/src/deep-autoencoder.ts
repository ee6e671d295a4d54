/**
 * A trained deep autoencoder that works on raw activations. Its rows are transformed at run time: x′ = s·(x − μ), or
 * LayerNorm.
 */
import type { DeepArena } from "./arena-deep.ts";
import { bottleneckOf } from "./deep-options.ts";
import { OptionError } from "./errors.ts";
import { layerNormRows, undoLayerNorm } from "./layer-norm.ts";
import { type RowTransform, transformRows } from "./normalisation.ts";
import { chainProduct } from "./reference/chains.ts";
import { decodeSafetensors } from "./safetensors.ts";

/** One fully connected layer. */
export interface DeepLayer {
  readonly inputs: number;
  readonly outputs: number;
  /** [outputs, inputs]. */
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/** The parts of a {@link DeepAutoencoder}. */
export interface DeepAutoencoderParts {
  readonly layers: readonly DeepLayer[];
  readonly outputActivation: "relu" | "linear";
  readonly transform: RowTransform;
}

/** A finished deep autoencoder: raw activations in, the bottleneck's activations and reconstructions out. Nothing of it changes. */
export class DeepAutoencoder {
  readonly parts: DeepAutoencoderParts;

  constructor(parts: DeepAutoencoderParts) {
    this.parts = parts;
  }

  /** Dimension of an activation. */
  get dIn(): number {
    return this.parts.layers[0].inputs;
  }

  /** Widths of all layers, the input's first. */
  get widths(): number[] {
    return [this.dIn, ...this.parts.layers.map((layer) => layer.outputs)];
  }

  /**
   * Loads a model folder's contents: `cfg.json` with architecture "autoencoder", and its weights.
   *
   * @throws OptionError if a key or tensor is missing or malformed
   */
  static fromFiles(cfg: unknown, weights: Uint8Array): DeepAutoencoder {
    const wrong = (what: string): OptionError =>
      new OptionError("model", `not a model that can be loaded: ${what}`);
    const config = cfg as {
      architecture?: unknown;
      widths?: unknown;
      output_activation?: unknown;
      scale?: unknown;
      normalize_activations?: unknown;
    };
    if (config?.architecture !== "autoencoder")
      throw wrong(`architecture is ${String(config?.architecture)}`);
    const { widths, output_activation, scale, normalize_activations: normalization = "none" } = config;
    if (
      !Array.isArray(widths) ||
      !widths.every((width) => Number.isInteger(width) && width > 0) ||
      widths.length < 2 ||
      widths[0] !== widths.at(-1)
    ) {
      throw wrong("cfg.json has no list of widths that ends as it begins");
    }
    if (output_activation !== "relu" && output_activation !== "linear")
      throw wrong("cfg.json has no output_activation");
    if (scale !== undefined && !(typeof scale === "number" && Number.isFinite(scale) && scale > 0))
      throw wrong(`scale must be a number above 0, got ${JSON.stringify(scale)}`);
    if (normalization !== "none" && normalization !== "layer_norm")
      throw wrong(`normalize_activations must be none or layer_norm, got ${JSON.stringify(normalization)}`);
    const { tensors } = decodeSafetensors(weights);
    const tensor = (name: string, length: number): Float32Array => {
      const data = tensors.get(name)?.data;
      if (!(data instanceof Float32Array) || data.length !== length)
        throw wrong(`no float32 tensor ${name} of ${length} elements`);
      return data;
    };
    const layers = widths.slice(1).map((outputs: number, layer): DeepLayer => {
      const inputs = widths[layer] as number;
      return {
        inputs,
        outputs,
        weight: tensor(`layers.${layer}.weight`, outputs * inputs),
        bias: tensor(`layers.${layer}.bias`, outputs),
      };
    });
    const mean = tensors.has("mean") ? tensor("mean", widths[0] as number) : undefined;
    const layerNorm = normalization === "layer_norm" ? { layerNorm: [widths[0] as number] } : {};
    const transform = { mean, scale: scale ?? 1, ...layerNorm };
    return new DeepAutoencoder({ layers, outputActivation: output_activation, transform });
  }

  /** Activations of the narrowest hidden layer [rows, bottleneck] for raw activations x [rows, dIn]. */
  encode(x: Float32Array): Float32Array {
    return this.#forward(x, bottleneckOf(this.widths));
  }

  /** Reconstruction [rows, dIn] of raw activations. A NaN in a row spreads over that row's reconstruction. */
  reconstruct(x: Float32Array): Float32Array {
    const { mean, scale, layerNorm } = this.parts.transform;
    const y = this.#forward(x, this.parts.layers.length);
    for (let i = 0; i < y.length; i++) y[i] = y[i] / scale + (mean === undefined ? 0 : mean[i % this.dIn]);
    if (layerNorm !== undefined) undoLayerNorm(y, layerNorm, layerNormRows(x, layerNorm));
    return y;
  }

  #forward(x: Float32Array, depth: number): Float32Array {
    if (x.length % this.dIn !== 0) {
      throw new OptionError("x", `expected whole rows of ${this.dIn} values, got ${x.length} values`);
    }
    const rows = x.length / this.dIn;
    const last = this.parts.layers.length - 1;
    let input = transformRows(x, this.dIn, this.parts.transform);
    this.parts.layers.slice(0, depth).forEach(({ inputs, outputs, weight, bias }, index) => {
      const z = new Float32Array(rows * outputs);
      chainProduct(z, 0, bias, input, 0, rows, weight, outputs, inputs, Math.fround);
      if (index < last || this.parts.outputActivation === "relu")
        for (let i = 0; i < z.length; i++) z[i] = Math.max(0, z[i]);
      input = z;
    });
    return input;
  }
}

/** The deep model that a run has trained, with the run's row transform. */
export function deepModel(arena: DeepArena, transform: RowTransform): DeepAutoencoder {
  const layers = arena.layers.map(({ inputs, outputs, weight, bias }) => ({
    inputs,
    outputs,
    weight: Float32Array.from(weight.value),
    bias: Float32Array.from(bias.value),
  }));
  return new DeepAutoencoder({ layers, outputActivation: arena.model.outputActivation, transform });
}
