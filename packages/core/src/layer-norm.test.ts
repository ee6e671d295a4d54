/** LayerNorm of rows: what it is, on rows that are hard on it, and in models that are loaded or trained with it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bits, normals, sparseModel } from "../test/support.ts";
import { DeepAutoencoder } from "./deep-autoencoder.ts";
import { OptionError } from "./errors.ts";
import { LAYER_NORM_EPSILON, layerNormRows, undoLayerNorm } from "./layer-norm.ts";
import { LocalTrainer } from "./local-trainer.ts";
import { IDENTITY_TRANSFORM, transformMean, transformRows } from "./normalisation.ts";
import { encodeSafetensors } from "./safetensors.ts";
import { SparseAutoencoder } from "./sparse-autoencoder.ts";

/** The definition, in float64. */
function normalised(x: ArrayLike<number>): number[] {
  const values = Array.from(x);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (values.length - 1));
  return values.map((value) => (value - mean) / (deviation + LAYER_NORM_EPSILON));
}

const finite = fc.float({ noNaN: true, noDefaultInfinity: true });

describe("layerNormRows", () => {
  it("is its definition, of each vector of a row by itself", () => {
    const rows = fc
      .record({
        widths: fc.array(fc.integer({ min: 2, max: 11 }), { minLength: 1, maxLength: 3 }),
        count: fc.nat(4),
      })
      .chain(({ widths, count }) => {
        const length = count * widths.reduce((sum, width) => sum + width, 0);
        const values = fc.array(fc.float({ min: -100, max: 100, noNaN: true }), {
          minLength: length,
          maxLength: length,
        });
        return fc.record({ widths: fc.constant(widths), values });
      });
    fc.assert(
      fc.property(rows, ({ widths, values }) => {
        const x = Float32Array.from(values);
        const found = layerNormRows(x, widths);
        let at = 0;
        for (let vector = 0; at < x.length; vector++) {
          const width = widths[vector % widths.length]!;
          const expected = normalised(x.subarray(at, at + width));
          expected.forEach((value, i) =>
            expect(Math.abs(found.values[at + i]! - value)).toBeLessThan(1e-6 * width),
          );
          at += width;
        }
        const back = Float32Array.from(found.values);
        undoLayerNorm(back, widths, found);
        // Without the epsilon, as SAELens: off by at most √width of it, and rounding.
        x.forEach((value, i) => expect(Math.abs(back[i]! - value)).toBeLessThan(2e-4));
      }),
    );
  });

  it("gives finite numbers for any finite rows, and zeros for rows of equal ones", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 2, maxLength: 20 }), (values) => {
        const { length } = values;
        const found = layerNormRows(values, [length]);
        expect(found.values.every((value) => Math.abs(value) <= Math.sqrt(length))).toBe(true);
        const equal = layerNormRows(Array<number>(length).fill(values[0]!), [length]);
        expect(equal.values.every((value) => value === 0)).toBe(true);
        expect(equal.deviation).toEqual(Float32Array.of(0));
      }),
    );
  });
});

describe("a transform with LayerNorm", () => {
  const transform = { ...IDENTITY_TRANSFORM, layerNorm: [2, 3] };

  it("normalises rows, but takes a mean for that of normalised rows", () => {
    const rows = normals(20, 1);
    expect(bits(transformRows(rows, 5, transform))).toBe(bits(layerNormRows(rows, [2, 3]).values));
    const mean = normals(5, 2);
    expect(transformMean(mean, transform)).toEqual(mean);
    expect(transformMean(mean, { mean, scale: 2 })).toEqual(new Float32Array(5));
  });
});

const D = 6;
const F = 20;
const tensors = {
  W_enc: { shape: [D, F], data: normals(D * F, 1) },
  b_enc: { shape: [F], data: normals(F, 2, 0.3) },
  W_dec: { shape: [F, D], data: normals(F * D, 3) },
  b_dec: { shape: [D], data: normals(D, 4) },
};
const config = { architecture: "topk", d_in: D, d_sae: F, k: 4, apply_b_dec_to_input: true };

