/** `--normalize layer-norm`: rows normalised while they are gathered, in training, in the model and wherever it is used. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type DeepAutoencoder, type SparseAutoencoder, transformRows } from "@sparseloom/core";
import { openCorpus, RowStream, sampleRows, writeCorpus } from "@sparseloom/data";
import { beforeAll, describe, expect, it } from "vitest";
import { compareModels } from "../src/compare/compare-models.ts";
import { openModels } from "../src/compare/open-models.ts";
import { evaluateModel } from "../src/eval/evaluate-model.ts";
import { inspect } from "../src/inspect.ts";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { readRunConfig } from "../src/run/config.ts";
import { readModel } from "../src/run/model-folder.ts";
import { resume, train } from "../src/train.ts";
import { writePairedColumns } from "./paired-columns.ts";
import { runCli, stateBytes, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const corpus = join(folder, "acts.arrow");
const paired = join(folder, "paired.arrow");
const DIMENSIONS = 12;
beforeAll(async () => {
  await writeSmallCorpus(corpus);
  await writePairedColumns(paired, 3000);
});

const COMMON = {
  normalize: "layer-norm",
  latents: 48,
  k: 4,
  batch: 100,
  lr: 1e-2,
  examples: 12_050,
  seed: 2,
} satisfies TrainRequest;

const run = async (name: string, request: TrainRequest = {}, patterns = [corpus]) =>
  await train(patterns, checkTrainRequest({ ...COMMON, ...request }), join(folder, name));

/** FVU of a model on raw rows, measured on what LayerNorm makes of both sides by the row's own moments. */
function fvuOf(model: SparseAutoencoder | DeepAutoencoder, rows: Float32Array): number {
  const rebuilt = model.reconstruct(rows);
  const dIn = model.dIn;
  const count = rows.length / dIn;
  const x = transformRows(rows, dIn, { mean: undefined, scale: 1, layerNorm: [dIn] });
  const means = Array.from({ length: dIn }, (_, j) =>
    x.reduce((sum, v, i) => sum + (i % dIn === j ? v : 0), 0),
  );
  let [errors, squares] = [0, 0];
  for (let row = 0; row < count; row++) {
    const raw = rows.subarray(row * dIn, (row + 1) * dIn);
    const mean = raw.reduce((sum, value) => sum + value, 0) / dIn;
    const deviation = Math.sqrt(raw.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (dIn - 1));
    for (let j = 0; j < dIn; j++) {
      errors += ((rebuilt[row * dIn + j]! - raw[j]!) / deviation) ** 2;
      squares += (x[row * dIn + j]! - means[j]! / count) ** 2;
    }
  }
  return errors / squares;
}

