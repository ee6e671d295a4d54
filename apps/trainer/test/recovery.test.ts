/** Data with known features: training finds them. SAELens's first toy, 16 orthogonal features in 32 dimensions. */
import { join } from "node:path";
import { meanMaximumCosine } from "@sparseloom/core";
import { describe, expect, it } from "vitest";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { readModel } from "../src/run/model-folder.ts";
import { train } from "../src/train.ts";
import { temporaryFolder, writeSynthetic } from "./support.ts";

const folder = temporaryFolder();
const SHAPE = { dIn: 32, features: 16, seed: 7, orthogonal: true } as const;

async function trainOn(name: string, features: Float32Array, corpus: string, request: TrainRequest) {
  const result = await train(
    [corpus],
    checkTrainRequest({ latents: 16, seed: 1, ...request }),
    join(folder, name),
  );
  const { model } = await readModel(result.runDirectory);
  if (!("W_enc" in model)) throw new Error("expected a sparse autoencoder");
  return { result, cosine: meanMaximumCosine(features, model.parts.W_dec, SHAPE.dIn) };
}

describe("16 orthogonal features", () => {
  it.each([
    ["ReLU latents with L1", { arch: "relu", l1: 0.05 }],
    ["ReLU latents with an annealed power", { arch: "relu", l1: 0.05, decoder: "unit", pAnnealStart: 500 }],
    ["Gated latents", { arch: "gated", l1: 0.5 }],
  ] as const)("active with probability 0.25 are found by 16 %s, none dead", async (name, request) => {
    const corpus = join(folder, `bernoulli ${name}.arrow`);
    const features = await writeSynthetic(corpus, 50_000, {
      ...SHAPE,
      active: { kind: "bernoulli", probability: 0.25 },
      magnitude: { kind: "normal", mean: 1, sd: 0.05 },
    });
    const { result, cosine } = await trainOn(name, features, corpus, {
      ...request,
      normalize: "none",
      center: false,
      initBias: "zero",
      lr: 3e-3,
      batch: 256,
      epochs: 12,
    });
    expect(cosine).toBeGreaterThanOrEqual(0.99);
    expect(result.dead).toBe(0);
  });

  it("exactly four active, of magnitude 0.5 to 1.5, are found by TopK with k = 4, none dead", async () => {
    const corpus = join(folder, "exactly.arrow");
    const features = await writeSynthetic(corpus, 50_000, {
      ...SHAPE,
      active: { kind: "exactly", count: 4 },
      magnitude: { kind: "uniform", low: 0.5, high: 1.5 },
    });
    const { result, cosine } = await trainOn("topk", features, corpus, {
      arch: "topk",
      k: 4,
      normalize: "none",
      center: false,
      initBias: "zero",
      lr: 3e-3,
      batch: 256,
      epochs: 12,
    });
    expect(cosine).toBeGreaterThanOrEqual(0.99);
    expect(result.dead).toBe(0);
  });
});
