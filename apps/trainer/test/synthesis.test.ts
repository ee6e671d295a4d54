/** Training on a synthetic corpus that has no file: the same run as on the file with the same rows. */
import { join } from "node:path";
import { featureModelPreset, openKnownFeatures } from "@sparseloom/data";
import { describe, expect, it } from "vitest";
import { RunError } from "../src/errors.ts";
import { checkTrainRequest } from "../src/options.ts";
import { GeneratorThreads } from "../src/synthesis/generator-threads.ts";
import { resume, train } from "../src/train.ts";
import { runCli, stateBytes, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const CORPUS = "synth:synthsaebench-16k:1/64@4000";
const OPTIONS = checkTrainRequest({
  latents: 64,
  k: 4,
  batch: 128,
  examples: 40 * 128,
  checkpointEvery: 40,
  workers: 2,
  seed: 1,
});

describe("a run on synth:", () => {
  it("has the bytes of a run on the generated file, for any number of workers, stopped or not", async () => {
    const file = at("same.arrow");
    const args = ["--preset", "synthsaebench-16k", "--scale", "1/64", "--rows", "4000"];
    expect((await runCli(["corpus", "generate", file, ...args])).status).toBe(0);
    await train([file], OPTIONS, at("file"));
    const expected = await stateBytes(at("file"), 40);
    await train([CORPUS], OPTIONS, at("two"));
    expect((await stateBytes(at("two"), 40)).equals(expected)).toBe(true);
    await train([CORPUS], { ...OPTIONS, workers: 1, stopAt: 13 }, at("one"));
    await resume(at("one"), {});
    expect((await stateBytes(at("one"), 40)).equals(expected)).toBe(true);
  });

  it("goes through every command that takes a corpus", async () => {
    const out = at("run");
    const trained = await runCli([
      "train",
      CORPUS,
      "--latents",
      "64",
      "--k",
      "4",
      "--batch",
      "128",
      "--out",
      out,
    ]);
    expect(trained).toMatchObject({ status: 0 });
    for (const args of [
      ["inspect", out, CORPUS, "--features", "3"],
      ["corpus", "info", CORPUS],
    ]) {
      expect(await runCli(args)).toMatchObject({ status: 0 });
    }
    const { stdout } = await runCli(["eval", out, CORPUS, "--json"]);
    const { truth } = JSON.parse(stdout) as { truth: object };
    expect(truth).toMatchObject({ features: 256 });
    expect(await runCli(["corpus", "info", "synth:toy-3"])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^error: there is no preset "toy-3"; there are: toy-1.*\n$/),
    });
  });
});

describe("generator threads", () => {
  it("make the rows that the calling thread makes, into memory of either kind", async () => {
    const known = await openKnownFeatures(featureModelPreset("toy-2").options, { threads: 3 });
    await using threads = new GeneratorThreads(known, 3);
    const expected = new Float32Array(333 * 28);
    known.fill(expected, 5000, 333);
    const shared = new Float32Array(new SharedArrayBuffer(4 * (333 * 28 + 10)), 40);
    const plain = new Float32Array(333 * 28);
    await Promise.all([threads.make(shared, 5000, 333), threads.make(plain, 5000, 333)]);
    expect(plain).toEqual(expected);
    expect(Float32Array.from(shared)).toEqual(expected);
  });

  it("that are lost end the reading with an error", async () => {
    const known = await openKnownFeatures("toy-1", { threads: 0 });
    await using threads = new GeneratorThreads(known, 1);
    // There is no scratch space for it: the thread fails at once.
    await expect(threads.make(new Float32Array(32), 0, 1)).rejects.toThrow(RunError);
  });

  it("stop when they are told to", async () => {
    const known = await openKnownFeatures("toy-1", { threads: 1 });
    await using threads = new GeneratorThreads(known, 1);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(threads.make(new Float32Array(32), 0, 1, signal)).rejects.toThrow("enough");
  });
});
