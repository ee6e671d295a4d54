/**
 * Trained models in sae-lens itself, on raw rows of a real corpus: what training saw on scaled rows, Python must
 * see on raw ones. Needs a Python with sae-lens: set SPARSELOOM_PYTHON (default `python3`).
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
import { train } from "../src/train.ts";
import { writePairedColumns } from "./paired-columns.ts";
import { temporaryFolder } from "./support.ts";

const PYTHON = process.env["SPARSELOOM_PYTHON"] ?? "python3";
const CHECK = fileURLToPath(new URL("../../../packages/interop/check/check-saelens.ts", import.meta.url));
const folder = temporaryFolder();

const RUNS: Record<string, TrainRequest> = {
  "topk, centred and scaled": { arch: "topk", k: 6, init: "data" },
  "topk that sees x itself": { arch: "topk", k: 6, init: "data", applyBDecToInput: false },
  "batch-topk, centred and scaled": { arch: "batch-topk", k: 6 },
  "batch-topk that sees x itself, folded to unit rows": {
    arch: "batch-topk",
    k: 6,
    applyBDecToInput: false,
    fold: "unit",
    normalize: "unit-mean-square",
  },
  matryoshka: { arch: "matryoshka", k: 6 },
  "jumprelu, centred and scaled": { arch: "jumprelu", l0: 0.1, bandwidth: 0.5, initThreshold: 0.5 },
  "jumprelu that sees x itself, folded to unit rows": {
    arch: "jumprelu",
    l0Penalty: "tanh",
    l0: 0.1,
    bandwidth: 0.5,
    applyBDecToInput: false,
    fold: "unit",
  },
  "gated, centred and scaled": { arch: "gated", l1: 0.3 },
  "gated that sees x itself, folded to unit rows": {
    arch: "gated",
    l1: 0.3,
    fold: "unit",
    applyBDecToInput: false,
    normalize: "unit-mean-square",
  },
  "relu with a free decoder": { arch: "relu", l1: 0.3, normalize: "unit-mean-square" },
  "relu with a unit decoder that sees x itself": {
    arch: "relu",
    l1: 0.3,
    decoder: "unit",
    applyBDecToInput: false,
  },
};

/** Of raw rows that are not centred, and of targets of another scale. */
const TRANSCODERS: Record<string, TrainRequest> = {
  "relu transcoder": { arch: "relu", l1: 0.1 },
  "relu transcoder, not centred": { arch: "relu", l1: 0.1, decoder: "unit", center: false },
  "batch-topk transcoder": { arch: "batch-topk", k: 4 },
  "skip transcoder, not centred": { arch: "relu", l1: 0.1, skip: true, center: false },
  "batch-topk skip transcoder, folded to unit rows": { arch: "batch-topk", k: 4, skip: true, fold: "unit" },
  "jumprelu transcoder, folded to unit rows": {
    arch: "jumprelu",
    l0: 0.05,
    bandwidth: 0.5,
    initThreshold: 0.5,
    fold: "unit",
    normalize: "unit-mean-square",
  },
};

it("sae-lens encodes and decodes trained models as we do", async (context) => {
  const rows = join(folder, "rows.safetensors");
  await using corpus = await openCorpus([DEMO_CORPUS], {});
  const sample = await sampleRows(corpus, { seed: 1, rows: 256 });
  const x = { shape: [sample.rows, corpus.dIn], data: sample.values };
  await writeFile(rows, encodeSafetensors({ x }));

  const models: string[] = [];
  for (const [name, request] of Object.entries(RUNS)) {
    const options = checkTrainRequest({ ...request, latents: 256, batch: 256, examples: 10_240, lr: 4e-3 });
    const out = join(folder, name);
    // A model that has learned nothing would agree too easily.
    expect((await train([DEMO_CORPUS], options, out)).fvu).toBeLessThan(0.7);
    models.push(join(out, "model"));
  }

  const paired = join(folder, "paired.arrow");
  await writePairedColumns(paired, 4000);
  const ownRows: string[] = [];
  for (const [name, request] of Object.entries(TRANSCODERS)) {
    const common = { column: "before", target: "after", latents: 64, batch: 100, examples: 12_000, lr: 1e-2 };
    const out = join(folder, name);
    expect((await train([paired], checkTrainRequest({ ...common, ...request }), out)).fvu).toBeLessThan(0.9);
    ownRows.push(join(out, "model"));
  }
  await using pairs = await openCorpus([paired], { column: "before" });
  const before = join(folder, "before.safetensors");
  const inputs = await sampleRows(pairs, { seed: 1, rows: 256 });
  await writeFile(before, encodeSafetensors({ x: { shape: [inputs.rows, pairs.dIn], data: inputs.values } }));

  const check = (of: string, folders: readonly string[]) =>
    promisify(execFile)(process.execPath, [CHECK, "--python", PYTHON, "--rows", of, ...folders], {
      timeout: 300_000,
    });
  const transcoders = await check(before, ownRows);
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [CHECK, "--python", PYTHON, "--rows", rows, ...models],
    { timeout: 300_000 },
  );
  const lines = stdout.trim().split("\n");
  if (lines[0]?.startsWith("skipped:")) context.skip(lines[0]);
  expect(lines).toEqual(models.map(() => expect.stringMatching(/^ok: .* 256 rows/)));
  expect(transcoders.stdout.trim().split("\n")).toEqual(
    ownRows.map(() => expect.stringMatching(/^ok: .*transcoder .* 256 rows/)),
  );
}, 360_000);
