/** Optimisers and averages as options of `train`: what a finished run is, and what is refused. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SparseAutoencoder } from "@sparseloom/core";
import { openCorpus, sampleRows } from "@sparseloom/data";
import { beforeAll, describe, expect, it } from "vitest";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { readModel } from "../src/run/model-folder.ts";
import type { TrainResult } from "../src/run/result.ts";
import { train } from "../src/train.ts";
import { runCli, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const corpus = join(folder, "toy.arrow");
beforeAll(async () => {
  const args = ["--d", "24", "--features", "48", "--rows", "12000", "--active", "3", "--seed", "1"];
  const { status } = await runCli(["corpus", "generate", corpus, ...args]);
  if (status !== 0) throw new Error("the corpus could not be generated");
});

const run = async (name: string, request: TrainRequest): Promise<TrainResult> => {
  const common = { latents: 96, k: 3, batch: 200, examples: 40_000, heldOut: 0.1 } as const;
  return await train([corpus], checkTrainRequest({ ...common, ...request }), join(folder, name));
};

describe("a run", () => {
  // As by Adam, which comes to 0.06; untrained it is 1.
  it.each([
    ["signum", { optimizer: "signum", lr: 2e-3 }],
    ["schedule-free signum", { optimizer: "signum-schedule-free", lr: 1e-2 }],
    ["muon", { optimizer: "muon", lr: 2e-2 }],
    ["adam with a moving average", { lr: 4e-3, ema: 0.99 }],
  ] as const)("by %s learns to reconstruct", async (name, request) => {
    const { heldOut } = await run(name, { examples: 120_000, ...request });
    expect(heldOut?.fvu).toBeLessThan(0.12);
  });

  it("is measured and exported at the average, not where it was trained last", async () => {
    const request = { optimizer: "signum-schedule-free", lr: 5e-3, momentum: 0.5, heldOut: 0 } as const;
    const result = await run("at-average", { ...request, encoder: "exact" });
    const { model } = await readModel(join(folder, "at-average"));
    if (!(model instanceof SparseAutoencoder)) throw new Error("not sparse");
    await using rows = await openCorpus([corpus], {});
    const { values } = await sampleRows(rows, { seed: 1, rows: 12_000 });
    const rebuilt = model.reconstruct(values);
    const mean = new Float64Array(24);
    values.forEach((value, i) => (mean[i % 24]! += value / 12_000));
    const error = rebuilt.reduce((sum, value, i) => sum + (value - values[i]!) ** 2, 0);
    const variance = values.reduce((sum, value, i) => sum + (value - mean[i % 24]!) ** 2, 0);
    expect(result.fvu).toBeCloseTo(error / variance, 2);
    // The last steps' error is of where gradients were taken; in a run this short the average lags behind.
    const { fvu } = await lastLine(join(folder, "at-average"));
    expect(result.fvu).toBeGreaterThan(1.1 * (fvu ?? Number.NaN));
  });
});

async function lastLine(directory: string): Promise<Record<string, number>> {
  const lines = (await readFile(join(directory, "metrics.jsonl"), "utf8")).trim().split("\n");
  return JSON.parse(lines.at(-1) as string) as Record<string, number>;
}

it("the log has the largest norm of gradients that are clipped, and none otherwise", async () => {
  await run("clipped", { clipNorm: 1e-3, lr: 1e-3, examples: 4000 });
  expect((await lastLine(join(folder, "clipped")))["gradientNorm"]).toBeGreaterThan(0.1);
  await run("plain", { lr: 1e-3, examples: 4000 });
  expect(await lastLine(join(folder, "plain"))).not.toHaveProperty("gradientNorm");
});

it("an automatic learning rate is printed with what it was found for", async () => {
  const out = join(folder, "automatic");
  const shape = ["--latents", "64", "--k", "3", "--batch", "200", "--examples", "1000", "--out", out];
  const { stderr } = await runCli(["train", corpus, ...shape, "--optimizer", "signum-schedule-free"]);
  expect(stderr).toContain(
    "signum-schedule-free, learning rate 0.0800 (auto; found for TopK at mini-batches of 65,000 rows and more)",
  );
});

it("what Muon costs is printed", async () => {
  const out = join(folder, "cost");
  const shape = ["--latents", "96", "--k", "3", "--batch", "200", "--examples", "400", "--out", out];
  const { stderr } = await runCli(["train", corpus, ...shape, "--optimizer", "muon"]);
  // 2·2·(2·96·24² + 17·24³) operations; the encoder's product has 2·200·96·24.
  expect(stderr).toContain("muon (0.00138 GFLOP more per step, 1.5 times the encoder's product)");
  expect(stderr).toContain("learning rate 0.00200 (auto; found for TopK");
});

it.each([
  [{ beta1: 0.5, optimizer: "signum" }, "--beta1 is for --optimizer adam, not for signum"],
  [{ weightDecay: 0.1, optimizer: "signum" }, "--weight-decay is for --optimizer muon, not for signum"],
  [{ momentum: 0.5 }, "--momentum is for the other optimizers: adam has --beta1"],
  [{ momentum: 1, optimizer: "signum" }, "--momentum must be below 1, got 1"],
  [{ ema: 1 }, "--ema must be below 1, got 1"],
  [{ clipNorm: 0 }, "--clip-norm must be above 0, got 0"],
  [
    { optimizer: "signum-schedule-free", lrDecay: 10 },
    "--lr-decay is not for --optimizer signum-schedule-free: averaging takes the place of a decay",
  ],
  [
    { optimizer: "signum-schedule-free", lrSchedule: "cosine" },
    "--lr-schedule is not for --optimizer signum-schedule-free: averaging takes the place of a decay",
  ],
  [
    { optimizer: "signum-schedule-free", ema: 0.9 },
    "--ema is not for --optimizer signum-schedule-free: its model is an average already",
  ],
  [{ optimizer: "sgd" }, '--optimizer must be adam or signum or signum-schedule-free or muon, got "sgd"'],
])("refuses %o", (request, message) => {
  expect(() => checkTrainRequest(request)).toThrow(message);
});
