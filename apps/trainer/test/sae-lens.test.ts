/**
 * Trained models in sae-lens itself, on raw rows: what training saw on scaled rows, Python must see on raw ones. Every
 * architecture that SAELens has, under every scaling, centred or not. Needs a Python with sae-lens: set
 * SPARSELOOM_PYTHON (default `python3`).
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { encodeSafetensors } from "@sparseloom/core";
import { openCorpus, sampleRows } from "@sparseloom/data";
import { expect, it } from "vitest";
import { DEMO_CORPUS } from "../src/commands/demo.ts";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { train, trainTogether } from "../src/train.ts";
import { writePairedColumns } from "./paired-columns.ts";
import { temporaryFolder } from "./support.ts";

const PYTHON = process.env["SPARSELOOM_PYTHON"] ?? "python3";
const CHECK = fileURLToPath(new URL("../../../packages/interop/check/check-saelens.ts", import.meta.url));
const folder = temporaryFolder();

/** On activations of a real model; what has learned nothing would agree too easily. */
const RUNS: Record<string, TrainRequest> = {
  topk: { arch: "topk", k: 6, init: "data" },
  "batch-topk that sees x itself, folded to unit rows": {
    arch: "batch-topk",
    k: 6,
    applyBDecToInput: false,
    fold: "unit",
  },
  jumprelu: { arch: "jumprelu", l0: 0.1, bandwidth: 0.5, initThreshold: 0.5 },
  gated: { arch: "gated", l1: 0.3 },
  "relu with a free decoder": { arch: "relu", l1: 0.3 },
};

const SCALINGS = (["none", "sqrt-d", "unit-mean-square"] as const).flatMap((normalize) =>
  [true, false].map((center) => ({ normalize, center })),
);
/** LayerNorm is not folded, and SAELens does not undo it in transcoders. */
const LAYER_NORM = { normalize: "layer-norm", center: false } as const;
const FOLDS = ["scale", "unit"] as const;
const DICTIONARIES: readonly TrainRequest[] = [
  { arch: "topk", k: 4 },
  { arch: "batch-topk", k: 4 },
  { arch: "matryoshka", k: 4 },
  { arch: "jumprelu", l0: 0.01, bandwidth: 0.5, initThreshold: 0.5 },
  { arch: "relu", l1: 0.03 },
  { arch: "relu", l1: 0.03, decoder: "unit" },
  { arch: "gated", l1: 0.03 },
];
/** SAELens has transcoders of ReLU and JumpReLU, as which those of one threshold are written, too. */
const TRANSCODERS = DICTIONARIES.filter(({ arch }) => arch !== "topk" && arch !== "gated");

/** What is trained in one pass under a scaling: autoencoders of a column, or transcoders from it to another. */
const PASSES: Readonly<Record<string, readonly TrainRequest[]>> = {
  autoencoders: DICTIONARIES.flatMap((dictionary) =>
    FOLDS.flatMap((fold) =>
      [true, false].map((applyBDecToInput) => ({ ...dictionary, fold, applyBDecToInput })),
    ),
  ),
  transcoders: TRANSCODERS.flatMap((dictionary) =>
    FOLDS.flatMap((fold) =>
      [true, false].map((skip) => ({ ...dictionary, fold, target: "before", ...(skip ? { skip } : {}) })),
    ),
  ),
};

/** A file with 256 raw rows of a corpus, or of one of its columns. */
async function writeRows(path: string, corpus: string, column?: string): Promise<string> {
  await using rows = await openCorpus([corpus], column === undefined ? {} : { column });
  const sample = await sampleRows(rows, { seed: 1, rows: 256 });
  const x = { shape: [sample.rows, rows.dIn], data: sample.values };
  await writeFile(path, encodeSafetensors({ x }));
  return path;
}

/** What the check says of each model, a line each. */
async function check(rows: string, models: readonly string[]): Promise<string[]> {
  const args = [CHECK, "--python", PYTHON, "--rows", rows, ...models];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 300_000 });
  return stdout.trim().split("\n");
}

it("sae-lens encodes and decodes models of a real corpus as we do", async (context) => {
  const rows = await writeRows(join(folder, "rows.safetensors"), DEMO_CORPUS);
  const models: string[] = [];
  for (const [name, request] of Object.entries(RUNS)) {
    const options = checkTrainRequest({ ...request, latents: 256, batch: 256, examples: 10_240, lr: 4e-3 });
    const out = join(folder, name);
    expect((await train([DEMO_CORPUS], options, out)).fvu).toBeLessThan(0.7);
    models.push(join(out, "model"));
  }
  const lines = await check(rows, models);
  if (lines[0]?.startsWith("skipped:")) context.skip(lines[0]);
  expect(lines).toEqual(models.map(() => expect.stringMatching(/^ok: .* 256 rows/)));
}, 360_000);

it("sae-lens encodes and decodes every architecture under every scaling as we do", async (context) => {
  const paired = join(folder, "paired.arrow");
  await writePairedColumns(paired, 2000);
  // Of the columns the one with the larger scale, and a mean far from 0.
  const rows = await writeRows(join(folder, "after.safetensors"), paired, "after");
  const models: string[] = [];
  for (const scaling of [...SCALINGS, LAYER_NORM]) {
    for (const [name, requests] of Object.entries(PASSES)) {
      if (scaling === LAYER_NORM && name === "transcoders") continue;
      const members = requests.map((request) => {
        const common = { column: "after", latents: 40, batch: 100, examples: 2000, lr: 1e-2, workers: 2 };
        const runDirectory = join(folder, `${name} ${JSON.stringify({ ...request, ...scaling })}`);
        return { options: checkTrainRequest({ ...common, ...request, ...scaling }), runDirectory };
      });
      await trainTogether([paired], members, {});
      models.push(...members.map(({ runDirectory }) => join(runDirectory, "model")));
    }
  }
  const lines = await check(rows, models);
  if (lines[0]?.startsWith("skipped:")) context.skip(lines[0]);
  const wrong = lines.flatMap((line, i) =>
    /^ok: .* 256 rows/.test(line) ? [] : [`${line} of ${models[i]}`],
  );
  expect(wrong).toEqual([]);
  expect(lines.length).toBe(SCALINGS.length * (28 + 20) + 28);
}, 360_000);
