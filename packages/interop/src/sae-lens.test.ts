import { decodeSafetensors } from "@sparseloom/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  exportSaeLens,
  SaeLensError,
  type SaeLensMetadata,
  type SaeLensModel,
  saeLensParts,
} from "./sae-lens.ts";

const TOPK: SaeLensModel = {
  architecture: "topk",
  dIn: 2,
  latents: 3,
  k: 2,
  applyBDecToInput: true,
  W_enc: Float32Array.of(1, 2, 3, 4, 5, 6),
  b_enc: Float32Array.of(0.1, 0.2, 0.3),
  W_dec: Float32Array.of(-1, -2, -3, -4, -5, -6),
  b_dec: Float32Array.of(7, 8),
};

const { k: _, ...WITHOUT_K } = TOPK;
const STANDARD: SaeLensModel = { ...WITHOUT_K, architecture: "standard", applyBDecToInput: false };

const JUMPRELU: SaeLensModel = {
  ...STANDARD,
  architecture: "jumprelu",
  threshold: Float32Array.of(0.5, 0, 2),
};

function configOf(model: SaeLensModel, metadata: SaeLensMetadata): unknown {
  return JSON.parse(new TextDecoder().decode(exportSaeLens(model, metadata)["cfg.json"]));
}

describe("cfg.json", () => {
  it("of a TopK model has exactly SAELens's keys", () => {
    expect(configOf(TOPK, { sparseloom: { version: "0.1.0", seed: 3 } })).toEqual({
      architecture: "topk",
      d_in: 2,
      d_sae: 3,
      k: 2,
      rescale_acts_by_decoder_norm: false,
      dtype: "float32",
      device: "cpu",
      apply_b_dec_to_input: true,
      normalize_activations: "none",
      reshape_activations: "none",
      metadata: {
        sae_lens_version: "6.54.12",
        sae_lens_training_version: null,
        training_architecture: "topk",
        sparseloom: { version: "0.1.0", seed: 3 },
      },
    });
  });

  it("of a ReLU model has neither k nor the rescaling switch, which SAELens knows for TopK only", () => {
    const config = configOf(STANDARD, { sparseloom: {} });
    expect(config).toMatchObject({ architecture: "standard", apply_b_dec_to_input: false });
    expect(config).not.toHaveProperty("k");
    expect(config).not.toHaveProperty("rescale_acts_by_decoder_norm");
  });

  it("names LayerNorm, which cannot be folded, and refuses it of a transcoder", () => {
    expect(configOf({ ...TOPK, layerNorm: true }, { sparseloom: {} })).toHaveProperty(
      "normalize_activations",
      "layer_norm",
    );
    const transcoder = { ...STANDARD, dOut: 2, layerNorm: true };
    expect(() => exportSaeLens(transcoder, { sparseloom: {} })).toThrow(
      new SaeLensError("layerNorm", "is true, expected false in a transcoder: SAELens would not undo it"),
    );
  });

  it("carries what is known of the model under SAELens's names", () => {
    const metadata: SaeLensMetadata = {
      trainingArchitecture: "batchtopk",
      modelName: "gpt2-small",
      hookName: "blocks.6.hook_resid_pre",
      hookHeadIndex: 1,
      contextSize: 128,
      prependBos: false,
      l0: 31.5,
      deadLatents: 4,
      sparseloom: { scaling: { kind: "sqrt-d", mean: [0.5, null] } },
    };
    expect(configOf(TOPK, metadata)).toHaveProperty("metadata", {
      sae_lens_version: "6.54.12",
      sae_lens_training_version: null,
      training_architecture: "batchtopk",
      model_name: "gpt2-small",
      hook_name: "blocks.6.hook_resid_pre",
      hook_head_index: 1,
      context_size: 128,
      prepend_bos: false,
      l0: 31.5,
      num_dead_features: 4,
      sparseloom: { scaling: { kind: "sqrt-d", mean: [0.5, null] } },
    });
  });

  it("refuses a number that JSON would turn into null", () => {
    const metadata = { sparseloom: { scaling: { factor: Number.NaN } } };
    expect(() => exportSaeLens(TOPK, metadata)).toThrow(/metadata holds NaN under "factor"/);
  });
});

