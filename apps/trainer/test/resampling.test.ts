/** Dead latents made anew in the course of a run: the same bytes whatever stops it or works on it, and fewer dead. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { trainGroup } from "../src/group/train-group.ts";
import { expandGrid } from "../src/group/grid.ts";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { resume, train } from "../src/train.ts";
import { stateBytes, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const corpus = join(folder, "corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus));

const STEPS = 120;
const COMMON = {
  arch: "relu",
  decoder: "unit",
  latents: 200,
  l1: 8,
  lr: 1e-2,
  batch: 70,
  examples: STEPS * 70,
  seed: 3,
  logEvery: 7,
  checkpointEvery: 1000,
  resampleAt: [90, 70],
  resampleWindow: 280,
  resampleRows: 1500,
} satisfies TrainRequest;

/** Trains, and tells how many latents were resampled at which step. */
async function run(name: string, more: TrainRequest = {}): Promise<{ path: string; notices: string[] }> {
  const path = join(folder, name);
  const notices: string[] = [];
  const options = checkTrainRequest({ ...COMMON, workers: 2, ...more });
  await train([corpus], options, path, { onNotice: (line) => notices.push(line) });
  return { path, notices };
}
const model = async (path: string) => await readFile(join(path, "model", "sae_weights.safetensors"));

describe("a run with resampling", () => {
  let whole: { path: string; notices: string[] };
  beforeAll(async () => {
    whole = await run("whole");
  });

  it("says at each of its steps how many latents it made anew, of how many rows", () => {
    expect(whole.notices).toHaveLength(2);
    const [at70, at90] = whole.notices.map((line) =>
      /^(\d+) dead latents? resampled at step (\d+) from 1,500 rows$/.exec(line)?.slice(1).map(Number),
    );
    expect([at70?.[1], at90?.[1]]).toEqual([70, 90]);
    expect(at70?.[0]).toBeGreaterThan(10);
    expect(at90?.[0]).toBeGreaterThan(0);
  });

  it("logs every step once, those around resampling too", async () => {
    const lines = (await readFile(join(whole.path, "metrics.jsonl"), "utf8")).trim().split("\n");
    const logged = lines.map((line) => (JSON.parse(line) as { step: number }).step);
    expect(logged).toEqual([...Array.from({ length: 17 }, (_, i) => 7 * (i + 1)), 120]);
  });

  it.each([69, 70, 71])("ends with the same bytes when stopped at step %d and resumed", async (stopAt) => {
    const { path, notices } = await run(`stopped-${stopAt}`, { stopAt });
    expect(notices).toHaveLength(stopAt > 70 ? 1 : 0);
    const more: string[] = [];
    await resume(path, { workers: 3 }, { onNotice: (line) => more.push(line) });
    expect([...notices, ...more]).toEqual(whole.notices);
    expect((await stateBytes(path, STEPS)).equals(await stateBytes(whole.path, STEPS))).toBe(true);
    expect((await model(path)).equals(await model(whole.path))).toBe(true);
  });

  it("goes on from a checkpoint of a resampling step as if there had been none", async () => {
    const { path } = await run("checkpoints", { checkpointEvery: 35, stopAt: 80 });
    await resume(path, {});
    expect((await stateBytes(path, STEPS)).equals(await stateBytes(whole.path, STEPS))).toBe(true);
  });

  it("is left as it was when it is stopped while rows are being evaluated", async () => {
    const controller = new AbortController();
    const path = join(folder, "interrupted");
    const options = checkTrainRequest({ ...COMMON, workers: 2, logEvery: 1 });
    const { complete, steps } = await train([corpus], options, path, {
      signal: controller.signal,
      onMetrics({ step }) {
        if (step === 70) controller.abort();
      },
    });
    expect([complete, steps]).toEqual([false, 70]);
    await resume(path, {});
    expect((await stateBytes(path, STEPS)).equals(await stateBytes(whole.path, STEPS))).toBe(true);
  });

  it("among others in one pass is what it is alone", async () => {
    const grid = expandGrid({ ...COMMON, seed: undefined, seeds: [3, 4], l1: [8, 5], workers: 2 });
    await trainGroup([corpus], grid, join(folder, "group"), {});
    const { path } = await run("alone", { seed: 4, dataSeed: 3, l1: 5 });
    const member = join(folder, "group", "l1-5_seed-4");
    expect((await stateBytes(member, STEPS)).equals(await stateBytes(path, STEPS))).toBe(true);
    const first = join(folder, "group", "l1-8_seed-3");
    expect((await stateBytes(first, STEPS)).equals(await stateBytes(whole.path, STEPS))).toBe(true);
  });
});

it("by default a latent is resampled that was silent over half the steps since the time before", async () => {
  const { path } = await run("defaults", {
    resampleAt: undefined,
    resampleEvery: 20,
    resampleUntil: 70,
    resampleWindow: undefined,
    resampleRows: undefined,
  });
  const { resampling } = JSON.parse(await readFile(join(path, "config.json"), "utf8")) as {
    resampling: unknown;
  };
  const events = [20, 40, 60].map((step) => ({ step, window: 700 }));
  expect(resampling).toEqual({ events, rows: 819_200 });
});

it.each([
  [
    { arch: "relu", resampleAt: [5] },
    "--resample-at is for --arch relu --decoder unit, for which resampling is defined: a free decoder goes without it",
  ],
  [
    { arch: "topk", resampleEvery: 5 },
    "--resample-every is for --arch relu --decoder unit, for which resampling is defined: take --aux-k",
  ],
  [
    { arch: "jumprelu", resampleAt: [5] },
    "--resample-at is for --arch relu --decoder unit, for which resampling is defined: take --pre-act-loss",
  ],
  [
    { arch: "relu", decoder: "unit", resampleRows: 5 },
    "--resample-rows needs --resample-at or --resample-every",
  ],
  [
    { arch: "relu", decoder: "unit", resampleAt: [5], resampleUntil: 9 },
    "--resample-until needs --resample-every",
  ],
  [
    { arch: "relu", decoder: "unit", resampleAt: [5], resampleEvery: 9 },
    "--resample-at and --resample-every contradict each other",
  ],
  [
    { arch: "relu", decoder: "unit", resampleAt: [5, 20, 20] },
    "--resample-at must name each step once, got 20 twice",
  ],
] as const)("refuses %o", (request, message) => {
  expect(() => checkTrainRequest(request)).toThrow(message);
});

it("refuses steps that the run does not have", async () => {
  await expect(run("late", { resampleAt: [120] })).rejects.toThrow(
    "step 120 is too late to resample: the run has 120 steps",
  );
  await expect(run("too-rare", { resampleAt: undefined, resampleEvery: 61 })).rejects.toThrow(
    "--resample-every 61 is too late to resample: the run has 120 steps, of which the first half is resampled in: see --resample-until",
  );
});