describe("rows after LayerNorm", () => {
  it("are the same bits from the data path as from the core, whatever the blocks", async () => {
    for (const [path, columns] of [
      [corpus, undefined],
      [paired, ["before", "after"]],
    ] as const) {
      for (const blockBytes of [200, 1e6]) {
        await using rows = await openCorpus([path], { column: columns, blockBytes });
        const layerNorm = rows.columns.map(({ dIn }) => dIn);
        const transform = { mean: undefined, scale: 1, layerNorm };
        const options = { seed: 1, split: "all", shuffle: "window", transform } as const;
        await using stream = new RowStream(rows, options);
        await using asStored = new RowStream(rows, { ...options, transform: undefined });
        const [found, raw] = [new Float32Array(rows.rows * rows.dIn), new Float32Array(rows.rows * rows.dIn)];
        expect(await stream.fill(found, rows.rows)).toBe(rows.rows);
        await asStored.fill(raw, rows.rows);
        expect(
          Buffer.from(found.buffer).equals(Buffer.from(transformRows(raw, rows.dIn, transform).buffer)),
        ).toBe(true);
      }
    }
  });

  it("make a run whose statistics, first b_dec and figures are theirs, and a model for raw rows", async () => {
    const result = await run("learns", { arch: "topk", auxK: 4, initBias: "mean", evalRows: 100_000 });
    expect(result.fvu).toBeLessThan(0.3);
    const config = await readRunConfig(result.runDirectory);
    const { normalisedStatistics: found, statistics, transform } = config;
    expect(transform).toEqual({ mean: null, scale: 1, layerNorm: [DIMENSIONS] });
    // Norms of √(d − 1), unlike those that are stored.
    expect(found?.meanSquareNorm).toBeCloseTo(DIMENSIONS - 1, 1);
    expect(Math.abs(statistics.meanSquareNorm / (DIMENSIONS - 1) - 1)).toBeGreaterThan(0.2);
    expect(config.setup.training.auxK?.totalVariance).toBe(found?.totalVariance);
    const options = { split: "train", rows: 1e6, workers: 1 } as const;
    const evaluated = await evaluateModel(result.runDirectory, [corpus], options);
    expect(evaluated).toMatchObject({ units: "layer-norm", warnings: [] });
    expect(Math.abs(evaluated.fvu / result.fvu - 1)).toBeLessThan(1e-3);
    expect(Math.abs(evaluated.mse / result.mse - 1)).toBeLessThan(1e-3);
    expect(evaluated.l0).toBeCloseTo(result.l0, 2);
    // And without a team, from raw rows to raw rows.
    const { model, cfg } = await readModel(result.runDirectory);
    await using rows = await openCorpus([corpus], {});
    const { values } = await sampleRows(rows, {
      seed: 1,
      rows: 2970,
      split: "train",
      heldOut: { fraction: 0.01, seed: 2 },
    });
    expect(Math.abs(fvuOf(model, values) / result.fvu - 1)).toBeLessThan(0.02);
    expect(cfg).toMatchObject({
      normalize_activations: "layer_norm",
      metadata: { sparseloom: { scaling: { normalize: "layer-norm", center: false, scale: 1 } } },
    });
  });

  it("make the same bytes with 1 to 3 workers, and across stop and resume", async () => {
    const one = await run("one", { workers: 1, examples: 4050 });
    const three = await run("three", { workers: 3, stopAt: 20, examples: 4050 });
    expect(three.complete).toBe(false);
    await resume(three.runDirectory, { workers: 2 });
    const bytes = await stateBytes(one.runDirectory, 41);
    expect((await stateBytes(three.runDirectory, 41)).equals(bytes)).toBe(true);
    const model = async (path: string) => await readFile(join(path, "model", "sae_weights.safetensors"));
    expect((await model(three.runDirectory)).equals(await model(one.runDirectory))).toBe(true);
    const screened = await run("screened", { encoder: "screened", audit: 1, examples: 4050 });
    expect((await stateBytes(screened.runDirectory, 41)).equals(bytes)).toBe(true);
    // The mean about which FVU is measured comes with the run's configuration.
    const lines = async (path: string) =>
      (await readFile(join(path, "metrics.jsonl"), "utf8"))
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { step: number; fvu: number })
        .map(({ step, fvu }) => [step, fvu]);
    expect((await lines(three.runDirectory)).at(-1)).toEqual((await lines(one.runDirectory)).at(-1));
  });

  it("may be made of a synthetic corpus without a file, and leave out rows by their norm as stored", async () => {
    const patterns = ["synth:toy-1@3000"];
    const result = await run("synthetic", { examples: 6000, latents: 64, maxNormMultiple: 1.2 }, patterns);
    expect(result.filteredRows).toBeGreaterThan(0);
    expect(result.fvu).toBeLessThan(0.9);
    const options = { split: "all", rows: 1000, workers: 1 } as const;
    const { truth, warnings } = await evaluateModel(result.runDirectory, patterns, options);
    expect(warnings).toEqual([]);
    expect(truth?.detection?.f1).toBeGreaterThan(0.1);
  });

  it("are zeros where a row's numbers are all equal, and nothing becomes infinite", async () => {
    const path = join(folder, "constant.arrow");
    const values = Float32Array.from({ length: 600 * 4 }, (_, i) =>
      i % 12 < 4 ? 3e38 : Math.sin(i) * 10 ** ((i >> 2) % 30),
    );
    await writeCorpus(path, { dIn: 4, type: "float32" }, [{ values }]);
    const result = await run("constant", { examples: 3000, latents: 8, k: 2, lr: 1e-2 }, [path]);
    expect(Number.isFinite(result.loss)).toBe(true);
    const options = { split: "all", rows: 1000, workers: 1 } as const;
    expect((await evaluateModel(result.runDirectory, [path], options)).fvu).toBeLessThan(1);
  });
});

