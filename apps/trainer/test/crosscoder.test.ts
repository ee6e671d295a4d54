/** Crosscoders: one dictionary over several columns. Features that two columns share are found and rebuilt in both. */
import { join } from "node:path";
import type { SparseAutoencoder } from "@sparseloom/core";
import { beforeAll, describe, expect, it } from "vitest";
import { evaluateModel } from "../src/eval/evaluate-model.ts";
import { describeFeatures } from "../src/commands/inspect.ts";
import { inspect } from "../src/inspect.ts";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { readModel } from "../src/run/model-folder.ts";
import { train } from "../src/train.ts";
import { WIDTHS, writePairedColumns } from "./paired-columns.ts";
import { temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const corpus = join(folder, "paired.arrow");
beforeAll(() => writePairedColumns(corpus, 4000));

const COMMON = {
  columns: ["before", "after"],
  latents: 48,
  batch: 100,
  lr: 1e-2,
  examples: 12_000,
  seed: 2,
} satisfies TrainRequest;
const RECIPES: Record<string, TrainRequest> = {
  topk: { arch: "topk", k: 4 },
  "batch-topk": { arch: "batch-topk", k: 4 },
  relu: { arch: "relu", l1: 0.3 },
  jumprelu: { arch: "jumprelu", l0: 0.1, bandwidth: 0.5, initThreshold: 0.5 },
  "topk that sees x itself": { arch: "topk", k: 4, applyBDecToInput: false },
};

describe.each(Object.entries(RECIPES))("a crosscoder, %s,", (name, recipe) => {
  const run = async (out: string, more: TrainRequest = {}) => {
    const request = checkTrainRequest({ ...COMMON, ...recipe, ...more });
    return await train([corpus], request, join(folder, `${name} ${out}`));
  };

  it("rebuilds both columns, and its model rebuilds raw rows as training did scaled ones", async () => {
    const result = await run("rebuilds");
    expect(result.fvu).toBeLessThan(0.3);
    const options = { split: "all", rows: 1e6, workers: 1 } as const;
    const found = await evaluateModel(result.runDirectory, [corpus], options);
    expect(found.columns?.map((column) => column.name)).toEqual(["before", "after"]);
    for (const { fvu } of found.columns ?? []) expect(fvu).toBeLessThan(0.35);
    // Scaled by √d over their mean norm, both columns have about the same variance per dimension.
    const [before, after] = found.columns ?? [];
    const mean = (WIDTHS.before * before!.fvu + WIDTHS.after * after!.fvu) / (WIDTHS.before + WIDTHS.after);
    expect(Math.abs(mean / result.fvu - 1)).toBeLessThan(0.1);
  });
});

it("a crosscoder's folder names the columns, is read again, and inspect shows its features", async () => {
  const request = checkTrainRequest({ ...COMMON, arch: "topk", k: 4 });
  const { runDirectory } = await train([corpus], request, join(folder, "read"));
  const { model, cfg } = await readModel(runDirectory);
  expect(cfg).toMatchObject({ architecture: "crosscoder", activation: "topk", d_in: 21, d_sae: 48, k: 4 });
  expect(cfg["columns"]).toEqual([
    { name: "before", d_in: 12 },
    { name: "after", d_in: 9 },
  ]);
  expect((model as SparseAutoencoder).parts.columns).toEqual([
    { name: "before", dIn: 12 },
    { name: "after", dIn: 9 },
  ]);
  const report = await inspect(runDirectory, [corpus], { features: 3, top: 4, rows: 4000, workers: 1 });
  expect(report.features.length).toBe(3);
  for (const { latent, columnNorms } of report.features) {
    const row = (model as SparseAutoencoder).parts.W_dec.subarray(latent * 21, (latent + 1) * 21);
    expect(columnNorms?.["before"]).toBeCloseTo(Math.hypot(...row.subarray(0, 12)), 5);
    expect(columnNorms?.["after"]).toBeCloseTo(Math.hypot(...row.subarray(12)), 5);
  }
  expect(describeFeatures(report)).toMatch(/coherence +‖W_dec‖ before +‖W_dec‖ after +top/);
  const options = { split: "all", rows: 100, workers: 1 } as const;
  await expect(evaluateModel(runDirectory, [corpus], { ...options, column: "before" })).rejects.toThrow(
    "reads 2 columns (before, after): give as many with --columns, or none",
  );
});

it.each([
  [{ column: "a", columns: ["a", "b"] }, "--column and --columns contradict each other"],
  [{ columns: ["a"] }, "--columns must be a list of at least 2"],
  [{ columns: ["a", "b"], units: "none" }, "--units does not go with --columns"],
  [{ arch: "autoencoder", widths: [4, 2, 4], columns: ["a", "b"] }, "--columns is for --arch topk"],
] as const)("refuses %o", (request, message) => {
  expect(() => checkTrainRequest(request)).toThrow(message);
});
