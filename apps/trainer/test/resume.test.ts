/** What a stopped run goes on with: the same log, the same numbers, whatever became of the session before. */
import { readFileSync } from "node:fs";
import { appendFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { checkTrainRequest } from "../src/options.ts";
import { resume, train } from "../src/train.ts";
import { temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const corpus = at("corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus));

/** 103 steps: neither the checkpoints nor the end fall on a line of the log. */
const OPTIONS = checkTrainRequest({
  latents: 40,
  k: 3,
  batch: 64,
  examples: 103 * 64,
  logEvery: 10,
  checkpointEvery: 25,
  workers: 2,
  seed: 1,
});

/** The lines of `metrics.jsonl` without what depends on the clock. */
function logOf(runDirectory: string): object[] {
  const text = readFileSync(join(runDirectory, "metrics.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const { activationsPerSecond: _, elapsedMs: __, ...rest } = JSON.parse(line) as Record<string, number>;
      return rest;
    });
}

describe("metrics.jsonl of a resumed run", () => {
  let whole: object[];
  beforeAll(async () => {
    await train([corpus], OPTIONS, at("whole"));
    whole = logOf(at("whole"));
  });

  it("is that of a run without a stop, wherever it stopped", async () => {
    expect(whole).toHaveLength(11);
    const out = at("stopped");
    await train([corpus], { ...OPTIONS, stopAt: 37 }, out);
    expect(logOf(out).at(-1)).toMatchObject({ step: 37 });
    await resume(out, { stopAt: 58 });
    await resume(out, {});
    expect(logOf(out)).toEqual(whole);
  });

  it("is that of a run without a stop when a session went on after its last checkpoint", async () => {
    const out = at("crashed");
    await train([corpus], { ...OPTIONS, stopAt: 55 }, out);
    await rm(join(out, "checkpoints", "55"), { recursive: true });
    await appendFile(join(out, "metrics.jsonl"), '{"step":60,"examp');
    await resume(out, {});
    expect(logOf(out)).toEqual(whole);
  });

  it("has its last line when the session ended after the last checkpoint and before the result", async () => {
    const out = at("unfinished");
    const result = await train([corpus], OPTIONS, out);
    for (const name of ["result.json", "model", "metrics.jsonl"])
      await rm(join(out, name), { recursive: true });
    const again = await resume(out, {});
    expect(logOf(out)).toEqual(whole.slice(-1));
    const { fvu, l0, loss, dead, heldOut } = result;
    expect(again).toMatchObject({ fvu, l0, loss, dead, heldOut });
  });
});