describe("sae_weights.safetensors", () => {
  it("has exactly the four tensors of the row-vector convention, bit for bit", () => {
    const size = { min: 1, max: 6 };
    const finite = { noNaN: true, noDefaultInfinity: true };
    const model = fc.tuple(fc.integer(size), fc.integer(size)).chain(([dIn, latents]) =>
      fc.float32Array({ minLength: dIn * latents * 4, maxLength: dIn * latents * 4, ...finite }).map(
        (values): SaeLensModel => ({
          architecture: "standard",
          dIn,
          latents,
          applyBDecToInput: true,
          W_enc: values.subarray(0, dIn * latents),
          W_dec: values.subarray(dIn * latents, dIn * latents * 2),
          b_enc: values.subarray(dIn * latents * 2, dIn * latents * 2 + latents),
          b_dec: values.subarray(dIn * latents * 3, dIn * latents * 3 + dIn),
        }),
      ),
    );
    fc.assert(
      fc.property(model, (given) => {
        const files = exportSaeLens(given, { sparseloom: {} });
        const { tensors } = decodeSafetensors(files["sae_weights.safetensors"]);
        const { dIn, latents, W_enc, W_dec, b_enc, b_dec } = given;
        expect(Object.fromEntries(tensors)).toEqual({
          W_enc: { dtype: "F32", shape: [dIn, latents], data: W_enc.slice() },
          W_dec: { dtype: "F32", shape: [latents, dIn], data: W_dec.slice() },
          b_enc: { dtype: "F32", shape: [latents], data: b_enc.slice() },
          b_dec: { dtype: "F32", shape: [dIn], data: b_dec.slice() },
        });
      }),
    );
  });
});

describe("exportSaeLens", () => {
  it("gives the same bytes for the same model", () => {
    expect(exportSaeLens(TOPK, { sparseloom: {} })).toEqual(exportSaeLens({ ...TOPK }, { sparseloom: {} }));
  });

  it("gives the same bytes in pieces, of which the tensors are the model's own memory", () => {
    const files = exportSaeLens(TOPK, { sparseloom: {} });
    const parts = saeLensParts(TOPK, { sparseloom: {} });
    for (const name of ["cfg.json", "sae_weights.safetensors"] as const) {
      expect(Uint8Array.from(parts[name].flatMap((part) => [...part]))).toEqual(files[name]);
    }
    const memories = parts["sae_weights.safetensors"].map(({ buffer }) => buffer);
    for (const tensor of [TOPK.W_enc, TOPK.b_enc, TOPK.W_dec, TOPK.b_dec])
      expect(memories).toContain(tensor.buffer);
  });

  it.each([
    ["dIn", { ...TOPK, dIn: 0 }, "dIn is 0, expected a whole number of at least 1"],
    ["latents", { ...TOPK, latents: 2.5 }, "latents is 2.5"],
    ["k", { ...TOPK, k: 4 }, "k is 4, expected at most 3"],
    ["k", { ...TOPK, k: 0 }, "k is 0"],
    ["k", WITHOUT_K, "k is missing"],
    ["k", { ...TOPK, architecture: "standard" }, "k is 2, but architecture standard has none"],
    ["k", { ...TOPK, architecture: "jumprelu" }, "k is 2, but architecture jumprelu has none"],
    [
      "threshold",
      { ...STANDARD, architecture: "jumprelu" },
      "threshold is missing, expected that of jumprelu",
    ],
    ["threshold", { ...TOPK, threshold: new Float32Array(3) }, "threshold is for jumprelu, not for topk"],
    ["threshold", { ...JUMPRELU, threshold: new Float32Array(2) }, "threshold has 2 elements, expected 3"],
    [
      "threshold",
      { ...JUMPRELU, threshold: Float32Array.of(1, -1, 0) },
      "threshold holds -1, expected at least 0",
    ],
    ["architecture", { ...TOPK, architecture: "batchtopk" }, 'architecture is "batchtopk"'],
    ["W_enc", { ...TOPK, W_enc: new Float32Array(5) }, "W_enc has 5 elements, expected 6"],
    ["b_enc", { ...TOPK, b_enc: new Float32Array(2) }, "b_enc has 2 elements, expected 3"],
    ["W_dec", { ...TOPK, W_dec: new Float32Array(9) }, "W_dec has 9 elements, expected 6"],
    ["b_dec", { ...TOPK, b_dec: Float32Array.of(0, Number.NaN) }, "b_dec holds NaN at element 1"],
    ["b_enc", { ...TOPK, b_enc: Float32Array.of(0, 0, -Infinity) }, "b_enc holds -Infinity at element 2"],
  ] as [string, SaeLensModel, string][])(
    "refuses a wrong %s, saying what would be right",
    (property, model, text) => {
      expect(() => exportSaeLens(model, { sparseloom: {} })).toThrow(
        expect.objectContaining({ name: "SaeLensError", property, message: expect.stringContaining(text) }),
      );
      expect(() => exportSaeLens(model, { sparseloom: {} })).toThrow(SaeLensError);
    },
  );
});
