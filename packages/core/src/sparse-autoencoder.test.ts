import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bits, normals } from "../test/support.ts";
import { OptionError } from "./errors.ts";
import { encodeSafetensors, type SafetensorsInput } from "./safetensors.ts";
import { type Activation, SparseAutoencoder } from "./sparse-autoencoder.ts";
import { transpose } from "./transpose.ts";

const D = 6;
const F = 20;

const config = { architecture: "topk", d_in: D, d_sae: F, k: 4, apply_b_dec_to_input: true };
const tensors: Record<string, SafetensorsInput> = {
  W_enc: { shape: [D, F], data: normals(D * F, 1) },
  b_enc: { shape: [F], data: normals(F, 2, 0.3) },
  W_dec: { shape: [F, D], data: normals(F * D, 3) },
  b_dec: { shape: [D], data: normals(D, 4) },
};
const load = (cfg: unknown = config, weights: Record<string, SafetensorsInput> = tensors) =>
  SparseAutoencoder.fromFiles(cfg, encodeSafetensors(weights));

const models = fc.record({
  activation: fc.oneof(
    fc.constant<Activation>({ kind: "relu" }),
    fc.integer({ min: 1, max: 25 }).map((k): Activation => ({ kind: "topk", k })),
  ),
  applyBDecToInput: fc.boolean(),
  rows: fc.integer({ min: 0, max: 9 }),
  seed: fc.nat(1e6),
});
type Case = typeof models extends fc.Arbitrary<infer T> ? T : never;

function modelOf({ activation, applyBDecToInput, seed }: Case): SparseAutoencoder {
  return new SparseAutoencoder({
    dIn: D,
    latents: F,
    activation,
    applyBDecToInput,
    encoder: normals(F * D, seed),
    b_enc: normals(F, seed + 1, 0.3),
    W_dec: normals(F * D, seed + 2),
    b_dec: normals(D, seed + 3),
  });
}

describe("SparseAutoencoder.fromFiles", () => {
  it("reads the folder format of SAELens, with W_enc as [dIn, latents]", () => {
    const model = load();
    expect([model.dIn, model.latents]).toEqual([D, F]);
    expect(model.parts.activation).toEqual({ kind: "topk", k: 4 });
    expect(bits(model.W_enc)).toBe(bits(tensors["W_enc"]!.data as Float32Array));
    expect(model.parts.encoder[3 * D + 2]).toBe((tensors["W_enc"]!.data as Float32Array)[2 * F + 3]);
    expect(load({ ...config, architecture: "standard" }).parts.activation).toEqual({ kind: "relu" });
  });

  it("reads weights of half precision, widened exactly", () => {
    const halves = Float16Array.from(tensors["b_dec"]!.data as Float32Array);
    const uppers = Uint16Array.from(
      new Uint32Array((tensors["b_enc"]!.data as Float32Array).buffer),
      (one) => one >>> 16,
    );
    const { b_dec, b_enc } = load(config, {
      ...tensors,
      b_dec: { shape: [D], data: new Uint16Array(halves.buffer), dtype: "F16" },
      b_enc: { shape: [F], data: uppers, dtype: "BF16" },
    }).parts;
    expect(b_dec).toEqual(Float32Array.from(halves));
    expect(new Uint32Array(b_enc.buffer)).toEqual(Uint32Array.from(uppers, (upper) => upper * 65536));
  });

  it("subtracts b_dec unless cfg.json says otherwise", () => {
    const { apply_b_dec_to_input: _left, ...silent } = config;
    expect(load(silent).parts.applyBDecToInput).toBe(true);
    expect(load({ ...config, apply_b_dec_to_input: false }).parts.applyBDecToInput).toBe(false);
  });

  const { b_dec: _without, ...lacking } = tensors;
  it.each<[string, unknown, Record<string, SafetensorsInput>]>([
    ["cfg.json is not an object", null, tensors],
    ["cfg.json is not an object", "topk", tensors],
    [
      "architecture must be standard or topk or jumprelu or gated, got matching_pursuit",
      { ...config, architecture: "matching_pursuit" },
      tensors,
    ],
    ["architecture must be standard or topk or jumprelu or gated, got undefined", {}, tensors],
    ["cfg.json has no whole number d_in", { ...config, d_in: "6" }, tensors],
    ["cfg.json has no whole number d_sae", { ...config, d_sae: 0 }, tensors],
    ["cfg.json has no whole number k", { ...config, k: undefined }, tensors],
    ["no tensor b_dec", config, lacking],
    [
      "tensor b_dec is F64; F32, F16 and BF16 can be read",
      config,
      { ...tensors, b_dec: { shape: [D], data: new Float64Array(D) } },
    ],
    [
      `normalize_activations is "constant_norm_rescale", by which each row is rescaled by its own norm: no weights can take that over`,
      { ...config, normalize_activations: "constant_norm_rescale" },
      tensors,
    ],
    [`tensor b_enc has ${D} elements, expected ${F}`, config, { ...tensors, b_enc: tensors["b_dec"]! }],
  ])("refuses a model: %s", (what, cfg, weights) => {
    expect(() => load(cfg, weights)).toThrow(
      new OptionError("model", `not a model that can be loaded: ${what}`),
    );
  });
});

