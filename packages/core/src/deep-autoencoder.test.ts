import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { normals, randomArena, setBatch, setupOf } from "../test/support.ts";
import type { DeepArena } from "./arena-deep.ts";
import { DeepAutoencoder, deepModel } from "./deep-autoencoder.ts";
import { OptionError } from "./errors.ts";
import { IDENTITY_TRANSFORM, type RowTransform, transformRows } from "./normalisation.ts";
import { referenceKernels } from "./reference/index.ts";
import { encodeSafetensors, type SafetensorsInput } from "./safetensors.ts";
import type { DeepModelSetup } from "./setup.ts";
import { createProgram } from "./stages.ts";

const WIDTHS = [6, 9, 3, 9, 6];

const setup = (outputActivation: "relu" | "linear"): DeepModelSetup => ({
  kind: "deep",
  architecture: "autoencoder",
  widths: WIDTHS,
  outputActivation,
});

/** The arena after the forward pass of x, already transformed, in training. */
function forward(outputActivation: "relu" | "linear", seed: number, x: Float32Array): DeepArena {
  const arena = randomArena(setupOf(setup(outputActivation)), seed);
  if (arena.kind !== "deep") throw new Error("not deep");
  setBatch(arena, x, 0);
  const program = createProgram(arena, referenceKernels(), 0);
  program.begin(0);
  const rows = program.next()!;
  for (let block = 0; block < rows.blocks; block++) rows.run(block);
  return arena;
}

/** Adding 0 makes −0 and 0 one: ReLU may give either. */
const numbers = (data: ArrayLike<number>, length: number) => Array.from({ length }, (_, i) => data[i]! + 0);

describe("deepModel", () => {
  const cases = fc.record({
    output: fc.constantFrom("relu" as const, "linear" as const),
    rows: fc.integer({ min: 1, max: 16 }),
    seed: fc.nat(1e6),
  });

  it("computes what the arena's forward pass does, to the bit, at the output and at the bottleneck", () => {
    fc.assert(
      fc.property(cases, ({ output, rows, seed }) => {
        const x = normals(rows * 6, seed + 1);
        const arena = forward(output, seed, x);
        const model = deepModel(arena, IDENTITY_TRANSFORM);
        expect(numbers(model.reconstruct(x), rows * 6)).toEqual(
          numbers(arena.layers[3]!.activation, rows * 6),
        );
        expect(numbers(model.encode(x), rows * 3)).toEqual(numbers(arena.layers[1]!.activation, rows * 3));
      }),
    );
  });

  it("transforms rows on the way in and back on the way out", () => {
    fc.assert(
      fc.property(cases, fc.boolean(), ({ output, rows, seed }, centre) => {
        const transform: RowTransform = { mean: centre ? normals(6, seed + 2, 5) : undefined, scale: 0.25 };
        const raw = normals(rows * 6, seed + 1, 4);
        const arena = forward(output, seed, transformRows(raw, 6, transform));
        const y = deepModel(arena, transform).reconstruct(raw);
        y.forEach((value, i) => {
          const expected = arena.layers[3]!.activation[i]! / 0.25 + (transform.mean?.[i % 6] ?? 0);
          expect(value).toBe(Math.fround(expected));
        });
      }),
    );
  });

  it("keeps its own copy of the parameters", () => {
    const arena = forward("relu", 1, normals(6, 1));
    const model = deepModel(arena, IDENTITY_TRANSFORM);
    const before = model.reconstruct(normals(6, 1));
    arena.layers[0]!.weight.value.fill(0);
    expect(model.reconstruct(normals(6, 1))).toEqual(before);
  });
});

describe("DeepAutoencoder.fromFiles", () => {
  const model = deepModel(forward("linear", 3, normals(12, 1)), { mean: normals(6, 4), scale: 0.5 });
  const config = { architecture: "autoencoder", widths: WIDTHS, output_activation: "linear", scale: 0.5 };
  const tensors: Record<string, SafetensorsInput> = { mean: { shape: [6], data: normals(6, 4) } };
  model.parts.layers.forEach(({ inputs, outputs, weight, bias }, layer) => {
    tensors[`layers.${layer}.weight`] = { shape: [outputs, inputs], data: weight };
    tensors[`layers.${layer}.bias`] = { shape: [outputs], data: bias };
  });
  const load = (cfg: unknown, weights = tensors) =>
    DeepAutoencoder.fromFiles(cfg, encodeSafetensors(weights));

  it("gives the model that was saved", () => {
    const loaded = load(config);
    expect(loaded.widths).toEqual(WIDTHS);
    expect(loaded.parts).toEqual(model.parts);
    const x = normals(30, 9);
    expect(loaded.reconstruct(x)).toEqual(model.reconstruct(x));
    expect(loaded.encode(x)).toEqual(model.encode(x));
  });

  it("takes rows as they are where there is neither scale nor mean", () => {
    const { scale: _scale, ...plain } = config;
    const { mean: _mean, ...weights } = tensors;
    expect(load(plain, weights).parts.transform).toEqual(IDENTITY_TRANSFORM);
  });

  const { "layers.2.bias": _without, ...lacking } = tensors;
  it.each<[string, unknown, Record<string, SafetensorsInput>]>([
    ["architecture is undefined", null, tensors],
    ["architecture is topk", { ...config, architecture: "topk" }, tensors],
    ["cfg.json has no list of widths that ends as it begins", { ...config, widths: "6-3-6" }, tensors],
    ["cfg.json has no list of widths that ends as it begins", { ...config, widths: [6, 2.5, 6] }, tensors],
    ["cfg.json has no list of widths that ends as it begins", { ...config, widths: [6, 3, 5] }, tensors],
    ["cfg.json has no output_activation", { ...config, output_activation: "tanh" }, tensors],
    ["scale must be a number above 0, got 0", { ...config, scale: 0 }, tensors],
    ['scale must be a number above 0, got "2"', { ...config, scale: "2" }, tensors],
    ["no float32 tensor layers.2.bias of 9 elements", config, lacking],
    [
      "no float32 tensor mean of 6 elements",
      config,
      { ...tensors, mean: { shape: [5], data: new Float32Array(5) } },
    ],
  ])("refuses a model: %s", (what, cfg, weights) => {
    expect(() => load(cfg, weights)).toThrow(
      new OptionError("model", `not a model that can be loaded: ${what}`),
    );
  });

  it("refuses rows that are not whole", () => {
    expect(() => model.reconstruct(new Float32Array(8))).toThrow(
      new OptionError("x", "expected whole rows of 6 values, got 8 values"),
    );
  });
});
