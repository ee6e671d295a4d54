/** Inputs from which numbers would come out wrong without a word: refused, or worked off as they are meant. */
import { describe, expect, it } from "vitest";
import { encodeSafetensors, OptionError, rowTransform, SparseAutoencoder } from "../src/index.ts";
import { normals } from "./support.ts";

const D = 5;
const F = 12;
const ROWS = 40;
const W_enc = normals(D * F, 1);
const b_enc = normals(F, 2, 0.3);
// Norms differ by factors, so that they decide who is among the k largest.
const W_dec = normals(F * D, 3).map((value, i) => value * 1.5 ** (Math.floor(i / D) % 5));
const b_dec = normals(D, 4);
const weights = encodeSafetensors({
  W_enc: { shape: [D, F], data: W_enc },
  b_enc: { shape: [F], data: b_enc },
  W_dec: { shape: [F, D], data: W_dec },
  b_dec: { shape: [D], data: b_dec },
});
const config = { architecture: "topk", d_in: D, d_sae: F, k: 3, normalize_activations: "none" };

/** SAELens's TopK encode and decode with `rescale_acts_by_decoder_norm`, in float64 and as it is written there. */
function rescaled(x: Float32Array): { features: number[]; reconstruction: number[] } {
  const norms = Array.from({ length: F }, (_, i) => Math.hypot(...W_dec.subarray(i * D, (i + 1) * D)));
  const features: number[] = [];
  const reconstruction: number[] = [];
  for (let row = 0; row < ROWS; row++) {
    const z = norms.map((norm, i) => {
      let sum = b_enc[i]!;
      for (let j = 0; j < D; j++) sum += (x[row * D + j]! - b_dec[j]!) * W_enc[j * F + i]!;
      return norm * sum;
    });
    const least = z.toSorted((a, b) => b - a)[config.k - 1]!;
    const f = z.map((value) => (value >= least ? Math.max(0, value) : 0));
    features.push(...f);
    for (let j = 0; j < D; j++) {
      let sum = b_dec[j]!;
      for (let i = 0; i < F; i++) sum += (f[i]! / norms[i]!) * W_dec[i * D + j]!;
      reconstruction.push(sum);
    }
  }
  return { features, reconstruction };
}

const largestDifference = (a: Float32Array, b: readonly number[]): number =>
  Math.max(...b.map((value, i) => Math.abs(value - a[i]!)));

describe("a model of another tool", () => {
  it("whose latents are ranked by decoder norm gives that tool's features and reconstruction", () => {
    const x = normals(ROWS * D, 5);
    const model = SparseAutoencoder.fromFiles({ ...config, rescale_acts_by_decoder_norm: true }, weights);
    const { features, reconstruction } = rescaled(x);
    expect(largestDifference(model.encodeDense(x), features)).toBeLessThan(1e-4);
    expect(largestDifference(model.reconstruct(x), reconstruction)).toBeLessThan(1e-4);
    const plain = SparseAutoencoder.fromFiles(config, weights);
    expect(largestDifference(plain.encodeDense(x), features)).toBeGreaterThan(0.1);
  });

  it.each(["expected_average_only_in", "constant_norm_rescale"])(
    "that normalises rows at run time by %s is refused",
    (kind) => {
      const load = () => SparseAutoencoder.fromFiles({ ...config, normalize_activations: kind }, weights);
      expect(load).toThrow(OptionError);
      expect(load).toThrow(`normalize_activations is "${kind}"`);
    },
  );

  it("with more active latents than there are is refused", () => {
    const load = () => SparseAutoencoder.fromFiles({ ...config, k: F + 1 }, weights);
    expect(load).toThrow("k is 13, more than the 12 latents");
  });
});

describe("a corpus whose rows are all equal", () => {
  it("is not scaled up by the rounding of its mean", () => {
    // 1,000 times float32(0.1) in one dimension, added up in float64: the mean is off by some 1e-18.
    const value = Math.fround(0.1);
    const off = 1.5e-18;
    const statistics = {
      dIn: 1,
      mean: [value + off],
      meanNorm: value,
      meanSquareNorm: value * value,
      meanCentredNorm: off,
      totalVariance: off * off,
    };
    expect(rowTransform("sqrt-d", true, statistics).scale).toBe(1);
    expect(rowTransform("unit-mean-square", true, statistics).scale).toBe(1);
    expect(rowTransform("sqrt-d", false, statistics).scale).toBeCloseTo(10, 5);
  });
});
