/** How runs begin, and what is said of a beginning that is likely to disappoint. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeSafetensors } from "@sparseloom/core";
import { beforeAll, describe, expect, it } from "vitest";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { train } from "../src/train.ts";
import { stateBytes, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const corpus = join(folder, "corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus, 6000));

const COMMON = { latents: 60, batch: 100, examples: 200, logEvery: 1, workers: 2 } satisfies TrainRequest;

async function run(name: string, request: TrainRequest): Promise<{ path: string; notices: string[] }> {
  const path = join(folder, name);
  const notices: string[] = [];
  const options = checkTrainRequest({ ...COMMON, ...request });
  await train([corpus], options, path, { onNotice: (line) => notices.push(line) });
  return { path, notices };
}

async function firstL0(path: string): Promise<number> {
  const [line] = (await readFile(join(path, "metrics.jsonl"), "utf8")).split("\n");
  return (JSON.parse(line as string) as { l0: number }).l0;
}

describe("a sparse start", () => {
  it.each([
    ["relu", 0.05],
    ["relu", 0.3],
    ["jumprelu", 0.1],
    ["gated", 0.1],
  ] as const)("has %s's latents active on %d of the rows in the first step", async (arch, initRate) => {
    const start = { initEncoderBias: "sparse", initRate } as const;
    const { path } = await run(`${arch}-${initRate}`, { arch, batch: 3000, examples: 3000, ...start });
    expect(Math.abs((await firstL0(path)) / (initRate * 60) - 1)).toBeLessThan(0.05);
  });

  it("is the same for any number of workers, and by the reference kernels", async () => {
    const start: TrainRequest = {
      arch: "relu",
      init: "uniform",
      initEncoder: "scaled",
      initEncoderBias: "sparse",
    };
    const { path } = await run("two-workers", start);
    const expected = await stateBytes(path, 2);
    for (const more of [{ workers: 1 }, { workers: 4 }, { kernels: "reference" }] satisfies TrainRequest[]) {
      const again = await run(`again-${JSON.stringify(more).length}-${JSON.stringify(more)}`, {
        ...start,
        ...more,
      });
      expect((await stateBytes(again.path, 2)).equals(expected)).toBe(true);
    }
  });
});

it("an encoder of its own directions is not the decoder's transpose", async () => {
  const tensors = async (name: string, more: TrainRequest) => {
    const { path } = await run(name, { arch: "relu", lr: 1e-9, ...more });
    return decodeSafetensors(await stateBytes(path, 2)).tensors;
  };
  const at = (found: Awaited<ReturnType<typeof tensors>>, name: string): number[] =>
    Array.from(found.get(name)?.data as Float32Array);
  const tied = await tensors("tied", {});
  const random = await tensors("random", { initEncoder: "random", decoderNorm: 0.5 });
  at(tied, "W_enc").forEach((value, i) => expect(value).toBeCloseTo(at(tied, "W_dec")[i] as number, 5));
  expect(at(random, "W_enc")[0]).not.toBeCloseTo(at(random, "W_dec")[0] as number, 3);
  expect(Math.hypot(...at(random, "W_dec").slice(0, 12))).toBeCloseTo(0.5, 5);
});

describe("AuxK's number of latents by default", () => {
  it("follows the dimension, not the number of latents", async () => {
    for (const latents of [60, 600]) {
      const { path } = await run(`aux-${latents}`, { latents, k: 4, auxK: "auto" });
      const config = JSON.parse(await readFile(join(path, "config.json"), "utf8")) as {
        setup: { training: { auxK: { k: number } } };
      };
      // The power of two nearest to half of 12, on the scale of powers.
      expect(config.setup.training.auxK.k).toBe(8);
    }
  });
});

describe("prefixes of a Matryoshka autoencoder", () => {
  it("are warned of where the smallest is below a sixteenth of the latents", async () => {
    const request: TrainRequest = { arch: "matryoshka", k: 3, latents: 160, threshold: "ema" };
    const narrow = await run("narrow", { ...request, prefixes: [9, 80, 160] });
    expect(narrow.notices).toEqual([
      "warning: the smallest prefix of 9 latents is below 1/16 of all (10): prefixes so narrow mix correlated features into one latent (hedging, arXiv 2505.11756)",
    ]);
    expect((await run("wide", { ...request, prefixes: [10, 80, 160] })).notices).toEqual([]);
    expect((await run("default", { ...request, latents: 100 })).notices).toEqual([]);
  });
});

it.each([
  [
    { arch: "topk", initEncoderBias: "sparse" },
    "--init-encoder-bias is for --arch jumprelu or gated or relu, not for topk",
  ],
  [{ arch: "relu", initRate: 0.1 }, "--init-rate is for --init-encoder-bias sparse"],
  [{ arch: "relu", initEncoderBias: "sparse", initRate: 1 }, "--init-rate must be below 1, got 1"],
  [{ arch: "jumprelu", decoderNorm: 1 }, "--decoder-norm is for --arch relu, not for jumprelu"],
  [
    { arch: "relu", decoder: "unit", decoderNorm: 1 },
    "--decoder-norm is for a free decoder: rows of --decoder unit have norm 1",
  ],
] as const)("refuses %o", (request, message) => {
  expect(() => checkTrainRequest(request)).toThrow(message);
});
