/**
 * Held-out rows measured in the course of a run (`--eval-every`): the run is to the byte what it is without, and its log
 * the same wherever it stopped and whoever worked on it.
 */
import { readFileSync } from "node:fs";
import { appendFile, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { evaluateModel } from "../src/eval/evaluate-model.ts";
import { exportCheckpoint } from "../src/export.ts";
import { expandGrid } from "../src/group/grid.ts";
import { resumeGroup, trainGroup } from "../src/group/train-group.ts";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { Progress } from "../src/progress.ts";
import { readRunConfig } from "../src/run/config.ts";
import type { StepMetrics } from "../src/run/metrics-log.ts";
import type { TrainResult } from "../src/run/result.ts";
import type { TrainHooks } from "../src/session.ts";
import { resume, train } from "../src/train.ts";
import { writePairedColumns } from "./paired-columns.ts";
import { runCli, stateBytes, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (...names: string[]): string => join(folder, ...names);
const corpus = at("corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus, 3000, 6));

const STEPS = 60;
/** About 300 rows are held out, in documents: five mini-batches, the last of them short. */
const COMMON = {
  latents: 60,
  batch: 64,
  examples: STEPS * 64,
  heldOut: 0.1,
  lr: 1e-2,
  seed: 3,
  workers: 2,
  logEvery: 4,
  checkpointEvery: 10,
} satisfies TrainRequest;
/** Selected by a threshold that moves; most latents are dead after a few steps. */
const BATCHED = {
  ...COMMON,
  arch: "batch-topk",
  latents: 200,
  k: 2,
  auxK: 9,
  deadWindow: 300,
} satisfies TrainRequest;
const EVERY = { evalEvery: 7 } as const;

async function run(name: string, request: TrainRequest, hooks: TrainHooks = {}): Promise<TrainResult> {
  return await train([corpus], checkTrainRequest(request), at(name), hooks);
}

function linesOf(...names: string[]): StepMetrics[] {
  const text = readFileSync(at(...names, "metrics.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as StepMetrics);
}

/** A run's log without what depends on the clock. */
function logOf(...names: string[]): object[] {
  return linesOf(...names).map((line) => {
    const { activationsPerSecond: _, elapsedMs: __, ...rest } = line;
    return rest;
  });
}

const evaluationsOf = (...names: string[]) =>
  linesOf(...names).flatMap(({ step, heldOut }) => (heldOut === undefined ? [] : [{ step, ...heldOut }]));

async function expectSameBytes(name: string, other: string, step = STEPS): Promise<void> {
  expect((await stateBytes(at(name), step)).equals(await stateBytes(at(other), step)), "state").toBe(true);
  const [weights, expected] = await Promise.all(
    [name, other].map((one) => readFile(at(one, "model", "sae_weights.safetensors"))),
  );
  expect(weights?.equals(expected as Buffer), "model").toBe(true);
}

describe("a BatchTopK run with AuxK, measured every seven steps,", () => {
  beforeAll(async () => {
    await run("plain", BATCHED);
    await run("measured", { ...BATCHED, ...EVERY });
  });

  it("has the bytes of one that is not", async () => {
    await expectSameBytes("measured", "plain");
    const cfg = (name: string) => readFileSync(at(name, "model", "cfg.json"), "utf8");
    expect(cfg("measured")).toBe(cfg("plain"));
    const dead = linesOf("plain").map((line) => line.dead);
    expect(Math.max(...dead)).toBeGreaterThan(10);
  });

  it("logs the figures with the training rows' at each of these steps and at the end, once", () => {
    const evaluated = evaluationsOf("measured");
    expect(evaluated.map(({ step }) => step)).toEqual([7, 14, 21, 28, 35, 42, 49, 56, 60]);
    const rows = new Set(evaluated.map((evaluation) => evaluation.rows));
    expect([...rows][0]).toBeGreaterThan(4 * 64);
    expect(rows.size).toBe(1);
    for (const { loss, mse, l0, overBatch } of evaluated) {
      expect(loss).toBeCloseTo(mse, 9);
      // The moving threshold begins with that of the first step, which is too high for the next ones.
      expect(overBatch?.l0).toBe(2);
      expect(l0).toBeLessThan(2);
    }
    expect(evaluated.at(-1)!.overBatch!.fvu).toBeLessThan(0.9 * evaluated[0]!.overBatch!.fvu);
    const steps = linesOf("measured").map(({ step }) => step);
    const multiples = Array.from({ length: 15 }, (_, i) => 4 * (i + 1));
    expect(steps).toEqual([...new Set([...multiples, 7, 14, 21, 35, 42, 49])].sort((a, b) => a - b));
  });

  it("is measured alike by any number of workers, either encoder and the reference kernels", async () => {
    const ways = {
      "one worker": { workers: 1, encoder: "exact" },
      "three workers": { workers: 3, encoder: "screened" },
      reference: { workers: 2, kernels: "reference" },
    } as const;
    for (const [name, way] of Object.entries(ways)) {
      await run(name, { ...BATCHED, ...EVERY, ...way });
      expect(evaluationsOf(name), name).toEqual(evaluationsOf("measured"));
      await expectSameBytes(name, "plain");
    }
  });

  it.each([
    ["between two measurements", 24],
    ["at one", 28],
    ["after one, at a checkpoint", 30],
  ])("has the same log when it is stopped %s and resumed", async (name, stopAt) => {
    await run(name, { ...BATCHED, ...EVERY, stopAt });
    await resume(at(name), { workers: 3 });
    expect(logOf(name)).toEqual(logOf("measured"));
    await expectSameBytes(name, "plain");
  });

  it("has the same log when a session got further than its last checkpoint, and its last line was cut off", async () => {
    await run("crashed", { ...BATCHED, ...EVERY, stopAt: 37 });
    await rm(at("crashed", "checkpoints", "37"), { recursive: true });
    const cut = '{"step":30,"examples":2688,"heldOut":{"rows":300,"loss":1}';
    await appendFile(at("crashed", "metrics.jsonl"), cut);
    await resume(at("crashed"), {});
    expect(logOf("crashed")).toEqual(logOf("measured"));
    await expectSameBytes("crashed", "plain");
  });

  it.each([
    ["whose checkpoint is of the same step", "checkpoint-of-28"],
    ["whose log was lost", "log-of-28"],
  ])("measures a step again %s, and goes on", async (_, name) => {
    await run(name, { ...BATCHED, ...EVERY, checkpointEvery: 28, stopAt: 28 });
    if (name === "log-of-28") await rm(at(name, "metrics.jsonl"));
    await resume(at(name), {});
    const later = evaluationsOf("measured").filter(({ step }) => name !== "log-of-28" || step >= 28);
    expect(evaluationsOf(name)).toEqual(later);
    await expectSameBytes(name, "plain");
  });
});

it.each([
  ["by the signal of its last step", STEPS],
  ["in the middle", 28],
])("a run that is asked to stop %s is measured there when it goes on", async (name, step) => {
  await run(`${name}, whole`, { ...BATCHED, ...EVERY, logEvery: 1 });
  const controller = new AbortController();
  // The line before: by then the step itself is on its way or done.
  const onMetrics = (metrics: StepMetrics): void => {
    if (metrics.step === step - 1) controller.abort();
  };
  const options = { ...BATCHED, ...EVERY, logEvery: 1 };
  const { complete } = await run(name, options, { signal: controller.signal, onMetrics });
  expect(complete).toBe(false);
  await resume(at(name), {});
  expect(logOf(name)).toEqual(logOf(`${name}, whole`));
  await expectSameBytes(name, `${name}, whole`);
});

describe("runs in one pass", () => {
  const grid = () => expandGrid({ ...BATCHED, ...EVERY, seed: undefined, seeds: [3, 4], k: [2, 3] });

  it("are each measured, and trained, as alone", async () => {
    const { models } = await trainGroup([corpus], grid(), at("group"));
    await run("alone", { ...BATCHED, ...EVERY, k: 3, seed: 4, dataSeed: 3, workers: 1 });
    await run("alone, not measured", { ...BATCHED, k: 3, seed: 4, dataSeed: 3 });
    const member = join("group", "k-3_seed-4");
    expect(logOf(member)).toEqual(logOf("alone"));
    await expectSameBytes(member, "alone");
    await expectSameBytes(member, "alone, not measured");
    const found = models.find(({ name }) => name === "k-3_seed-4")?.lastEvaluation;
    expect(found).toEqual(evaluationsOf("alone").at(-1));
  });

  it("go on alike when asked to stop while one has been measured and the others have not", async () => {
    const controller = new AbortController();
    const { complete } = await trainGroup([corpus], grid(), at("stopped-group"), {
      signal: controller.signal,
      onMetrics({ step, heldOut }) {
        if (step === 21 && heldOut !== undefined) controller.abort();
      },
    });
    expect(complete).toBe(false);
    const measured = grid().filter(
      ({ name }) => linesOf("stopped-group", name).at(-1)?.heldOut !== undefined,
    );
    expect(measured).toHaveLength(1);
    await resumeGroup(at("stopped-group"), {});
    for (const { name } of grid()) {
      expect(logOf("stopped-group", name)).toEqual(logOf("group", name));
      await expectSameBytes(join("stopped-group", name), join("group", name));
    }
  });
});

it("a model whose figures are not numbers is given up, and the others go on", async () => {
  const request = { ...COMMON, seed: undefined, k: 3, lr: [1e-2, 1e38], evalEvery: 1, batch: 640 };
  const { models, diverged } = await trainGroup([corpus], expandGrid(request), at("diverging"));
  expect(diverged).toMatchObject([
    { reason: "the model's output on held-out rows is not a number after step 1: try a smaller --lr" },
  ]);
  expect(models.map(({ complete, lastEvaluation }) => [complete, lastEvaluation?.step])).toEqual([[true, 6]]);
});

describe("what is measured", () => {
  it("at the end is what the result has of the same rows, and `eval` finds", async () => {
    const { heldOut, lastEvaluation } = await run("topk", { ...COMMON, k: 3, ...EVERY });
    expect(lastEvaluation).toMatchObject({ step: STEPS, rows: heldOut?.rows, l0: heldOut?.l0 });
    expect(lastEvaluation?.mse).toBeCloseTo(heldOut?.mse as number, 9);
    expect(lastEvaluation?.fvu).toBeCloseTo(heldOut?.fvu as number, 9);
    const { transform } = await readRunConfig(at("topk"));
    const options = { split: "held-out", rows: 1e6, workers: 1 } as const;
    const found = await evaluateModel(at("topk"), [corpus], options);
    expect([found.rows, found.l0]).toEqual([lastEvaluation?.rows, lastEvaluation?.l0]);
    expect(found.mse * transform.scale ** 2).toBeCloseTo(lastEvaluation?.mse as number, 4);
    // `eval` takes the mean of all rows, training that of the training rows.
    expect(found.fvu / (lastEvaluation?.fvu as number)).toBeCloseTo(1, 2);
  });

  it("of a step is the model that its checkpoint has: an average, by its moving threshold", async () => {
    const request = { ...BATCHED, ema: 0.95, ...EVERY, checkpointEvery: 14, stopAt: 28 } as const;
    const { lastEvaluation, heldOut } = await run("checkpoint", request);
    expect(heldOut).toBeUndefined();
    await exportCheckpoint(at("checkpoint"), at("exported"));
    const { transform } = await readRunConfig(at("checkpoint"));
    const options = { split: "held-out", rows: 1e6, workers: 1 } as const;
    const found = await evaluateModel(at("exported"), [corpus], options);
    expect(lastEvaluation).toMatchObject({ step: 28, rows: found.rows });
    expect(found.l0).toBeCloseTo(lastEvaluation?.l0 as number, 2);
    expect((found.mse * transform.scale ** 2) / (lastEvaluation?.mse as number)).toBeCloseTo(1, 4);
  });

  it("of BatchTopK, before there is a threshold, is selected over mini-batches", async () => {
    const result = await run("warm-up", { ...BATCHED, lrWarmup: 20, threshold: "ema", ...EVERY });
    const evaluated = evaluationsOf("warm-up");
    expect(evaluated.map(({ l0 }) => l0 === 2)).toEqual([true, true, ...Array<boolean>(7).fill(false)]);
    expect(evaluated[0]).toMatchObject(evaluated[0]!.overBatch!);
    // Afterwards as the result is: by the threshold, and over mini-batches.
    const { heldOut, overBatch, lastEvaluation } = result;
    expect(lastEvaluation?.l0).toBe(heldOut?.l0);
    expect(lastEvaluation?.fvu).toBeCloseTo(heldOut?.fvu as number, 9);
    expect(lastEvaluation?.overBatch?.fvu).toBeCloseTo(overBatch?.heldOut?.fvu as number, 9);
  });

  it("is a loss with the penalty of the step", async () => {
    const relu = { ...COMMON, arch: "relu", l1: 0.5, l1Warmup: 0, decoder: "unit", ...EVERY } as const;
    await run("relu", relu);
    for (const { loss, mse } of evaluationsOf("relu")) expect(loss).toBeGreaterThan(mse + 0.1);
  });

  it("is a sample of as many rows as are asked for, the first of those that the result is measured on", async () => {
    const { heldOut } = await run("sampled", { ...COMMON, k: 3, ...EVERY, evalSample: 100, evalRows: 100 });
    const last = evaluationsOf("sampled").at(-1)!;
    expect([last.rows, heldOut?.rows]).toEqual([100, 100]);
    expect(last.mse).toBeCloseTo(heldOut?.mse as number, 9);
  });

  it("leaves out what row filters leave out", async () => {
    const filtered = { ...COMMON, k: 3, ...EVERY, where: "document < 250" };
    const { heldOut, lastEvaluation } = await run("filtered", filtered);
    expect(lastEvaluation?.rows).toBe(heldOut?.rows);
    expect(lastEvaluation?.rows).toBeLessThan(evaluationsOf("topk")[0]!.rows);
    expect(lastEvaluation?.fvu).toBeCloseTo(heldOut?.fvu as number, 9);
  });

  it.each([
    [
      "a deep autoencoder",
      { column: "before", arch: "autoencoder", widths: [12, 20, 4, 20, 12], tied: true },
    ],
    ["a skip transcoder", { column: "before", target: "after", k: 3, latents: 60, skip: true }],
    ["a crosscoder", { columns: ["before", "after"], k: 3, latents: 60 }],
    [
      "an autoencoder by schedule-free signum",
      { column: "before", k: 3, latents: 60, optimizer: "signum-schedule-free" },
    ],
    ["an autoencoder after LayerNorm", { column: "before", k: 3, latents: 60, normalize: "layer-norm" }],
  ] satisfies [string, TrainRequest][])("is that of %s, too", async (name, request) => {
    const paired = at(`${name}.arrow`);
    await writePairedColumns(paired, 2000, { before: "before", after: "after" });
    const { latents: _, lr: __, ...common } = COMMON;
    const options = { ...common, lr: 3e-3, ...request };
    await train([paired], checkTrainRequest(options), at(`${name}, plain`));
    const measured = checkTrainRequest({ ...options, ...EVERY });
    const { heldOut, lastEvaluation } = await train([paired], measured, at(name));
    await expectSameBytes(name, `${name}, plain`);
    expect(evaluationsOf(name)).toHaveLength(9);
    expect(lastEvaluation).toMatchObject({ step: STEPS, rows: heldOut?.rows, l0: heldOut?.l0 });
    expect(lastEvaluation?.fvu).toBeCloseTo(heldOut?.fvu as number, 9);
  });
});

describe("what a user sees", () => {
  it("is the last figure on the progress line, with its step where that is another one", async () => {
    const shown: string[] = [];
    const stream = { isTTY: true, columns: 400, write: (text: string) => shown.push(text) };
    const progress = new Progress(stream as unknown as NodeJS.WriteStream);
    await run(
      "shown",
      { ...COMMON, k: 3, ...EVERY },
      {
        onMetrics: (metrics, config) => progress.update(metrics, config),
      },
    );
    const evaluated = evaluationsOf("shown").map(({ fvu }) => fvu.toFixed(3));
    const figures = shown.map((line) => /held-out FVU [\d.]+(?: at \d+)?/.exec(line)?.[0]);
    expect(figures.slice(0, 4)).toEqual([
      undefined,
      `held-out FVU ${evaluated[0]}`,
      `held-out FVU ${evaluated[0]} at 7`,
      `held-out FVU ${evaluated[0]} at 7`,
    ]);
    expect(figures.at(-1)).toBe(`held-out FVU ${evaluated.at(-1)}`);
  });

  it("is the last figure beside the training rows' where the run stopped, and in --json", async () => {
    const args = ["--latents", "60", "--k", "3", "--batch", "64", "--held-out", "0.1", "--eval-every", "7"];
    const stopped = await runCli(["train", corpus, ...args, "--stop-at", "16", "--out", at("cli")]);
    expect(stopped.stdout).toMatch(
      /\ntraining rows: FVU [\d.]+, L0 3\.0\nheld-out rows at step 14: FVU [\d.]+, L0 3\.0 \(\d{3} rows\)\n/,
    );
    const { stdout } = await runCli(["train", "--resume", at("cli"), "--json"]);
    const { lastEvaluation, steps } = JSON.parse(stdout) as TrainResult;
    expect(lastEvaluation).toEqual(evaluationsOf("cli").at(-1));
    expect(lastEvaluation?.step).toBe(steps);
    expect(JSON.parse(readFileSync(at("cli", "result.json"), "utf8"))).toMatchObject({ lastEvaluation });
  });
});

describe("measuring is refused", () => {
  it.each([
    [
      { evalEvery: 5, heldOut: 0 },
      "--eval-every needs held-out rows, and --held-out is 0: give the share of them, e.g. --held-out 0.01",
    ],
    [{ evalSample: 5 }, "--eval-sample needs --eval-every, the steps between two measurements"],
    [{ evalEvery: 0 }, "--eval-every must be at least 1, got 0"],
  ] satisfies [TrainRequest, string][])("%o", (request, message) => {
    expect(() => checkTrainRequest({ ...COMMON, k: 3, ...request })).toThrow(message);
  });

  it("with status 2 and one line where nobody happens to be held out, and nothing is written", async () => {
    const args = ["--latents", "60", "--held-out", "1e-9", "--eval-every", "7", "--out", at("nobody")];
    const { status, stderr } = await runCli(["train", corpus, ...args]);
    expect(status).toBe(2);
    expect(stderr).toBe(
      "error: --eval-every needs held-out rows, and none of 3,000 rows is held out at --held-out 1e-9: give a larger share\n",
    );
    expect(() => readFileSync(at("nobody", "config.json"))).toThrow("ENOENT");
  });

  it("where filters leave no held-out row", async () => {
    await writeSmallCorpus(at("rows.arrow"), 300);
    const options = {
      ...COMMON,
      k: 3,
      ...EVERY,
      documentColumn: "document",
      where: "document = 1",
      heldOut: 0.01,
    };
    await expect(run("all-filtered", options)).rejects.toThrow(
      /^--eval-every needs held-out rows, and the row filters leave out all \d+ of them$/,
    );
  });
});
