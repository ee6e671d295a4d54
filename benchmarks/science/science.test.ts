/** bench:science at sizes of seconds: that every path is gone, and that verdicts follow from numbers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { decide, MODELS } from "./claims.ts";
import { FULL_SIZE, fullRuns } from "./full.ts";
import { type Measured, type ModelLine, nextPenalty, spreadOf, type System } from "./measures.ts";
import { covarianceOf, eigenvectorsOf, principalAutoencoder, shuffleDimensions } from "./principal.ts";
import type { ScienceReport } from "./science.ts";
import { randomSource } from "../src/random.ts";

const RUN = join(import.meta.dirname, "run.ts");

const MEASURED: Measured = {
  l0: 5,
  mcc: 0.7,
  f1: 0.7,
  precision: 0.6,
  recall: 0.9,
  uniqueness: 0.9,
  explainedVariance: 0.8,
  dead: 0,
  trueL0: 7,
};

function line(
  study: string,
  model: string,
  runs: readonly Partial<Measured>[],
  system: System = "Sparseloom",
): ModelLine {
  return { study, model, system, runs: runs.map((run) => ({ ...MEASURED, ...run })) };
}

const LARGE = "SynthSAEBench";
const verdictOf = (lines: readonly ModelLine[], part: string): boolean | undefined => {
  const claim = decide({ lines, shared: [], wantedL0: 5 }).find(({ claim }) => claim.includes(part));
  assert.ok(claim !== undefined, part);
  return claim.holds;
};

await test("a bound on the toys is for every seed, not for the mean", () => {
  const verdict = (values: readonly number[]): boolean | undefined =>
    verdictOf(
      [
        line(
          "toy 1",
          MODELS.l1,
          values.map((mcc) => ({ mcc })),
        ),
      ],
      "toy 1, ReLU",
    );
  assert.equal(verdict([1, 1, 0.9991]), true);
  assert.equal(verdict([1, 1, 0.9985]), false);
});

await test("a gap in F1 counts only where both models are at the wanted L0", () => {
  const verdict = (f1: number, l0: number): boolean | undefined =>
    verdictOf(
      [line(LARGE, MODELS.matryoshka, [{ f1, l0 }]), line(LARGE, MODELS.batchTopK, [{}])],
      "Matryoshka BatchTopK ≥",
    );
  assert.equal(verdict(0.76, 5.1), true);
  assert.equal(verdict(0.74, 5.1), false);
  assert.equal(verdict(0.9, 5.2), false);
});

await test("PyTorch's mean F1 may differ by a hundredth, and is not judged where it is missing", () => {
  const ours = line(LARGE, MODELS.l1, [{ f1: 0.7 }, { f1: 0.72 }]);
  const theirs = (f1: number): ModelLine => line(LARGE, MODELS.l1, [{ f1 }, { f1 }], "PyTorch");
  assert.equal(verdictOf([ours, theirs(0.701)], "ReLU + L1: F1 within"), true);
  assert.equal(verdictOf([ours, theirs(0.725)], "ReLU + L1: F1 within"), false);
  assert.equal(verdictOf([ours], "ReLU + L1: F1 within"), undefined);
});

await test("training on rows without features must find no more than no training", () => {
  const verdict = (mcc: number): boolean | undefined =>
    verdictOf(
      [
        line(LARGE, MODELS.batchTopK, [{}]),
        line(LARGE, MODELS.untrained, [{ f1: 0.04, mcc: 0.25 }], "control"),
        line(LARGE, MODELS.shuffled, [{ f1: 0.05, mcc }], "control"),
      ],
      "shuffled",
    );
  assert.equal(verdict(0.27), true);
  assert.equal(verdict(0.5), false);
});

await test("the search for λ finds a wanted L0 that falls as λ rises", () => {
  const l0Of = (l1: number): number => 12 / (1 + l1 ** 1.4);
  const tried = [{ l1: 0.2, l0: l0Of(0.2) }];
  while (Math.abs(tried.at(-1)!.l0 / 5 - 1) > 0.01 && tried.length < 8) {
    const l1 = nextPenalty(tried, 5);
    tried.push({ l1, l0: l0Of(l1) });
  }
  assert.ok(tried.length < 8, JSON.stringify(tried));
});

await test("principal directions are eigenvectors of the covariance, and PCA-k has each with both signs", () => {
  const random = randomSource(3);
  const [dIn, count] = [6, 400];
  const rows = Float32Array.from({ length: count * dIn }, (_, i) => (random() - 0.5) * (1 + (i % dIn)) + 2);
  for (let row = 0; row < count; row++) rows[row * dIn] += rows[row * dIn + 5];
  const { mean, covariance } = covarianceOf(rows, dIn);
  const vectors = eigenvectorsOf(covariance, dIn);
  let above = Number.POSITIVE_INFINITY;
  for (let i = 0; i < dIn; i++) {
    const vector = vectors.subarray(i * dIn, (i + 1) * dIn);
    const image = vector.map((_, row) =>
      vector.reduce((sum, value, column) => sum + covariance[row * dIn + column] * value, 0),
    );
    const eigenvalue = image.reduce((sum, value, j) => sum + value * vector[j], 0);
    image.forEach((value, j) => assert.ok(Math.abs(value - eigenvalue * vector[j]) < 1e-9));
    assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-12 && eigenvalue <= above + 1e-12);
    above = eigenvalue;
  }
  const { latents, W_dec, W_enc, b_dec } = principalAutoencoder(rows, dIn, 2);
  assert.equal(latents, 2 * dIn);
  for (let i = 0; i < dIn * dIn; i++) assert.equal(W_dec[dIn * dIn + i], -W_dec[i]);
  for (let j = 0; j < dIn; j++) assert.equal(W_enc[j * latents + 1], W_dec[dIn + j]);
  assert.deepEqual(b_dec, Float32Array.from(mean));
});

await test("shuffled dimensions keep their values and lose what rows had in common", () => {
  const rows = Float32Array.from({ length: 3000 }, (_, i) => Math.floor(i / 3));
  shuffleDimensions(rows, 3, randomSource(5));
  const column = (j: number): number[] => Array.from({ length: 1000 }, (_, row) => rows[row * 3 + j]);
  for (const j of [0, 1, 2])
    assert.deepEqual(
      column(j).toSorted((a, b) => a - b),
      Array.from({ length: 1000 }, (_, row) => row),
    );
  assert.ok(column(0).filter((value, row) => value === column(1)[row]).length < 20);
});

await test("mean and standard deviation are those of a sample", () => {
  assert.deepEqual(spreadOf([1, 2, 3]), { mean: 2, sd: 1 });
  assert.deepEqual(spreadOf([4]), { mean: 4, sd: 0 });
});

await test("the quick run goes through training, matching, controls and verdicts", () => {
  const folder = mkdtempSync(join(tmpdir(), "sparseloom-science-"));
  try {
    const json = join(folder, "report.json");
    const words = [RUN, "--quick", "--no-pytorch", "--workers", "1", "--json", json];
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^data +model +by +seeds +L0 +MCC +F1 /m);
    assert.match(stdout, /^SynthSAEBench +Matryoshka BatchTopK +Sparseloom +2 +2\.\d\d ± /m);
    assert.match(stdout, /^\d+ of \d+ claims hold, \d+ not measured$/m);
    const report = JSON.parse(readFileSync(json, "utf8")) as ScienceReport;
    assert.deepEqual(
      report.lines.map(({ model, system, runs }) => `${model}, ${system}: ${runs.length}`),
      [
        "BatchTopK, Sparseloom: 2",
        "ReLU + L1, Sparseloom: 2",
        "BatchTopK, Sparseloom: 2",
        "Matryoshka BatchTopK, Sparseloom: 2",
        "PCA-k, control: 1",
        "untrained, control: 2",
        "BatchTopK on shuffled dimensions, control: 2",
      ],
    );
    // What failed stands in the last lines, and is no failure of the command.
    const failed = report.claims.filter(({ holds }) => holds === false).map(({ claim }) => claim);
    assert.ok(failed.length > 0);
    for (const claim of failed) assert.ok(stdout.includes(`\ndoes not hold: ${claim}\n`), claim);
    for (const { runs } of report.lines) for (const run of runs) assert.ok(run.f1 >= 0 && run.l0 > 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

await test("the full run prints its commands with a predicted time, and with --run makes and measures the models", () => {
  const folder = mkdtempSync(join(tmpdir(), "sparseloom-science-"));
  try {
    const words = [RUN, "--full", "--quick", "--run", "--workers", "1", "--out", join(folder, "runs")];
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^BatchTopK +[\d.,]+ +2\.00 +[\d.,]+ s$/m);
    assert.match(stdout, /^pnpm sparseloom train synth:synthsaebench-16k:1\/256@\d+ .*--arch batch-topk /m);
    assert.match(stdout, /^synthsaebench-16k:1\/256 +BatchTopK +Sparseloom +1 +2\.\d\d ± 0\.00 /m);
    for (const arch of ["relu", "batch-topk"])
      assert.ok(readFileSync(join(folder, "runs", arch, "result.json"), "utf8").includes('"complete": true'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

await test("the published run has 200 million rows in one pass, beside those held out", () => {
  const [run] = fullRuns(FULL_SIZE, "runs");
  const rows = Number(/@(\d+)$/.exec(run.corpus)![1]);
  assert.ok(0.9995 * rows > 200_000_000 && rows < 201_000_000);
  const words = run.words.join(" ");
  assert.match(words, /--latents 4096 .*--batch 1024 --examples 200000000 --lr 0.0003 /);
});

await test("the command refuses what it does not know with one line and status 2", () => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [RUN, "--seeds", "1,1"], {
    encoding: "utf8",
  });
  assert.equal(status, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: .*different whole numbers, comma-separated\.\n$/);
});
