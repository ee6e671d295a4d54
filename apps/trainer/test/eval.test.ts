/** Evaluation against known features: models that are right, doubled or wrong, and numbers of another program. */
import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import {
  addReconstructions,
  bestMatches,
  cosineMatrix,
  countDetections,
  detectionMetrics,
  emptyDetections,
  emptyReconstructionSums,
  encodeSafetensors,
  matchDirections,
  meanCorrelation,
  reconstructionMetrics,
  SparseAutoencoder,
  transpose,
  uniqueness,
} from "@sparseloom/core";
import { createSynthetic, openCorpus, RowStream, type SyntheticOptions, writeCorpus } from "@sparseloom/data";
import { exportSaeLens } from "@sparseloom/interop";
import { munkres } from "munkres";
import { beforeAll, describe, expect, it } from "vitest";
import { describeEvaluation } from "../src/eval/describe.ts";
import { evaluateModel, type EvalResult } from "../src/eval/evaluate-model.ts";
import { train } from "../src/train.ts";
import { checkTrainRequest } from "../src/options.ts";
import { readModel } from "../src/run/model-folder.ts";
import { writeFolder } from "../src/run/write-folder.ts";
import { runCli, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const DIN = 16;
const FEATURES = 12;
const ROWS = 1500;
const toy: SyntheticOptions = {
  dIn: DIN,
  features: FEATURES,
  seed: 3,
  active: { kind: "bernoulli", probability: 0.2 },
  magnitude: { kind: "uniform", low: 0.5, high: 1.5 },
};
const { directions } = createSynthetic(toy);

async function writeToy(name: string, options: SyntheticOptions, type: "float32" | "float16" = "float32") {
  const values = new Float32Array(ROWS * options.dIn);
  createSynthetic(options).fill(values, 0, ROWS);
  await writeCorpus(at(name), { dIn: options.dIn, type }, [{ values }]);
}

async function writeTruth(name: string, data: Float32Array, dIn: number, generator?: SyntheticOptions) {
  const metadata = generator === undefined ? {} : { generator: JSON.stringify(generator) };
  const tensors = { directions: { shape: [data.length / dIn, dIn], data } };
  await writeFile(at(name), encodeSafetensors(tensors, metadata));
}

/** A ReLU model whose latents are the given features, read off by their directions. */
async function writeModel(name: string, features: readonly number[], factor = 1): Promise<string> {
  const W_dec = Float32Array.from(
    features.flatMap((feature) => [...directions.subarray(feature * DIN, feature * DIN + DIN)]),
  );
  const files = exportSaeLens(
    {
      architecture: "standard",
      dIn: DIN,
      latents: features.length,
      applyBDecToInput: false,
      W_enc: transpose(W_dec, features.length, DIN),
      b_enc: new Float32Array(features.length).fill(-0.01),
      W_dec: W_dec.map((value) => factor * value),
      b_dec: new Float32Array(DIN),
    },
    { trainingArchitecture: "relu", l0: 0, deadLatents: 0, sparseloom: {} },
  );
  await writeFolder(at(name), {
    "cfg.json": [files["cfg.json"]],
    "sae_weights.safetensors": [files["sae_weights.safetensors"]],
  });
  return at(name);
}

const all = Array.from({ length: FEATURES }, (_, feature) => feature);
const evaluateOn = async (model: string, corpus: string, features?: string): Promise<EvalResult> =>
  await evaluateModel(model, [at(corpus)], {
    split: "all",
    rows: ROWS,
    workers: 2,
    ...(features === undefined ? {} : { features: at(features) }),
  });

beforeAll(async () => {
  await writeToy("toy.arrow", toy);
  await writeTruth("toy.arrow.features.safetensors", directions, DIN, toy);
});

describe("evaluation against true features", () => {
  it("finds a model that is the truth to be it", async () => {
    const { truth, l0, ...found } = await evaluateOn(await writeModel("right", all), "toy.arrow");
    expect(truth?.path).toBe(at("toy.arrow.features.safetensors"));
    expect(truth?.features).toBe(FEATURES);
    for (const value of [truth?.meanMaximumCosine, truth?.meanCorrelation, truth?.uniqueness])
      expect(value).toBeCloseTo(1, 6);
    const { precision, recall, f1, trueL0 } = truth?.detection ?? {};
    expect([precision, recall, f1]).toEqual([1, 1, 1]);
    expect(trueL0).toBe(l0);
    expect(found.warnings).toEqual([]);
    expect(found.shrinkage).toBeGreaterThan(0.97);
    expect(found.shrinkage).toBeLessThan(1);
  });

  it("sees features that are missing, found twice, and turned about", async () => {
    const { truth, decoder } = await evaluateOn(await writeModel("doubled", [0, 0, 1, 2], -1), "toy.arrow");
    // Decoder rows point away from what the encoder reads: |cosine| 1, cosine −1 with theirs, about 0 with others.
    expect(truth?.meanMaximumCosine).toBeCloseTo(0, 5);
    expect(truth?.uniqueness).toBe(3 / 4);
    expect(truth?.meanCorrelation).toBeCloseTo(3 / 4, 5);
    expect(truth?.detection?.f1).toBe(1);
    expect(decoder?.duplicates).toBe(2);
  });

  it("counts a latent's wrong and missed rows", async () => {
    // A latent that fires for every row of three features, matched with the strongest of them in the decoder.
    const mixed = directions.slice(0, DIN);
    const encoder = mixed.map((value, j) => value + directions[DIN + j]! + directions[2 * DIN + j]!);
    const model = new SparseAutoencoder({
      dIn: DIN,
      latents: 1,
      activation: { kind: "relu" },
      applyBDecToInput: false,
      encoder,
      b_enc: Float32Array.of(-0.01),
      W_dec: mixed,
      b_dec: new Float32Array(DIN),
    });
    const files = exportSaeLens(
      { ...model.parts, architecture: "standard", W_enc: model.W_enc },
      { trainingArchitecture: "relu", l0: 0, deadLatents: 0, sparseloom: {} },
    );
    await writeFolder(at("mixed"), {
      "cfg.json": [files["cfg.json"]],
      "sae_weights.safetensors": [files["sae_weights.safetensors"]],
    });
    const { truth } = await evaluateOn(at("mixed"), "toy.arrow");
    const magnitudes = new Float32Array(ROWS * FEATURES);
    createSynthetic(toy).fill(new Float32Array(ROWS * DIN), 0, ROWS, magnitudes);
    const has = (row: number, feature: number) => magnitudes[row * FEATURES + feature]! > 0;
    const rows = Array.from({ length: ROWS }, (_, row) => row);
    const fired = rows.filter((row) => has(row, 0) || has(row, 1) || has(row, 2)).length;
    const present = rows.filter((row) => has(row, 0)).length;
    expect(truth?.detection?.precision).toBe(present / fired);
    expect(truth?.detection?.recall).toBe(1);
  });

  it("measures rows as the model alone does, in raw units", async () => {
    const found = await evaluateOn(await writeModel("stretched", all, 0.8), "toy.arrow");
    const x = new Float32Array(ROWS * DIN);
    createSynthetic(toy).fill(x, 0, ROWS);
    // z = x·direction − 0.01 and x̂ = 0.8·Σ f·direction.
    let l1 = 0;
    let squares = 0;
    let products = 0;
    for (let row = 0; row < ROWS; row++) {
      const rebuilt = new Float32Array(DIN);
      for (const feature of all) {
        let z = -0.01;
        for (let j = 0; j < DIN; j++) z += x[row * DIN + j]! * directions[feature * DIN + j]!;
        if (z <= 0) continue;
        l1 += 0.8 * z;
        for (let j = 0; j < DIN; j++) rebuilt[j]! += 0.8 * z * directions[feature * DIN + j]!;
      }
      for (let j = 0; j < DIN; j++) {
        squares += rebuilt[j]! ** 2;
        products += rebuilt[j]! * x[row * DIN + j]!;
      }
    }
    expect(found.l1).toBeCloseTo(l1 / ROWS, 4);
    expect(found.relativeBias).toBeCloseTo(squares / products, 5);
    expect(found.relativeBias).toBeCloseTo(0.8, 1);
  });

  it("knows rows that were stored in half precision", async () => {
    await writeToy("half.arrow", toy, "float16");
    const { truth, warnings } = await evaluateOn(
      await writeModel("right", all),
      "half.arrow",
      "toy.arrow.features.safetensors",
    );
    expect(warnings).toEqual([]);
    expect(truth?.detection?.recall).toBe(1);
  });

  it("does without rows where the file does not say how they are made, or the corpus has others", async () => {
    const right = await writeModel("right", all);
    await writeTruth("directions-only", directions, DIN);
    const { truth } = await evaluateOn(right, "toy.arrow", "directions-only");
    expect(truth).toMatchObject({ features: FEATURES, detection: null });
    await writeTruth("other-rows", directions, DIN, { ...toy, seed: 4 });
    const other = await evaluateOn(right, "toy.arrow", "other-rows");
    expect(other.truth?.detection).toBeNull();
    expect(other.truth?.meanCorrelation).toBeCloseTo(1, 6);
    expect(other.warnings).toEqual([
      expect.stringMatching(/^row \d+ of the corpus is not what the generator/),
    ]);
  });

  it("has no truth where none is known", async () => {
    await writeToy("unknown.arrow", toy);
    const result = await evaluateOn(await writeModel("right", all), "unknown.arrow");
    expect(result.truth).toBeNull();
    expect(describeEvaluation(result)).not.toContain("true features");
  });

  it.each([
    ["nowhere", /^true features .*nowhere cannot be read \(ENOENT\)$/],
    ["narrow", /have 8 dimensions, but the corpus has 16$/],
    ["toy.arrow", /^true features .*toy\.arrow: /],
  ])("refuses the file %s in one line", async (name, message) => {
    await writeTruth("narrow", directions, 8);
    const right = await writeModel("right", all);
    await expect(evaluateOn(right, "toy.arrow", name)).rejects.toThrow(message);
  });

  it("finds the features of a corpus that `corpus generate` made", async () => {
    const corpus = at("generated.arrow");
    const args = ["--preset", "toy-1", "--rows", "30000"];
    expect((await runCli(["corpus", "generate", corpus, ...args])).status).toBe(0);
    const options = checkTrainRequest({
      arch: "relu",
      l1: 0.2,
      latents: 16,
      batch: 512,
      lr: 3e-3,
      epochs: 40,
      workers: 2,
    });
    await train([corpus], options, at("run"));
    const { stdout, status } = await runCli(["eval", at("run"), corpus, "--rows", "20000"]);
    expect(status).toBe(0);
    expect(Number(/MCC +([\d.]+)/.exec(stdout)?.[1])).toBeGreaterThan(0.999);
    expect(Number(/F1 +([\d.]+)/.exec(stdout)?.[1])).toBeGreaterThan(0.98);
    const lines = stdout.split("\n").filter((line) => !line.includes(folder));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });
});

describe("the diagnosis of dead latents", () => {
  /** Encoder and decoder rows: features 0 to 3 are alive, the other four are not. */
  const rowOf = (feature: number, factor = 1) =>
    [...directions.subarray(feature * DIN, (feature + 1) * DIN)].map((value) => factor * value);
  const against = all
    .map((feature) => rowOf(feature, -1))
    .reduce((sum, row) => sum.map((value, j) => value + row[j]!));
  const latents = [rowOf(0), rowOf(1), rowOf(2), rowOf(3), rowOf(0, 0.1), rowOf(4), against, rowOf(6)];
  const biases = [-0.01, -0.01, -0.01, -0.01, -9, -9, -0.01, -9];

  async function writeDeadModel(path: string): Promise<void> {
    const W_dec = Float32Array.from(latents.flat());
    const files = exportSaeLens(
      {
        architecture: "standard",
        dIn: DIN,
        latents: latents.length,
        applyBDecToInput: false,
        W_enc: transpose(W_dec, latents.length, DIN),
        b_enc: Float32Array.from(biases),
        W_dec,
        b_dec: new Float32Array(DIN),
      },
      { trainingArchitecture: "relu", l0: 0, deadLatents: 0, sparseloom: {} },
    );
    await writeFolder(at(path), {
      "cfg.json": [files["cfg.json"]],
      "sae_weights.safetensors": [files["sae_weights.safetensors"]],
    });
  }
  const diagnose = async (model: string): Promise<EvalResult> =>
    await evaluateModel(at(model), [at("toy.arrow")], { split: "all", rows: ROWS, workers: 2, dead: true });

  it("gives each its cause, and what to try", async () => {
    await writeDeadModel("dying");
    const result = await diagnose("dying");
    const causes = result.deadLatents?.latents.map(({ latent, cause }) => [latent, cause]);
    expect(result.dead).toBe(4);
    expect(result.deadLatents?.rows).toBe(ROWS);
    expect(causes).toEqual([
      [4, "duplicate"],
      [5, "bias"],
      [6, "mean"],
      [7, "bias"],
    ]);
    const text = describeEvaluation(result);
    expect(text).toMatch(/duplicate +1 +fewer --latents/);
    expect(text).toMatch(/ 4 +duplicate .*decoder cosine 1\.000 with latent 0/);
    expect(text).toMatch(/ 5 +bias .*bias −9\.00, live median −0\.0100/);
  });

  it("knows from a run directory who fell silent at a loss spike", async () => {
    await writeDeadModel(join("run-with-spike", "model"));
    const lastFired = Float64Array.of(900, 900, 900, 900, 0, 900, 0, 455);
    const fireCount = Float64Array.of(90, 90, 90, 90, 0, 90, 0, 45);
    const data = (values: Float64Array) => ({ shape: [8], data: values });
    await writeFolder(at(join("run-with-spike", "checkpoints", "90")), {
      "state.safetensors": [
        encodeSafetensors({ fireCount: data(fireCount), lastFired: data(lastFired), other: data(lastFired) }),
      ],
    });
    const losses = [5, 4, 4, 4, 9, 4, 4, 4, 4];
    const lines = losses.map((loss, index) =>
      JSON.stringify({ step: 10 * (index + 1), examples: 100 * (index + 1), loss }),
    );
    await writeFile(at(join("run-with-spike", "metrics.jsonl")), `${lines.join("\n")}\n`);
    const { deadLatents } = await diagnose("run-with-spike");
    expect(deadLatents?.latents.map(({ latent, cause, spikeStep }) => [latent, cause, spikeStep])).toEqual([
      [4, "duplicate", null],
      [5, "bias", null],
      [6, "mean", null],
      [7, "loss spike", 50],
    ]);
  });

  it("holds TopK's latents against the least that was selected in the row", async () => {
    const options = checkTrainRequest({ latents: 64, k: 3, batch: 64, lr: 0.05, epochs: 3, workers: 2 });
    await train([at("toy.arrow")], options, at("crowded"));
    const { dead, deadLatents } = await diagnose("crowded");
    expect(dead).toBeGreaterThan(0);
    expect(deadLatents?.latents).toHaveLength(dead);
    for (const { bestZ, threshold } of deadLatents?.latents ?? []) {
      expect(threshold).toBeGreaterThanOrEqual(0);
      expect(bestZ).toBeLessThan(threshold + 1e-5);
    }
  });

  it("is not made unless asked for", async () => {
    expect((await evaluateOn(at("dying"), "toy.arrow")).deadLatents).toBeNull();
  });
});

describe("a deep autoencoder's evaluation", () => {
  it("has reconstructions, but no features", async () => {
    const options = checkTrainRequest({
      arch: "autoencoder",
      widths: [DIN, 8, DIN],
      batch: 64,
      epochs: 2,
      workers: 2,
    });
    await train([at("toy.arrow")], options, at("deep"));
    const result = await evaluateOn(at("deep"), "toy.arrow");
    expect(result).toMatchObject({ l1: null, decoder: null, truth: null });
    expect(result.cosineSimilarity).toBeGreaterThan(0);
    // FVU and cosine tell of the same rows: exact reconstruction would be 0 and 1.
    expect(result.cosineSimilarity).toBeLessThan(1);
    expect(describeEvaluation(result)).toContain("shrinkage");
  });

  it("measures raw rows: what it shows agrees with the model alone", async () => {
    const { model } = await readModel(at("deep"));
    await using corpus = await openCorpus([at("toy.arrow")]);
    await using stream = new RowStream(corpus, { seed: 0, shuffle: "none" });
    const x = new Float32Array(ROWS * DIN);
    await stream.fill(x, ROWS);
    const sums = emptyReconstructionSums();
    addReconstructions(sums, x, model.reconstruct(x), ROWS, DIN);
    const expected = reconstructionMetrics(sums);
    const { cosineSimilarity, shrinkage, relativeBias } = await evaluateOn(at("deep"), "toy.arrow");
    expect(cosineSimilarity).toBeCloseTo(expected.cosineSimilarity, 5);
    expect(shrinkage).toBeCloseTo(expected.shrinkage, 5);
    expect(relativeBias).toBeCloseTo(expected.relativeBias, 5);
  });
});

describe("the numbers of SAELens 6.54 (sae_lens.synthetic.evals) for the same arrays", () => {
  let state = 1;
  const draws = (count: number): Float32Array =>
    Float32Array.from({ length: count }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 31 - 1;
    });
  const [dIn, latents, features, rows] = [8, 12, 10, 200];
  const truth = draws(features * dIn);
  const W_dec = draws(latents * dIn);
  const active = draws(rows * latents).map((value) => (value > 0.6 ? value : 0));
  const present = draws(rows * features).map((value) => (value > 0.7 ? value : 0));
  const x = draws(rows * dIn);
  const y = draws(rows * dIn);
  const cosines = cosineMatrix(W_dec, truth, dIn);

  it("are ours: MCC and uniqueness", () => {
    expect(meanCorrelation(matchDirections(cosines, munkres))).toBeCloseTo(0.6723413, 6);
    expect(uniqueness(bestMatches(cosines))).toBe(0.5);
  });

  it("are ours: precision, recall, F1", () => {
    const counts = emptyDetections(bestMatches(cosines), features);
    const indices = (values: Float32Array) =>
      [...values].flatMap((value, index) => (value > 0 ? [index] : []));
    for (let row = 0; row < rows; row++) {
      const on = indices(active.subarray(row * latents, (row + 1) * latents));
      countDetections(
        counts,
        on,
        0,
        on.length,
        indices(present.subarray(row * features, (row + 1) * features)),
      );
    }
    const { precision, recall, f1 } = detectionMetrics(counts);
    expect(precision).toBeCloseTo(0.1167167, 6);
    expect(recall).toBeCloseTo(0.1574471, 6);
    expect(f1).toBeCloseTo(0.1335521, 6);
  });

  it("are ours: shrinkage", () => {
    const sums = emptyReconstructionSums();
    addReconstructions(sums, x, y, rows, dIn);
    expect(reconstructionMetrics(sums).shrinkage).toBeCloseTo(1.0044592, 6);
  });
});