describe("models of rows after LayerNorm", () => {
  it("are inspected and compared", async () => {
    const runs = [await run("first", {}), await run("second", { seed: 3, dataSeed: 2 })];
    const report = await inspect(runs[0]!.runDirectory, [corpus], {
      features: 3,
      top: 4,
      rows: 3000,
      workers: 1,
    });
    expect(report.features.length).toBe(3);
    expect(report.features[0]?.coherence).toBeGreaterThan(0.5);
    const models = await openModels(runs.map(({ runDirectory }) => runDirectory));
    const { pairs } = await compareModels(models, { workers: 1 });
    expect(pairs[0]?.shared).toBeGreaterThan(0);
  });

  it("may read several columns, each normalised by itself", async () => {
    const request = { columns: ["before", "after"], latents: 48, k: 4 };
    const result = await run("crosscoder", request, [paired]);
    expect(result.fvu).toBeLessThan(0.3);
    const { model, cfg } = await readModel(result.runDirectory);
    expect(cfg).toMatchObject({ architecture: "crosscoder", normalize_activations: "layer_norm" });
    expect((model as SparseAutoencoder).normalisedWidths).toEqual([12, 9]);
    const options = { split: "all", rows: 1e6, workers: 1 } as const;
    const found = await evaluateModel(result.runDirectory, [paired], options);
    expect(Math.abs(found.fvu / result.fvu - 1)).toBeLessThan(0.1);
    for (const { fvu } of found.columns ?? []) expect(fvu).toBeLessThan(0.35);
  });

  it("may be deep", async () => {
    const deep = {
      arch: "autoencoder",
      widths: [12, 32, 8, 12],
      outputActivation: "linear",
      lr: 3e-3,
    } as const;
    const { latents: _, k: __, ...common } = COMMON;
    const request = checkTrainRequest({ ...common, ...deep });
    const result = await train([corpus], request, join(folder, "deep"));
    const options = { split: "train", rows: 1e6, workers: 1 } as const;
    const found = await evaluateModel(result.runDirectory, [corpus], options);
    expect(found.units).toBe("layer-norm");
    expect(Math.abs(found.fvu / result.fvu - 1)).toBeLessThan(0.1);
    const { model } = await readModel(result.runDirectory);
    await using rows = await openCorpus([corpus], {});
    const { values } = await sampleRows(rows, { seed: 1, rows: 2000 });
    expect(Math.abs(fvuOf(model, values) / result.fvu - 1)).toBeLessThan(0.1);
  });
});

describe("--normalize layer-norm", () => {
  it("turns centring off, and is what the openai-topk preset takes", () => {
    expect(checkTrainRequest({ normalize: "layer-norm" }).center).toBe(false);
    expect(checkTrainRequest({ preset: "openai-topk" })).toMatchObject({
      normalize: "layer-norm",
      center: false,
    });
    const other = checkTrainRequest({ preset: "openai-topk", normalize: "sqrt-d" });
    expect(other).toMatchObject({ normalize: "sqrt-d", center: true });
    expect(other.units).toBeUndefined();
    const topk = checkTrainRequest({ preset: "sparsify-default", normalize: "layer-norm" });
    expect(topk).toMatchObject({ normalize: "layer-norm", center: false });
  });

  it.each([
    [{ center: true }, "--center does not go with --normalize layer-norm"],
    [{ column: "a", target: "b" }, "--normalize layer-norm does not go with --target"],
    [{ arch: "relu", units: "sqrt-d" }, "cannot be converted for --normalize layer-norm"],
    [{ preset: "gemma-scope" }, "what is meant for rows scaled by unit-mean-square"],
    [{ preset: "dictionary-learning-topk" }, "what is meant for rows scaled by unit-mean-square"],
    [{ arch: "topk", units: "none", clipNorm: 1 }, "what is meant for rows scaled by none"],
  ] as const)("refuses %o", (request, message) => {
    expect(() => checkTrainRequest({ normalize: "layer-norm", ...request })).toThrow(message);
  });

  it("is not a unit that numbers may be meant in", () => {
    expect(() => checkTrainRequest({ arch: "relu", units: "layer-norm" })).toThrow("--units must be");
  });

  it("needs vectors of at least two numbers", async () => {
    const path = join(folder, "narrow.arrow");
    await writeCorpus(path, { dIn: 1, type: "float32" }, [
      { values: Float32Array.from({ length: 50 }, (_, i) => Math.cos(i)) },
    ]);
    const args = ["--normalize", "layer-norm", "--latents", "4", "--k", "1", "--out", join(folder, "narrow")];
    const { status, stderr } = await runCli(["train", path, ...args]);
    expect(status).toBe(2);
    expect(stderr.trim().split("\n").at(-1)).toContain(
      "--normalize layer-norm needs vectors of at least 2 dimensions",
    );
  });
});
