/** The model of a checkpoint: that of the finished run where it is the last one, and a model to look at before. */
import { existsSync } from "node:fs";
import { readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { evaluateModel } from "../src/eval/evaluate-model.ts";
import { exportCheckpoint } from "../src/export.ts";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { readModel } from "../src/run/model-folder.ts";
import { train } from "../src/train.ts";
import { runCli, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const corpus = at("corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus));

const BASE: TrainRequest = {
  batch: 100,
  examples: 4000,
  checkpointEvery: 10,
  logEvery: 5,
  workers: 1,
  lr: 3e-3,
};
const weightsOf = async (path: string): Promise<Buffer> =>
  await readFile(join(path, "sae_weights.safetensors"));

describe("export", () => {
  it("tells L0 of the steps before the checkpoint, also where the log has no line yet", async () => {
    const run = at("no-log");
    await train([corpus], checkTrainRequest({ ...BASE, latents: 30, k: 3, logEvery: 100, stopAt: 10 }), run);
    const { l0 } = await exportCheckpoint(run, at("no-log-model"));
    expect(l0).toBeGreaterThan(2);
    const { cfg } = await readModel(at("no-log-model"));
    expect(cfg["metadata"]).toMatchObject({ l0, sparseloom: { steps: 10, stepsOfRun: 40 } });
  });

  it.each<[string, TrainRequest]>([
    ["topk", { latents: 30, k: 3 }],
    ["a moving average of topk", { latents: 30, k: 3, ema: 0.9 }],
    ["schedule-free signum", { latents: 30, k: 3, optimizer: "signum-schedule-free" }],
    ["jumprelu", { arch: "jumprelu", latents: 30 }],
    ["batch-topk by its moving threshold", { arch: "batch-topk", latents: 30, k: 3, threshold: "ema" }],
    ["an autoencoder", { arch: "autoencoder", widths: [12, 4, 12], outputActivation: "linear" }],
  ])("of the last checkpoint gives the model of the finished run: %s", async (name, request) => {
    const run = at(name);
    await train([corpus], checkTrainRequest({ ...BASE, ...request }), run);
    const report = await exportCheckpoint(run, at(`${name} exported`));
    expect(report).toMatchObject({ step: 40, totalSteps: 40 });
    expect(await weightsOf(at(`${name} exported`))).toEqual(await weightsOf(join(run, "model")));
    const record = (await readModel(at(`${name} exported`))).cfg["metadata"];
    expect(record).toMatchObject({ sparseloom: { steps: 40, stepsOfRun: 40 } });
  });

  it("of a run that is stopped gives the model of then, which gets better", async () => {
    const run = at("stopped");
    await train([corpus], checkTrainRequest({ ...BASE, latents: 30, k: 3, stopAt: 25 }), run);
    const fvus: number[] = [];
    for (const step of ["10", "25"]) {
      const out = at(`stopped-${step}`);
      const { status, stdout } = await runCli(["export", run, "--step", step, "--out", out]);
      expect([status, stdout]).toEqual([
        0,
        expect.stringMatching(
          new RegExp(`: the model at step ${step} of 40; last logged on training rows: FVU`),
        ),
      ]);
      const options = { split: "all", rows: 3000, workers: 1 } as const;
      fvus.push((await evaluateModel(out, [corpus], options)).fvu);
    }
    expect(fvus[1]).toBeLessThan(fvus[0]!);
    expect(existsSync(join(run, "model"))).toBe(false);
  });

  it("goes back to the checkpoint before when the newest is damaged, and says so", async () => {
    const run = at("damaged");
    await train([corpus], checkTrainRequest({ ...BASE, latents: 30, k: 3, stopAt: 25 }), run);
    await truncate(join(run, "checkpoints", "25", "state.safetensors"), 1000);
    const { status, stdout, stderr } = await runCli(["export", run, "--out", at("intact"), "--json"]);
    expect([status, JSON.parse(stdout)]).toMatchObject([0, { step: 20 }]);
    expect(stderr).toMatch(/^checkpoint \S+25 cannot be used: [^\n]+; trying the one before\n$/);
    await exportCheckpoint(run, at("of-20"), 20);
    expect(await weightsOf(at("intact"))).toEqual(await weightsOf(at("of-20")));
    await expect(exportCheckpoint(run, at("no"), 25)).rejects.toThrow(/25 cannot be used/);
    for (const step of ["10", "20"]) await truncate(join(run, "checkpoints", step, "state.json"), 1);
    await expect(exportCheckpoint(run, at("no"))).rejects.toThrow(`${run} has no usable checkpoint`);
    expect(existsSync(at("no"))).toBe(false);
  });

  it("refuses steps without a checkpoint, folders that are taken, and runs without one", async () => {
    const run = at("stopped");
    await expect(exportCheckpoint(run, at("no"), 24)).rejects.toThrow(
      `${run} has no checkpoint of step 24: it has those of 10, 20, 25`,
    );
    await expect(exportCheckpoint(run, folder)).rejects.toThrow(`--out ${folder} is not empty`);
    await rm(join(run, "checkpoints"), { recursive: true });
    await expect(exportCheckpoint(run, at("no"))).rejects.toThrow(`${run} has no checkpoint yet`);
    await expect(exportCheckpoint(folder, at("no"))).rejects.toThrow(/is not a run directory/);
    expect(existsSync(at("no"))).toBe(false);
  });
});
