/** How runs begin, and what is said of a beginning that is likely to disappoint. */
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { decodeSafetensors } from "@sparseloom/core";
import { beforeAll, describe, expect, it } from "vitest";
import { evaluateModel } from "../src/eval/evaluate-model.ts";
import { checkTrainRequest, type TrainOptions, type TrainRequest } from "../src/options.ts";
import { readRunConfig } from "../src/run/config.ts";
import { resume, train } from "../src/train.ts";
import { writePairedColumns } from "./paired-columns.ts";
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

describe("--init-from", () => {
  const trained: TrainRequest = { k: 4, examples: 12_000, lr: 3e-3, normalize: "none" };

  it("goes on from the model of another run, or a folder of SAELens, in whatever scaling", async () => {
    const fvuOf = async (path: string): Promise<number> =>
      (await evaluateModel(path, [corpus], { split: "all", rows: 6000, workers: 1 })).fvu;
    const { path } = await run("first", trained);
    const fvu = await fvuOf(path);
    for (const [name, initFrom] of [
      ["from-run", path],
      ["from-folder", join(path, "model")],
    ] as const) {
      const second = await run(name, { k: 4, initFrom, lr: 1e-9, normalize: "sqrt-d", seed: 1 });
      expect(await fvuOf(second.path)).toBeCloseTo(fvu, 5);
    }
    expect(await fvuOf((await run("fresh", { k: 4, lr: 1e-9 })).path)).toBeGreaterThan(1.5 * fvu);
  });

  it("is the same for any number of workers, and with --resume from another folder", async () => {
    const initFrom = relative(process.cwd(), join(folder, "first"));
    const { path } = await run("whole", { k: 4, initFrom, seed: 1 });
    await run("stopped", { k: 4, initFrom, seed: 1, stopAt: 1, workers: 1 });
    expect((await readRunConfig(join(folder, "stopped"))).options.initFrom).toBe(join(folder, "first"));
    await rm(join(folder, "stopped", "checkpoints"), { recursive: true });
    await resume(join(folder, "stopped"), {});
    expect(await stateBytes(join(folder, "stopped"), 2)).toEqual(await stateBytes(path, 2));
  });

  it("refuses a model of other sizes, one that is not there, and other starts beside it", async () => {
    const initFrom = join(folder, "first");
    await expect(run("other", { k: 4, latents: 61, initFrom })).rejects.toThrow(
      `--init-from ${initFrom}: the model to begin with has 60 latents, the new one 61`,
    );
    await expect(run("other", { arch: "relu", initFrom })).rejects.toThrow(
      "relu cannot begin with a topk model: it needs relu",
    );
    await expect(run("other", { k: 4, initFrom: join(folder, "none") })).rejects.toThrow(
      /none: no such folder/,
    );
    expect(existsSync(join(folder, "other"))).toBe(false);
    expect(() => checkTrainRequest({ ...COMMON, k: 4, initFrom, initBias: "zero" })).toThrow(
      "--init-from gives all first parameters: leave out --init-bias",
    );
  });
});

it("--init-from of a crosscoder refuses its columns in another order", async () => {
  const pair = join(folder, "pair.arrow");
  await writePairedColumns(pair, 400, { before: "first", after: "second" }, { before: 12, after: 12 });
  const request = (columns: string[], more: TrainRequest = {}): TrainOptions =>
    checkTrainRequest({ ...COMMON, k: 4, columns, ...more });
  const first = join(folder, "crosscoder");
  await train([pair], request(["first", "second"]), first);
  await expect(
    train([pair], request(["second", "first"], { initFrom: first }), join(folder, "swapped")),
  ).rejects.toThrow(/stands in another's place/);
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
