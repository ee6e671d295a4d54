/** Transcoders: one column rebuilt from another. The exported model must do on raw rows what training did on scaled ones. */
import { join } from "node:path";
import type { SparseAutoencoder } from "@sparseloom/core";
import { openCorpus } from "@sparseloom/data";
import { beforeAll, describe, expect, it } from "vitest";
import { evaluateModel } from "../src/eval/evaluate-model.ts";
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
  column: "before",
  target: "after",
  latents: 64,
  batch: 100,
  lr: 1e-2,
  examples: 12_050,
  seed: 2,
} satisfies TrainRequest;
const RECIPES: Record<string, TrainRequest> = {
  topk: { arch: "topk", k: 4 },
  "topk, not centred, with AuxK": { arch: "topk", k: 3, center: false, auxK: 4, deadWindow: 500 },
  "batch-topk": { arch: "batch-topk", k: 4 },
  relu: { arch: "relu", l1: 0.1 },
  "relu with unit decoder": { arch: "relu", l1: 0.05, decoder: "unit", normalize: "unit-mean-square" },
  "topk with skip": { arch: "topk", k: 4, skip: true },
  "relu with skip, not centred, clipped": {
    arch: "relu",
    l1: 0.1,
    skip: true,
    center: false,
    clipNorm: 1,
    optimizer: "signum",
    lr: 1e-3,
  },
  "batch-topk with skip": { arch: "batch-topk", k: 4, skip: true, ema: 0.9 },
  "topk with skip, by Muon": { arch: "topk", k: 4, skip: true, optimizer: "muon", lr: 1e-2 },
  jumprelu: { arch: "jumprelu", l0: 0.05, bandwidth: 0.5, initThreshold: 0.5 },
};

describe("options of a transcoder", () => {
  it("follow from its target where they are not given", () => {
    const request: TrainRequest = { ...COMMON, k: 4 };
    expect(checkTrainRequest(request)).toMatchObject({
      applyBDecToInput: false,
      initBias: "mean",
      center: true,
    });
    expect(checkTrainRequest({ ...request, initBias: "zero" }).initBias).toBe("zero");
    // Which gives b_dec, too.
    expect(checkTrainRequest({ ...request, initFrom: "runs/first" }).initBias).toBe("median");
    const { column: _, target: __, ...autoencoder } = request;
    expect(checkTrainRequest(autoencoder)).toMatchObject({ applyBDecToInput: true, initBias: "median" });
  });
});

describe.each(Object.entries(RECIPES))("a transcoder, %s,", (name, recipe) => {
  const run = async (out: string, more: TrainRequest = {}) => {
    const request = checkTrainRequest({ ...COMMON, ...recipe, ...more });
    return await train([corpus], request, join(folder, `${name} ${out}`));
  };

  it("learns to rebuild the target, and its model does on raw rows what training did on scaled ones", async () => {
    const result = await run("learns", { evalRows: 100_000 });
    expect(result.fvu).toBeLessThan(0.9);
    const options = { split: "train", rows: 1e6, workers: 1 } as const;
    const found = await evaluateModel(result.runDirectory, [corpus], options);
    expect(Math.abs(found.fvu / result.fvu - 1)).toBeLessThan(1e-3);
    expect(Math.abs(found.l0 / result.l0 - 1)).toBeLessThan(1e-2);
    // And without a team: FVU of the target about its mean.
    const { model } = await readModel(result.runDirectory);
    await using both = await openCorpus([corpus], { column: ["before", "after"] });
    const bytes = new Uint8Array(both.rows * both.dIn * 4);
    for (const block of both.blocks)
      await both.readBlock(block, bytes.subarray(block.firstRow * both.dIn * 4));
    const rows = new Float32Array(bytes.buffer);
    const part = (from: number, width: number): Float32Array =>
      Float32Array.from(
        { length: both.rows * width },
        (_, i) => rows[Math.floor(i / width) * both.dIn + from + (i % width)] as number,
      );
    const rebuilt = (model as SparseAutoencoder).reconstruct(part(0, WIDTHS.before));
    const target = part(WIDTHS.before, WIDTHS.after);
    const mean = Array.from({ length: WIDTHS.after }, (_, j) =>
      target.reduce((sum, value, i) => sum + (i % WIDTHS.after === j ? value / both.rows : 0), 0),
    );
    const squares = (of: (i: number) => number): number =>
      target.reduce((sum, value, i) => sum + (value - of(i)) ** 2, 0);
    const fvu = squares((i) => rebuilt[i]!) / squares((i) => mean[i % WIDTHS.after]!);
    expect(Math.abs(fvu / result.fvu - 1)).toBeLessThan(0.05);
  });
});

it("a transcoder's folder is SAELens's, or has a name that it refuses; inspect opens both columns", async () => {
  for (const [recipe, architecture] of [
    [{ arch: "relu" }, "transcoder"],
    [{ arch: "batch-topk", k: 4 }, "jumprelu_transcoder"],
    [{ arch: "topk", k: 4 }, "topk_transcoder"],
    [{ arch: "relu", skip: true }, "skip_transcoder"],
  ] as const) {
    const out = join(folder, `folder ${architecture}`);
    const { runDirectory } = await train([corpus], checkTrainRequest({ ...COMMON, ...recipe }), out);
    const { cfg } = await readModel(runDirectory);
    expect(cfg).toMatchObject({ architecture, d_in: 12, d_out: 9, d_sae: 64, apply_b_dec_to_input: false });
    const report = await inspect(runDirectory, [corpus], { features: 3, top: 4, rows: 4000, workers: 1 });
    expect(report.features.length).toBe(3);
  }
});

it.each([
  [{ target: "after" }, "--target needs --column"],
  [{ column: "before", skip: true }, "--skip needs --target"],
  [{ column: "a", target: "a" }, "--target and --column are both a"],
  [{ column: "a", target: "b", columns: ["a", "b"] }, "--column and --columns contradict each other"],
  [{ column: "a", target: "b", units: "none" }, "--units does not go with --target"],
  [{ column: "a", target: "b", initEncoder: "tied" }, "--init-encoder of a --target must be random"],
  [{ column: "a", target: "b", applyBDecToInput: true }, "--apply-b-dec-to-input does not go with --target"],
] as const)("refuses %o", (request, message) => {
  expect(() => checkTrainRequest(request)).toThrow(message);
});
