/** Same seed, same bytes: for any number of workers, and across stop and resume. Compares checkpoint files. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { resume, train } from "../src/train.ts";
import type { TrainResult } from "../src/run/result.ts";
import { writeOutlierCorpus } from "./outlier-corpus.ts";
import { runCli, stateBytes, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const corpus = join(folder, "corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus));

// 200 steps run on into the fifth epoch of 2,970 training rows; the last mini-batch is short.
const COMMON = {
  batch: 70,
  examples: 199 * 70 + 33,
  seed: 3,
  lr: 3e-3,
  checkpointEvery: 1000,
} satisfies TrainRequest;
const CASES: [string, TrainRequest][] = [
  ["topk", { ...COMMON, arch: "topk", latents: 50, k: 4, init: "data" }],
  [
    "topk whose encoder does not subtract b_dec",
    { ...COMMON, arch: "topk", latents: 50, k: 4, applyBDecToInput: false },
  ],
  ["batch-topk", { ...COMMON, arch: "batch-topk", latents: 50, k: 4 }],
  [
    "batch-topk whose k is annealed",
    { ...COMMON, arch: "batch-topk", latents: 50, k: 2, kAnnealSteps: 120, kAnneal: "exponential" },
  ],
  [
    "topk with multi-TopK whose k is annealed",
    { ...COMMON, arch: "topk", latents: 50, k: 3, kAnnealSteps: 120, multiTopk: true },
  ],
  [
    "topk with AuxK",
    { ...COMMON, arch: "topk", latents: 150, k: 2, auxK: 5, auxCoefficient: 0.5, deadWindow: 400 },
  ],
  [
    "matryoshka",
    { ...COMMON, arch: "matryoshka", latents: 100, k: 3, prefixes: [5, 60, 100], auxK: 5, deadWindow: 400 },
  ],
  [
    "topk by schedule-free signum",
    { ...COMMON, arch: "topk", latents: 50, k: 4, optimizer: "signum-schedule-free", clipNorm: 1 },
  ],
  [
    "gated by signum with a moving average",
    { ...COMMON, arch: "gated", latents: 50, l1: 0.5, optimizer: "signum", ema: 0.97 },
  ],
  [
    "relu with free decoder by muon",
    { ...COMMON, arch: "relu", latents: 50, l1: 0.5, optimizer: "muon", clipNorm: 1, ema: 0.9 },
  ],
  [
    "deep autoencoder by muon",
    { ...COMMON, arch: "autoencoder", widths: [12, 70, 5, 20, 12], optimizer: "muon" },
  ],
  ["topk with clipped gradients", { ...COMMON, arch: "topk", latents: 50, k: 4, clipNorm: 0.5 }],
  ["jumprelu", { ...COMMON, arch: "jumprelu", latents: 50, l0: 0.3, bandwidth: 0.5 }],
  [
    "jumprelu with a target and gradient to the input",
    {
      ...COMMON,
      arch: "jumprelu",
      latents: 50,
      l0Penalty: "quadratic",
      targetL0: 6,
      gradientToInput: true,
      bandwidth: 0.5,
    },
  ],
  [
    "jumprelu with a pre-activation loss",
    {
      ...COMMON,
      arch: "jumprelu",
      latents: 100,
      l0: 0.3,
      initThreshold: 2,
      preActLoss: 0.1,
      deadWindow: 400,
    },
  ],
  ["relu with free decoder", { ...COMMON, arch: "relu", latents: 50, l1: 0.5 }],
  ["relu with unit decoder", { ...COMMON, arch: "relu", latents: 50, l1: 0.5, decoder: "unit" }],
  [
    "relu whose penalty's power is annealed",
    { ...COMMON, arch: "relu", latents: 50, l1: 0.5, decoder: "unit", pAnnealStart: 60, pNorm: "root" },
  ],
  ["gated", { ...COMMON, arch: "gated", latents: 50, l1: 0.5 }],
  [
    "deep autoencoder with clipped gradients and a cosine of the learning rate",
    {
      ...COMMON,
      arch: "autoencoder",
      widths: [12, 20, 5, 20, 12],
      clipNorm: 0.5,
      lrWarmup: 20,
      lrWarmupStart: 0.1,
      lrSchedule: "cosine",
      lrEnd: 1e-4,
    },
  ],
  [
    "deep autoencoder",
    { ...COMMON, arch: "autoencoder", widths: [12, 20, 5, 20, 12], outputActivation: "linear" },
  ],
  [
    "deep autoencoder with tied layers and L1 on its code",
    { ...COMMON, arch: "autoencoder", widths: [12, 60, 5, 60, 12], tied: true, bottleneckL1: 0.1, ema: 0.99 },
  ],
];

describe.each(CASES)("%s", (name, request) => {
  const run = async (workers: number, more: TrainRequest = {}): Promise<string> => {
    const out = join(folder, `${name.replaceAll(" ", "-")}-${workers}-${JSON.stringify(more).length}`);
    await train([corpus], checkTrainRequest({ ...request, ...more, workers }), out);
    return out;
  };

  it("has byte-identical state after 200 steps with 1, 2, 3 and 4 workers", async () => {
    const one = await stateBytes(await run(1), 200);
    for (const workers of [2, 3, 4])
      expect((await stateBytes(await run(workers), 200)).equals(one), `${workers} workers`).toBe(true);
  });

  it("ends with the same bytes when stopped at step 100 and resumed with another number of workers", async () => {
    const whole = await run(2, { logEvery: 7 });
    const stopped = await run(1, { stopAt: 100, logEvery: 7 });
    const result = await resume(stopped, { workers: 3 });
    expect(result.steps).toBe(200);
    expect((await stateBytes(stopped, 200)).equals(await stateBytes(whole, 200))).toBe(true);
    const model = async (run: string) => await readFile(join(run, "model", "sae_weights.safetensors"));
    expect((await model(stopped)).equals(await model(whole))).toBe(true);
  });
});

it("the reference kernels and 256-bit vectors give the bytes of the default kernels", async () => {
  const args = [
    "train",
    corpus,
    "--latents",
    "200",
    "--k",
    "7",
    "--batch",
    "100",
    "--examples",
    "5000",
    "--seed",
    "2",
  ];
  const state = async (name: string, ...more: string[]): Promise<Buffer> => {
    const out = join(folder, name);
    expect((await runCli([...args, "--out", out, ...more])).status).toBe(0);
    return await stateBytes(out, 50);
  };
  const expected = await state("default-kernels");
  expect((await state("reference-kernels", "--kernels", "reference")).equals(expected)).toBe(true);
  expect((await state("wide-kernels", "--experimental-wide-simd")).equals(expected)).toBe(true);
});

const SCREENED = {
  topk: ["--k", "6"],
  "topk with multi-TopK": ["--k", "6", "--multi-topk"],
  "topk whose k is annealed": ["--k", "6", "--k-anneal-steps", "20"],
  "batch-topk": ["--k", "6"],
  jumprelu: ["--l0", "0.3", "--init-threshold", "1", "--bandwidth", "0.5", "--lr", "3e-3"],
  relu: ["--l1", "3", "--lr", "3e-3"],
  gated: ["--l1", "10", "--lr", "3e-3"],
} as const;

describe.each(Object.entries(SCREENED))("the screened encoder of a %s autoencoder", (name, shape) => {
  const [arch = ""] = name.split(" ");
  it("finds all active latents, and gives the exact encoder's bytes with 1 to 4 workers and 256-bit vectors", async () => {
    const rows = join(folder, `outliers-${name}.arrow`);
    await writeOutlierCorpus(rows, { dIn: 96, rows: 2000, seed: 4 });
    const args = ["train", rows, "--arch", arch, "--latents", "900", "--batch", "100", "--examples", "6000"];
    const run = async (part: string, ...more: string[]): Promise<[Buffer, TrainResult]> => {
      const out = join(folder, `${name}-${part}`);
      const { status, stdout } = await runCli([...args, ...shape, "--out", out, "--json", ...more]);
      expect(status).toBe(0);
      return [await stateBytes(out, 60), JSON.parse(stdout) as TrainResult];
    };
    const [expected, { encoder }] = await run("exact", "--encoder", "exact");
    expect(encoder).toBe("exact");
    const [bytes, result] = await run("audited", "--encoder", "screened", "--audit", "1");
    expect(bytes.equals(expected)).toBe(true);
    expect(result.encoder).toBe("screened");
    expect(result.screening?.recall).toBe(1);
    expect(result.screening?.auditedRows).toBeGreaterThan(1000);
    expect(result.screening?.largestError).toBeLessThan(7);
    for (const workers of ["1", "3", "4"]) {
      const [again] = await run(`workers-${workers}`, "--encoder", "screened", "--workers", workers);
      expect(again.equals(expected), `${workers} workers`).toBe(true);
    }
    const [wide] = await run("wide", "--encoder", "screened", "--experimental-wide-simd");
    expect(wide.equals(expected)).toBe(true);
  });
});

it("another seed gives other bytes", async () => {
  const [, request] = CASES[0] as (typeof CASES)[number];
  const states = [];
  for (const seed of [1, 2]) {
    const out = join(folder, `seed-${seed}`);
    await train([corpus], checkTrainRequest({ ...request, seed }), out);
    states.push(await stateBytes(out, 200));
  }
  expect(states[0]?.equals(states[1] as Buffer)).toBe(false);
});
