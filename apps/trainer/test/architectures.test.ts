/** What each architecture promises of a finished run, on a corpus of known features. */
import { join } from "node:path";
import { DeepAutoencoder } from "@sparseloom/core";
import { openCorpus, sampleRows } from "@sparseloom/data";
import { beforeAll, describe, expect, it } from "vitest";
import { DEMO_CORPUS } from "../src/commands/demo.ts";
import { evaluateModel } from "../src/eval/evaluate-model.ts";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { readModel } from "../src/run/model-folder.ts";
import type { TrainResult } from "../src/run/result.ts";
import { train } from "../src/train.ts";
import { RESAMPLING_CASE, SHORT_AUX_K_CASE } from "../checks/dead-latent-cases.ts";
import { runCli, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const corpus = join(folder, "toy.arrow");
beforeAll(async () => {
  const args = ["--d", "24", "--features", "48", "--rows", "12000", "--active", "3", "--seed", "1"];
  const { status } = await runCli(["corpus", "generate", corpus, ...args]);
  if (status !== 0) throw new Error("the corpus could not be generated");
});

const run = async (name: string, request: TrainRequest): Promise<TrainResult> => {
  const common = { latents: 96, batch: 200, examples: 60_000, lr: 4e-3, heldOut: 0.1 } as const;
  return await train([corpus], checkTrainRequest({ ...common, ...request }), join(folder, name));
};

describe("a BatchTopK autoencoder", () => {
  it("has a threshold above which k latents per held-out row lie, to 0.5 %, also in the exported model", async () => {
    const result = await run("batch-topk", { arch: "batch-topk", k: 3 });
    expect(result.threshold).toMatchObject({ mode: "calibrated", rows: result.heldOut?.rows });
    expect(Math.abs((result.heldOut?.l0 ?? 0) / 3 - 1)).toBeLessThan(0.005);
    expect(result.overBatch?.heldOut?.l0).toBe(3);
    expect(result.overBatch?.training.l0).toBe(3);
    // Both modes reconstruct about as well.
    expect(result.heldOut?.fvu).toBeCloseTo(result.overBatch?.heldOut?.fvu ?? 0, 1);
    const options = { split: "held-out", rows: 1e6, workers: 1 } as const;
    const found = await evaluateModel(join(folder, "batch-topk"), [corpus], options);
    expect(Math.abs(found.l0 / 3 - 1)).toBeLessThan(0.005);
    expect(found.fvu).toBeCloseTo(result.heldOut?.fvu ?? 0, 4);
    const { cfg } = await readModel(join(folder, "batch-topk"));
    expect(cfg["architecture"]).toBe("jumprelu");
    expect(cfg["metadata"]).toMatchObject({
      training_architecture: "batch-topk",
      sparseloom: { threshold: { ...result.threshold } },
    });
  });

  it("keeps training's moving threshold where asked to", async () => {
    const result = await run("ema", { arch: "batch-topk", k: 3, threshold: "ema" });
    expect(result.threshold).toMatchObject({ mode: "ema", rows: 0 });
    expect(result.heldOut?.l0).toBeGreaterThan(2);
    expect(result.heldOut?.l0).toBeLessThan(4);
  });

  it("is calibrated on training rows where none are held out", async () => {
    const result = await run("nothing-held-out", { arch: "batch-topk", k: 3, heldOut: 0 });
    expect(result.threshold).toMatchObject({ mode: "calibrated", rows: 12_000 });
  });
});

describe("a Matryoshka autoencoder", () => {
  it("reconstructs by its prefixes, which BatchTopK does not; its threshold is calibrated, too", async () => {
    const ofPrefix = async (name: string): Promise<number> => {
      const { model } = await readModel(join(folder, name));
      if (!("encode" in model) || model instanceof DeepAutoencoder) throw new Error("not sparse");
      await using rows = await openCorpus([corpus], {});
      const { values } = await sampleRows(rows, { seed: 1, rows: 500 });
      const features = model.encode(values);
      // Latents of the first quarter alone.
      const cut = { ...features, values: features.values.map((f, i) => (features.latents[i] < 24 ? f : 0)) };
      const rebuilt = model.decode(cut);
      return rebuilt.reduce((sum, value, i) => sum + (value - values[i]) ** 2, 0) / 500;
    };
    const result = await run("matryoshka", { arch: "matryoshka", k: 3 });
    expect(Math.abs((result.heldOut?.l0 ?? 0) / 3 - 1)).toBeLessThan(0.005);
    await run("not-nested", { arch: "batch-topk", k: 3 });
    expect(await ofPrefix("matryoshka")).toBeLessThan(0.8 * (await ofPrefix("not-nested")));
  });
});

describe.each([SHORT_AUX_K_CASE, RESAMPLING_CASE])("$name", ({ name, corpus: args, options, recipe }) => {
  it("keeps latents alive of which more than a fifth would be dead", async () => {
    const crowded = join(folder, `${name}.arrow`);
    await runCli(["corpus", "generate", crowded, ...args]);
    const dead = async (more: TrainRequest): Promise<number> => {
      const path = join(folder, `${name}-${Object.keys(more).length}`);
      return (
        (await train([crowded], checkTrainRequest({ ...options, workers: 1, ...more }), path)).dead /
        options.latents
      );
    };
    expect(await dead({})).toBeGreaterThan(0.2);
    expect(await dead(recipe)).toBeLessThan(0.01);
  });
});

describe("a JumpReLU autoencoder with a quadratic penalty", () => {
  it.each([10, 20, 40])("ends within a tenth of a target of %d", async (targetL0) => {
    const result = await run(`target-${targetL0}`, {
      arch: "jumprelu",
      l0Penalty: "quadratic",
      targetL0,
      lr: 1e-2,
      examples: 120_000,
    });
    expect(Math.abs((result.heldOut?.l0 ?? 0) / targetL0 - 1)).toBeLessThan(0.1);
  });

  it("does so on the bundled corpus in its 774 steps from a sparse start, and not from another", async () => {
    const off = async (name: string, more: TrainRequest): Promise<number> => {
      const request = {
        arch: "jumprelu",
        l0Penalty: "quadratic",
        targetL0: 10,
        bandwidth: 0.2,
        lr: 3e-3,
      } as const;
      const length = { latents: 512, init: "data", batch: 256, workers: 1 } as const;
      const options = checkTrainRequest({ ...request, ...length, epochs: 10, ...more });
      return (await train([DEMO_CORPUS], options, join(folder, name))).l0 / 10 - 1;
    };
    expect(Math.abs(await off("sparse-start", { initEncoderBias: "sparse" }))).toBeLessThan(0.1);
    expect(Math.abs(await off("zero-start", {}))).toBeGreaterThan(0.2);
  });
});

it("AuxK is refused with more dead latents than there are latents", async () => {
  await expect(run("refused", { auxK: 97 })).rejects.toThrow(
    "--aux-k must be at most the 96 latents, got 97",
  );
});

describe("k-annealing", () => {
  it.each([
    [
      { k: 24 },
      "--k-anneal-steps brings k down from 24, the dimension or all latents, which must be above --k 24",
    ],
    [{ k: 4, examples: 1000 }, "--k-anneal-steps must be at most the run's 5 steps, got 100"],
  ])("is refused with %o", async (part, message) => {
    await expect(run("refused", { kAnnealSteps: 100, ...part })).rejects.toThrow(message);
  });
});

it.each([
  [{ arch: "jumprelu", targetL0: 5 }, "--target-l0 is for --l0-penalty quadratic"],
  [{ arch: "jumprelu", l0Penalty: "step", tanhScale: 5 }, "--tanh-scale is for --l0-penalty tanh"],
  [{ arch: "topk", tied: true }, "--tied is for --arch autoencoder, not for topk"],
  [
    { arch: "autoencoder", widths: [4, 2, 4], l1Warmup: 5 },
    "--l1-warmup needs --bottleneck-l1 with --arch autoencoder",
  ],
  [{ arch: "topk", bandwidth: 1 }, "--bandwidth is for --arch jumprelu, not for topk"],
  [{ arch: "topk", auxMode: "variance" }, "--aux-mode needs --aux-k"],
  [{ arch: "relu", pAnnealStart: 50 }, "--p-anneal-start needs --decoder unit"],
  [{ arch: "relu", decoder: "unit", pEnd: 0.5 }, "--p-end needs --p-anneal-start"],
  [{ arch: "topk", pAnnealStart: 50 }, "--p-anneal-start is for --arch relu, not for topk"],
  [{ arch: "relu", kAnnealSteps: 5 }, "--k-anneal-steps is for --arch topk or batch-topk or matryoshka"],
  [{ arch: "topk", kAnneal: "exponential" }, "--k-anneal needs --k-anneal-steps"],
  [{ arch: "batch-topk", multiTopk: true }, "--multi-topk is for --arch topk, not for batch-topk"],
  [{ arch: "topk", auxK: 0 }, "--aux-k must be at least 1, got 0"],
  [{ arch: "jumprelu", auxK: 4 }, "--aux-k is for --arch topk or batch-topk or matryoshka, not for jumprelu"],
  [{ arch: "topk", prefixes: [4, 8] }, "--prefixes is for --arch matryoshka, not for topk"],
  [{ arch: "relu", threshold: "ema" }, "--threshold is for --arch batch-topk or matryoshka, not for relu"],
] as const)("refuses %o", (request, message) => {
  expect(() => checkTrainRequest(request)).toThrow(message);
});