describe("encode", () => {
  it("finds each row's active latents in ascending order, with values above 0", () => {
    fc.assert(
      fc.property(models, (one) => {
        const { rows, activation } = one;
        const features = modelOf(one).encode(normals(rows * D, one.seed + 4));
        expect([features.rows, features.offsets.length, features.offsets[0]]).toEqual([rows, rows + 1, 0]);
        expect(features.offsets[rows]).toBe(features.latents.length);
        expect(features.values.length).toBe(features.latents.length);
        expect(features.values.every((value) => value > 0)).toBe(true);
        for (let row = 0; row < rows; row++) {
          const found = Array.from(
            features.latents.subarray(features.offsets[row], features.offsets[row + 1]),
          );
          expect(found).toEqual([...new Set(found)].sort((a, b) => a - b));
          expect(found.length).toBeLessThanOrEqual(activation.kind === "topk" ? activation.k : F);
        }
      }),
    );
  });

  it("is not decoded where it names a latent that the model has not", () => {
    const model = modelOf(fc.sample(models, { numRuns: 1, seed: 1 })[0]!);
    const features = {
      rows: 2,
      offsets: Uint32Array.of(0, 0, 1),
      latents: Uint32Array.of(F),
      values: Float32Array.of(1),
    };
    expect(() => model.decode(features)).toThrow(
      new OptionError("features", `row 1 of the features has latent ${F}, the model has ${F}`),
    );
  });

  it("is ReLU of W_enc·(x − b_dec) + b_enc, of its k largest where there is a k", () => {
    fc.assert(
      fc.property(models, (one) => {
        const { applyBDecToInput, activation, seed, rows } = one;
        const model = modelOf(one);
        const { encoder, b_enc, b_dec } = model.parts;
        const x = normals(rows * D, seed + 4);
        const dense = model.encodeDense(x);
        for (let row = 0; row < rows; row++) {
          const z = Array.from({ length: F }, (_, i) => {
            let sum = b_enc[i];
            for (let j = 0; j < D; j++) {
              sum += encoder[i * D + j] * (x[row * D + j] - (applyBDecToInput ? b_dec[j] : 0));
            }
            return sum;
          });
          const least =
            activation.kind === "topk" ? (z.toSorted((a, b) => b - a)[activation.k - 1] ?? -99) : -99;
          z.forEach((value, i) => {
            if (Math.abs(value - least) < 1e-4 && activation.kind === "topk" && value !== least) return;
            expect(dense[row * F + i]).toBeCloseTo(value >= least ? Math.max(0, value) : 0, 4);
          });
        }
      }),
    );
  });

  it("has the same features, sparse or dense, of rows together or one by one", () => {
    fc.assert(
      fc.property(models, (one) => {
        const model = modelOf(one);
        const x = normals(one.rows * D, one.seed + 4);
        const { offsets, latents, values } = model.encode(x);
        const dense = new Float32Array(one.rows * F);
        for (let row = 0; row < one.rows; row++) {
          for (let at = offsets[row]; at < offsets[row + 1]; at++) dense[row * F + latents[at]] = values[at];
        }
        expect(bits(model.encodeDense(x))).toBe(bits(dense));
        const single = Array.from({ length: one.rows }, (_, row) => [
          ...model.encodeDense(x.slice(row * D, (row + 1) * D)),
        ]);
        expect(bits(Float32Array.from(single.flat()))).toBe(bits(dense));
      }),
    );
  });

  it("refuses rows that are not whole, and rows that are not numbers, by their place", () => {
    expect(() => load().encode(new Float32Array(7))).toThrow(
      new OptionError("x", "expected whole rows of 6 values, got 7 values"),
    );
    const x = normals(3 * D, 1);
    x[2 * D] = Number.NaN;
    for (const architecture of ["topk", "standard"]) {
      expect(() => load({ ...config, architecture }).encode(x)).toThrow(
        new OptionError("x", "row 2 of x does not give numbers: it must be finite"),
      );
    }
  });
});

describe("decode", () => {
  it("adds active decoder rows to b_dec, and reconstruct is decode of encode", () => {
    fc.assert(
      fc.property(models, (one) => {
        const model = modelOf(one);
        const { W_dec, b_dec } = model.parts;
        const x = normals(one.rows * D, one.seed + 4);
        const dense = model.encodeDense(x);
        const expected = Float32Array.from({ length: x.length }, (_, at) => {
          const [row, j] = [Math.floor(at / D), at % D];
          let sum = b_dec[j];
          for (let i = 0; i < F; i++) sum = Math.fround(sum + dense[row * F + i] * W_dec[i * D + j]);
          return sum;
        });
        const decoded = model.decode(model.encode(x));
        expect(bits(decoded)).toBe(bits(expected));
        expect(bits(model.reconstruct(x))).toBe(bits(decoded));
      }),
    );
  });

  it("gives back rows that the dictionary can express", () => {
    // Orthogonal pairs ±e_j: every row is a sum of at most D of them.
    const W = Float32Array.from({ length: 2 * D * D }, (_, at) => {
      const [i, j] = [Math.floor(at / D), at % D];
      return i % D === j ? (i < D ? 1 : -1) : 0;
    });
    const model = new SparseAutoencoder({
      dIn: D,
      latents: 2 * D,
      activation: { kind: "topk", k: D },
      applyBDecToInput: true,
      encoder: W,
      b_enc: new Float32Array(2 * D),
      W_dec: W,
      b_dec: Float32Array.of(1, 2, 3, 4, 5, 6),
    });
    const x = Float32Array.from({ length: 5 * D }, (_, i) => ((i * 7) % 11) - 5);
    expect(model.reconstruct(x)).toEqual(x);
  });
});

describe("transpose", () => {
  it("swaps rows and columns, and twice is nothing", () => {
    expect([...transpose(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3)]).toEqual([1, 4, 2, 5, 3, 6]);
    const matrix = normals(35, 1);
    expect(transpose(transpose(matrix, 5, 7), 7, 5)).toEqual(matrix);
    const out = new Float32Array(35);
    expect(transpose(matrix, 5, 7, out)).toBe(out);
    expect(out).toEqual(transpose(matrix, 5, 7));
  });
});
