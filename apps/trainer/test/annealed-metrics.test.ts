/** What is annealed, and λ, show in `metrics.jsonl` and on the progress line; elsewhere they have no place. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { Progress } from "../src/progress.ts";
import type { StepMetrics } from "../src/run/metrics-log.ts";
import { resume, train } from "../src/train.ts";
import { temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const corpus = at("corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus, 1000));

const COMMON: TrainRequest = { latents: 24, batch: 32, examples: 40 * 32, logEvery: 5, workers: 1 };

/** The lines of a run's log, and what a terminal's last line showed of it. */
async function logged(name: string, request: TrainRequest) {
  let shown = "";
  const stream = { isTTY: true, columns: 400, write: (text: string) => (shown = text) };
  const progress = new Progress(stream as unknown as NodeJS.WriteStream);
  const options = checkTrainRequest({ ...COMMON, ...request });
  await train([corpus], options, at(name), {
    onMetrics: (metrics, config) => progress.update(metrics, config),
  });
  return { lines: linesOf(name), shown };
}

function linesOf(name: string): StepMetrics[] {
  const text = readFileSync(join(at(name), "metrics.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as StepMetrics);
}

describe("p-annealing", () => {
  const request: TrainRequest = { arch: "relu", decoder: "unit", l1: 0.5, l1Warmup: 10, pAnnealStart: 20 };

  it("shows p as it falls, and λ as it warms up and is adapted", async () => {
    const { lines, shown } = await logged("p", request);
    expect(lines.map(({ step }) => step)).toEqual([5, 10, 15, 20, 25, 30, 35, 40]);
    // Steps are counted from 0: the line of step 20 is of the last one before the first update.
    const p = lines.map((line) => line.p?.toFixed(2));
    expect(p).toEqual(["1.00", "1.00", "1.00", "1.00", "0.76", "0.60", "0.36", "0.20"]);
    const l1 = lines.map((line) => line.l1!);
    expect(l1[0]).toBeCloseTo(0.25, 6);
    expect(l1.slice(1, 4)).toEqual([0.5, 0.5, 0.5]);
    for (const lambda of l1.slice(4)) expect(Math.abs(lambda - 0.5)).toBeGreaterThan(1e-3);
    expect(shown).toContain(`  p 0.20  λ ${l1.at(-1)!.toPrecision(3)}  `);
  });

  it("is told in the same way by a run that was stopped between two lines", async () => {
    await train([corpus], checkTrainRequest({ ...COMMON, ...request, stopAt: 23 }), at("stopped"));
    expect(linesOf("stopped").at(-1)).toMatchObject({ step: 23 });
    await resume(at("stopped"), {});
    const told = (name: string) => linesOf(name).map(({ step, p, l1 }) => ({ step, p, l1 }));
    expect(told("stopped")).toEqual(told("p"));
  });
});

it("k-annealing shows k as it comes down, and no λ", async () => {
  const { lines, shown } = await logged("k", { k: 4, kAnnealSteps: 20 });
  expect(lines.map(({ k }) => k)).toEqual([10, 8, 6, 4, 4, 4, 4, 4]);
  expect(lines.some((line) => "l1" in line || "p" in line)).toBe(false);
  expect(shown).toContain("  k 4  ");
});

it("λ alone shows where nothing is annealed, and not on the progress line", async () => {
  const { lines, shown } = await logged("l1", { arch: "relu", l1: 0.5, l1Warmup: 0 });
  expect(lines.every((line) => line.l1 === 0.5 && !("p" in line) && !("k" in line))).toBe(true);
  expect(shown).not.toContain("λ");
});