describe("a model with normalize_activations layer_norm", () => {
  const weights = encodeSafetensors(tensors);
  const plain = SparseAutoencoder.fromFiles(config, weights);
  const model = SparseAutoencoder.fromFiles({ ...config, normalize_activations: "layer_norm" }, weights);
  const x = normals(8 * D, 7, 4).map((value) => value + 3);

  it("encodes what LayerNorm makes of raw rows, and rebuilds those", () => {
    const found = layerNormRows(x, [D]);
    expect(bits(model.encodeDense(x))).toBe(bits(plain.encodeDense(found.values)));
    const expected = plain.reconstruct(found.values);
    undoLayerNorm(expected, [D], found);
    expect(bits(model.reconstruct(x))).toBe(bits(expected));
    expect(bits(model.decode(model.encode(x)))).toBe(bits(expected));
  });

  it("finds the same features whatever a row's mean and scale", () => {
    const features = model.encodeDense(x);
    const moved = model.encodeDense(x.map((value) => 100 * value - 50));
    moved.forEach((value, i) => expect(Math.abs(value - features[i]!)).toBeLessThan(1e-3));
  });

  it("cannot decode features without their rows' moments", () => {
    const { moments: _, ...features } = model.encode(x);
    expect(() => model.decode(features)).toThrow("must have the moments that encode found");
  });

  it("has features of its biases alone for a row of equal numbers", () => {
    const { values } = model.encode(new Float32Array(D).fill(2.5));
    expect(values.length).toBeGreaterThan(0);
    expect(values.every(Number.isFinite)).toBe(true);
  });

  it("normalises each column of a crosscoder by itself", () => {
    const columns = [
      { name: "a", d_in: 4 },
      { name: "b", d_in: 2 },
    ];
    const crosscoder = { ...config, architecture: "crosscoder", activation: "topk", columns };
    const both = SparseAutoencoder.fromFiles({ ...crosscoder, normalize_activations: "layer_norm" }, weights);
    expect(both.normalisedWidths).toEqual([4, 2]);
    expect(bits(both.encodeDense(x))).toBe(bits(plain.encodeDense(layerNormRows(x, [4, 2]).values)));
  });

  it("is refused of a transcoder, whose target it would not know", () => {
    const transcoder = {
      ...config,
      architecture: "topk_transcoder",
      d_out: D,
      normalize_activations: "layer_norm",
    };
    expect(() => SparseAutoencoder.fromFiles(transcoder, weights)).toThrow(
      "normalize_activations of a transcoder must be none, got layer_norm",
    );
  });

  it("may be a deep autoencoder", () => {
    const layers = encodeSafetensors({
      "layers.0.weight": { shape: [3, D], data: normals(3 * D, 5) },
      "layers.0.bias": { shape: [3], data: normals(3, 6) },
      "layers.1.weight": { shape: [D, 3], data: normals(3 * D, 8) },
      "layers.1.bias": { shape: [D], data: normals(D, 9) },
    });
    const cfg = { architecture: "autoencoder", widths: [D, 3, D], output_activation: "linear" };
    const found = layerNormRows(x, [D]);
    const expected = DeepAutoencoder.fromFiles(cfg, layers).reconstruct(found.values);
    undoLayerNorm(expected, [D], found);
    const deep = DeepAutoencoder.fromFiles({ ...cfg, normalize_activations: "layer_norm" }, layers);
    expect(bits(deep.reconstruct(x))).toBe(bits(expected));
    const other = { ...cfg, normalize_activations: "constant_norm_rescale" };
    expect(() => DeepAutoencoder.fromFiles(other, layers)).toThrow("must be none or layer_norm");
  });
});

describe("LocalTrainer with layerNorm", () => {
  const rowsOf = (step: number): Float32Array =>
    normals(32 * D, step, 3).map((value, i) => value + (i % D) + step);
  const options = {
    model: sparseModel({ dIn: D, latents: F, k: 3 }),
    batchRows: 32,
    totalSteps: 20,
    learningRate: 0.01,
    seed: 3,
  };

  it("trains on raw rows as without on normalised ones, and gives a model for raw rows", () => {
    const raw = new LocalTrainer({ ...options, layerNorm: true, initialRows: rowsOf(99) });
    const normal = new LocalTrainer({ ...options, initialRows: layerNormRows(rowsOf(99), [D]).values });
    for (let step = 0; step < 20; step++) {
      const report = raw.step(rowsOf(step));
      expect(report).toEqual(normal.step(layerNormRows(rowsOf(step), [D]).values));
    }
    const [model, other] = [raw.model(), normal.model()] as SparseAutoencoder[];
    const x = rowsOf(50);
    expect(bits(model!.encodeDense(x))).toBe(bits(other!.encodeDense(layerNormRows(x, [D]).values)));
    const error = model!.reconstruct(x).reduce((sum, value, i) => sum + (value - x[i]!) ** 2, 0);
    const about = x.reduce((sum, value) => sum + value ** 2, 0);
    expect(error / about).toBeLessThan(0.5);
  });

  it("refuses vectors of one number", () => {
    const narrow = { ...options, model: sparseModel({ dIn: 1, latents: 4, k: 1 }), layerNorm: true };
    expect(() => new LocalTrainer(narrow)).toThrow(OptionError);
  });
});
