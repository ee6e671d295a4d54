/** Several models in one pass over the data: each equals the one trained alone, and the corpus is read once. */
import { existsSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { planRun } from "@sparseloom/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ObjectServer } from "../../../packages/data/test/object-server.ts";
import { RequestError } from "../src/errors.ts";
import { describeGroup } from "../src/group/describe.ts";
import { expandGrid } from "../src/group/grid.ts";
import { readGroup } from "../src/group/group-folder.ts";
import { checkMemory } from "../src/group/memory.ts";
import type { GroupResult } from "../src/group/summary.ts";
import { resumeGroup, trainGroup } from "../src/group/train-group.ts";
import { checkTrainRequest } from "../src/options.ts";
import { listCheckpoints } from "../src/run/checkpoint.ts";
import { readRunConfig } from "../src/run/config.ts";
import { resume, train } from "../src/train.ts";
import { runCli, stateBytes, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (...names: string[]): string => join(folder, ...names);
const corpus = at("corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus, 3000, 6));

const STEPS = 60;
const COMMON = {
  latents: 50,
  batch: 70,
  examples: STEPS * 70 - 11,
  lr: 3e-3,
  checkpointEvery: 20,
  logEvery: 7,
};

/** All that a run wrote, but for what depends on the clock and on where it is. */
async function contentOf(run: string, step = STEPS): Promise<unknown> {
  const { options, ...config } = await readRunConfig(run);
  const { out: _, workers: __, stopAt: ___, ...rest } = options;
  const lines = readFileSync(join(run, "metrics.jsonl"), "utf8").trim().split("\n");
  const {
    runDirectory: _1,
    seconds: _2,
    activationsPerSecond: _3,
    workers: _4,
    ...result
  } = JSON.parse(readFileSync(join(run, "result.json"), "utf8")) as Record<string, unknown>;
  return {
    config: { ...config, options: rest },
    metrics: lines.map((line) => line.replace(/"activationsPerSecond".*$/, "")),
    result,
    state: await stateBytes(run, step),
    cfg: readFileSync(join(run, "model", "cfg.json"), "utf8"),
    weights: await readFile(join(run, "model", "sae_weights.safetensors")),
  };
}

const GRIDS = {
  "topk by k and seed, decoders from data": { ...COMMON, k: [3, 6], seeds: [4, 9], init: "data" },
  "batch-topk by k": { ...COMMON, arch: "batch-topk", k: [3, 5], latents: 400, seed: 1 },
  "jumprelu by target L0": {
    ...COMMON,
    arch: "jumprelu",
    l0Penalty: "quadratic",
    targetL0: [2, 5],
    bandwidth: 0.5,
  },
  "topk by learning rate": { ...COMMON, k: 4, lr: [1e-3, 5e-3], ema: 0.9, seed: 3 },
  "architectures, each with its own options, by latents": {
    ...COMMON,
    arch: ["batch-topk", "relu", "matryoshka"],
    latents: [40, 90],
    k: 4,
    auxK: 8,
    l1: [0.5, 1],
    seed: 6,
  },
  "relu by λ": { ...COMMON, arch: "relu", l1: [0.1, 0.5, 2], seed: 2 },
} as const;

describe.each(Object.entries(GRIDS))("%s", (name, request) => {
  const group = at(name);
  const grid = expandGrid({ ...request, workers: 2 });
  beforeAll(() => trainGroup([corpus], grid, group));

  it("trained in one pass equals each model trained alone, to the byte, in all that it writes", async () => {
    for (const member of grid) {
      const alone = at(`${name}, alone, ${member.name}`);
      // As a user would ask for it, with another number of workers.
      await train([corpus], { ...member.options, workers: 1 }, alone);
      expect(await contentOf(join(group, member.name)), member.name).toEqual(await contentOf(alone));
    }
  });

  it("stopped and resumed together, ends with the same bytes", async () => {
    const stopped = at(`${name}, stopped`);
    const half = await trainGroup(
      [corpus],
      grid.map((member) => ({ ...member, options: { ...member.options, stopAt: 33 } })),
      stopped,
    );
    expect(half.complete).toBe(false);
    expect(half.models.every(({ steps }) => steps === 33)).toBe(true);
    const whole = await resumeGroup(stopped, { workers: 3 });
    expect(whole.complete).toBe(true);
    for (const { name: member } of grid)
      expect(await contentOf(join(stopped, member)), member).toEqual(await contentOf(join(group, member)));
  });
});

describe("a group of which runs stand at different steps", () => {
  it("goes on from where each stands, the others waiting for the last, and ends with the same bytes", async () => {
    const request = { ...COMMON, k: [2, 3, 4, 5], workers: 2 };
    const whole = at("whole");
    await trainGroup([corpus], expandGrid(request), whole);
    const group = at("uneven");
    await trainGroup([corpus], expandGrid({ ...request, stopAt: 30 }), group);
    // One went on alone, one to its end, and one has lost its last checkpoint.
    await resume(join(group, "k-2"), { stopAt: 50 });
    await resume(join(group, "k-3"), {});
    await writeFile(join(group, "k-4", "checkpoints", "30", "state.json"), "{}");
    const notices: string[] = [];
    const result = await resumeGroup(group, {}, { onNotice: (line) => notices.push(line) });
    expect(notices.join()).toMatch(/k-4\/checkpoints\/30 cannot be used: .*; trying the one before/);
    expect(result.complete).toBe(true);
    for (const name of ["k-2", "k-3", "k-4", "k-5"])
      expect(await contentOf(join(group, name)), name).toEqual(await contentOf(join(whole, name)));
    const again = await resumeGroup(group, {}, { onNotice: (line) => notices.push(line) });
    expect(notices.at(-1)).toMatch(/is complete: nothing to resume$/);
    expect(again.models.map(({ name, fvu }) => [name, fvu])).toEqual(
      result.models.map(({ name, fvu }) => [name, fvu]),
    );
  });
});

describe("the bytes that a group reads", () => {
  let server: ObjectServer;
  beforeAll(async () => {
    server = await ObjectServer.start();
    server.put("/acts.arrow", await readFile(corpus));
    process.env["SPARSELOOM_CACHE_SIZE"] = "0";
  });
  afterAll(async () => {
    delete process.env["SPARSELOOM_CACHE_SIZE"];
    await server[Symbol.asyncDispose]();
  });

  it("are those of one run", async () => {
    const read = async (request: object, name: string): Promise<[requests: number, bytes: number]> => {
      server.requests.length = 0;
      await trainGroup(
        [`${server.origin}/acts.arrow`],
        expandGrid({ ...COMMON, workers: 1, ...request }),
        at(name),
      );
      const bytes = server.requests.reduce((sum, { first, last }) => sum + last - first + 1, 0);
      return [server.requests.length, bytes];
    };
    const one = await read({ k: [4] }, "read-one");
    expect(one[1]).toBeGreaterThan(3000 * 12 * 4);
    expect(await read({ k: [2, 4, 8] }, "read-three")).toEqual(one);
    expect(await read({ k: [4], seeds: [0, 1, 2] }, "read-seeds")).toEqual(one);
    const batched = { arch: "batch-topk" };
    expect(await read({ ...batched, k: [3, 4] }, "read-two")).toEqual(
      await read({ ...batched, k: [3] }, "read-3"),
    );
  });
});

describe("a model that diverges", () => {
  it("is given up, and does not keep the others from their ends", async () => {
    const group = at("diverging");
    const args = [
      "--arch",
      "relu",
      "--l1",
      "0.5,1e308",
      "--l1-warmup",
      "0",
      "--lr",
      "3e-3",
      "--latents",
      "50",
    ];
    const size = ["--batch", "70", "--examples", String(COMMON.examples), "--workers", "2"];
    const run = await runCli(["train", corpus, ...args, ...size, "--out", group, "--json"]);
    expect(run.status).toBe(1);
    const { models, diverged, complete } = JSON.parse(run.stdout) as GroupResult;
    expect(models.map(({ name }) => name)).toEqual(["l1-0.5"]);
    expect(models[0]?.complete).toBe(true);
    expect(complete).toBe(true);
    expect(diverged).toMatchObject([
      { name: "l1-1e+308", reason: expect.stringMatching(/^the loss of step 0 is Infinity /) },
    ]);
    expect((await readGroup(group)).diverged).toHaveProperty("l1-1e+308");
    expect(existsSync(join(group, "l1-1e+308", "result.json"))).toBe(false);
    const alone = at("not-diverging");
    const l1 = {
      ...COMMON,
      checkpointEvery: 1000,
      logEvery: 10,
      arch: "relu",
      l1: 0.5,
      l1Warmup: 0,
      workers: 1,
    };
    await train([corpus], checkTrainRequest(l1), alone);
    expect(await contentOf(join(group, "l1-0.5"))).toEqual(await contentOf(alone));
  });
});

describe("the command", () => {
  const args = ["train", corpus, "--latents", "50", "--batch", "70", "--workers", "2"];

  it("saves all models when interrupted, and resumes them together", async () => {
    const group = at("interrupted");
    let killed = false;
    const long = ["--k", "8,3", "--seeds", "0,1", "--epochs", "100000", "--log-every", "1"];
    const run = await runCli([...args, ...long, "--out", group], (text, kill) => {
      if (killed || !text.includes("step 1/")) return;
      killed = true;
      kill("SIGINT");
    });
    expect(run.status).toBe(130);
    expect(run.stdout).toContain(`continue with: sparseloom train --resume ${group}`);
    const names = ["k-8_seed-0", "k-8_seed-1", "k-3_seed-0", "k-3_seed-1"];
    const newest = async (): Promise<(number | undefined)[]> =>
      await Promise.all(names.map(async (name) => (await listCheckpoints(join(group, name)))[0]));
    const [step = 0, ...others] = await newest();
    expect(step).toBeGreaterThan(0);
    expect(others).toEqual([step, step, step]);
    expect(await runCli(["train", "--resume", group, "--stop-at", String(step + 3)])).toMatchObject({
      status: 0,
    });
    expect(await newest()).toEqual(names.map(() => step + 3));
    const more = await runCli(["train", "--resume", group, "--stop-at", "1000000", "--k", "3"]);
    expect(more.stderr).toMatch(/^error: --k cannot change when a run is resumed/);
  });

  it("prints models by L0 with FVU, dead latents, stability across seeds and |cosine|", async () => {
    const group = at("charted");
    const run = await runCli([...args, "--k", "6,3", "--seeds", "0,1", "--epochs", "2", "--out", group]);
    expect(run.status).toBe(0);
    expect(run.stderr).toMatch(/^4 models in one pass over the data, 0\.\d\d GB of memory: k-6_seed-0, /m);
    const [header, , ...rows] = run.stdout.split("\n");
    expect(header).toMatch(/^ *L0 +FVU +dead +stability +\|cosine\| +model$/);
    expect(rows.slice(0, 4).map((row) => row.split(/ +/).at(-1))).toEqual([
      "k-3_seed-0",
      "k-3_seed-1",
      "k-6_seed-0",
      "k-6_seed-1",
    ]);
    expect(rows[0]).toMatch(/^3\.0 +0\.\d{3} [█·]{12} +\d+ [█·]{12} +\d+\.\d % [█·]{12} +0\.\d{3} [█·]{12} /);
    expect(run.stdout).toContain("FVU alone is no reason to choose a model");
    const json = JSON.parse(readFileSync(join(group, "result.json"), "utf8")) as GroupResult;
    for (const { stability, meanAbsoluteCosine } of json.models) {
      expect(stability).toBeGreaterThanOrEqual(0);
      expect(meanAbsoluteCosine).toBeGreaterThan(0);
    }
    const { models } = json;
    const [a, b] = models;
    expect(a?.stability).toBe(b?.stability);
  });

  it.each([
    [["--k", "8,eight"], /^error: --k must be numbers with commas between them, got "eight"$/],
    [["--k", "8,60"], /^error: k must be at most the number of latents \(50\), got 60$/],
  ])("refuses %s", async (more, message) => {
    const out = at("refused");
    const run = await runCli([...args, ...more, "--out", out]);
    expect(run.stderr.trim().split("\n").at(-1)).toMatch(message);
    expect(run.status).toBe(2);
    expect(existsSync(out)).toBe(false);
  });
});

it("deep autoencoders are charted by FVU alone: they have no L0, dead latents or decoder rows", async () => {
  const { latents: _, ...common } = COMMON;
  const request = { ...common, arch: "autoencoder", widths: [12, 4, 12], outputActivation: "linear" };
  const result = await trainGroup([corpus], expandGrid({ ...request, seeds: [0, 1] }), at("deep"));
  const [header, , ...rows] = describeGroup(result).split("\n");
  expect(header).toMatch(/^FVU +model$/);
  expect(rows.slice(0, 3)).toEqual([
    expect.stringMatching(/^[01]\.\d{3} [█·]{12} {2}seed-0$/),
    expect.stringMatching(/^[01]\.\d{3} [█·]{12} {2}seed-1$/),
    "FVU on held-out rows.",
  ]);
});

describe("a grid", () => {
  it("has a model for each combination, the seed varying fastest, named by what differs", () => {
    const grid = expandGrid({ latents: 9, k: [2, 1], seeds: [5, 3], epochs: 2 });
    expect(grid.map(({ name }) => name)).toEqual(["k-2_seed-5", "k-2_seed-3", "k-1_seed-5", "k-1_seed-3"]);
    expect(grid[3]?.settings).toEqual({ k: 1, seed: 3 });
    expect(grid.map(({ options }) => [options.k, options.seed, options.dataSeed])).toEqual([
      [2, 5, 5],
      [2, 3, 5],
      [1, 5, 5],
      [1, 3, 5],
    ]);
    const [one, two] = expandGrid({ l1: [0.5, 1], arch: "relu", seed: 4 });
    // As alone: what nobody asked for is not in the configuration.
    expect(one?.options).toEqual(checkTrainRequest({ l1: 0.5, arch: "relu", seed: 4 }));
    expect(two?.name).toBe("l1-1");
    const mixed = expandGrid({
      arch: ["topk", "jumprelu"],
      latents: 9,
      k: [2, 1],
      l0: [3, 4],
      seeds: [0, 1],
    });
    expect(mixed.map(({ name }) => name)).toEqual([
      "arch-topk_k-2_seed-0",
      "arch-topk_k-2_seed-1",
      "arch-topk_k-1_seed-0",
      "arch-topk_k-1_seed-1",
      "arch-jumprelu_l0-3_seed-0",
      "arch-jumprelu_l0-3_seed-1",
      "arch-jumprelu_l0-4_seed-0",
      "arch-jumprelu_l0-4_seed-1",
    ]);
    expect(mixed[6]?.options).toEqual(
      checkTrainRequest({ arch: "jumprelu", latents: 9, l0: 4, seed: 0, dataSeed: 0 }),
    );
    // What goes with an option that another architecture has goes with it.
    const revived = expandGrid({
      arch: ["topk", "jumprelu"],
      auxK: 8,
      auxMode: "same-units",
      auxCoefficient: 0.1,
      kAnnealSteps: 9,
    });
    expect(revived.map(({ options: { arch, auxCoefficient } }) => [arch, auxCoefficient])).toEqual([
      ["topk", 0.1],
      ["jumprelu", undefined],
    ]);
    const [, mine] = expandGrid({ seeds: [1, 2], dataSeed: 7 });
    expect(mine?.options).toMatchObject({ seed: 2, dataSeed: 7 });
  });

  it.each([
    [{ k: [8, 8] }, "--k names 8 twice"],
    [{ k: [8, 0] }, "--k must be at least 1, got 0"],
    [{ k: [] }, "--k must have at least one value, got none"],
    [{ l1: [1, 2] }, "--l1 is for --arch relu or gated, not for topk"],
    [{ arch: ["topk", "relu"], targetL0: 4 }, "--target-l0 is for --arch jumprelu, not for topk"],
    [{ arch: ["topk", 3] }, "--arch must be names with commas between them, got 3"],
    [
      { arch: ["topk", "autoencoder"] },
      "--arch autoencoder is trained beside no other: it has no latents to compare",
    ],
    [
      { latents: [16, 32], expansion: 2 },
      "--latents and --expansion contradict each other: give one of them",
    ],
    [{ seeds: [1, 2], seed: 1 }, "--seed and --seeds contradict each other: give one of them"],
    [
      { k: [1, 2, 3, 4, 5, 6, 7, 8, 9], seeds: [0, 1, 2, 3, 4, 5, 6, 7] },
      "at most 64 models can be trained in one pass, got 72: give shorter lists",
    ],
  ])("is refused for %j", (request, message) => {
    expect(() => expandGrid(request)).toThrow(new RequestError(message));
  });
});

describe("the data seed", () => {
  it("decides who is held out and how the data look; the seed does the rest", async () => {
    const run = async (name: string, seeds: object): Promise<string> => {
      await train([corpus], checkTrainRequest({ ...COMMON, k: 3, workers: 1, ...seeds }), at(name));
      return at(name);
    };
    const first = await run("seed-0", { seed: 0 });
    const other = await run("seed-1", { seed: 1 });
    const mixed = await run("seed-1-data-0", { seed: 1, dataSeed: 0 });
    const same = await run("seed-1-data-1", { seed: 1, dataSeed: 1 });
    const statistics = async (path: string) => (await readRunConfig(path)).statistics;
    expect(await statistics(mixed)).toEqual(await statistics(first));
    expect(await statistics(mixed)).not.toEqual(await statistics(other));
    const [a, b, c, d] = await Promise.all(
      [first, other, mixed, same].map((path) => stateBytes(path, STEPS)),
    );
    expect(c.equals(a)).toBe(false);
    expect(c.equals(b)).toBe(false);
    expect(d.equals(b)).toBe(true);
    const held = async (path: string): Promise<unknown> => {
      const run = await runCli(["eval", path, corpus, "--split", "held-out", "--json"]);
      return (JSON.parse(run.stdout) as { rows: number; fvu: number }).fvu;
    };
    const { heldOut } = JSON.parse(readFileSync(join(mixed, "result.json"), "utf8")) as {
      heldOut: { fvu: number };
    };
    // In raw units and about another mean, but of the same rows.
    expect(await held(mixed)).toBeCloseTo(heldOut.fvu, 2);
  });
});

describe("memory", () => {
  const plan = planRun({
    setup: {
      model: {
        kind: "sparse",
        architecture: "topk",
        dIn: 256,
        latents: 4096,
        k: 8,
        decoder: "unit",
        applyBDecToInput: true,
      },
      training: {
        batchRows: 1024,
        learningRate: { peak: 1, warmupSteps: 0, decaySteps: 0, totalSteps: 1 },
        l1Coefficient: { peak: 0, warmupSteps: 0, decaySteps: 0, totalSteps: 1 },
        adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        deadWindow: 1,
      },
    },
    workers: 2,
  });
  const models = ["k-8", "k-16", "k-32"].map((name) => ({ name, plan }));

  it("of a group is added up before anything is allocated, and refused where it is not free", () => {
    const needed = 3 * plan.byteLength + 24e6 + 150e6;
    expect(checkMemory(models, 12e6, 0, needed)).toMatch(
      /^3 models in one pass over the data, 0\.\d\d GB of memory: k-8, k-16, k-32$/,
    );
    // Held-out rows to measure on count, too.
    expect(() => checkMemory(models, 12e6, 1, needed)).toThrow("3 models in one pass need");
    expect(() => checkMemory(models, 12e6, 0, needed - 1)).toThrow(
      /^3 models in one pass need 0\.\d\d GB of memory \(k-8 0\.\d\d GB, k-16 .*; data and threads 0\.17 GB\), but 0\.\d\d GB are free: train 2 of them at a time$/,
    );
    expect(() => checkMemory(models, 12e6, 0, 1e8)).toThrow(
      /: train them one by one, or take fewer --latents/,
    );
  });
});

describe("eval of runs that were trained together", () => {
  it("measures each as it would alone, and shows them side by side", async () => {
    const group = at("measured");
    await trainGroup([corpus], expandGrid({ ...COMMON, k: [2, 5], workers: 1 }), group);
    const { status, stdout } = await runCli(["eval", group, corpus, "--json"]);
    expect(status).toBe(0);
    const results = JSON.parse(stdout) as { model: string; mse: number; l0: number }[];
    expect(results.map(({ model, l0 }) => [model, l0])).toEqual([
      [join(group, "k-2", "model"), 2],
      [join(group, "k-5", "model"), 5],
    ]);
    const alone = await runCli(["eval", join(group, "k-5"), corpus, "--json"]);
    expect(JSON.parse(alone.stdout)).toEqual(results[1]);
    const text = (await runCli(["eval", group, corpus])).stdout;
    expect(text).toMatch(
      /^2 models on [\d,]+ rows \(all\)\n {2}L0 +FVU +MSE +cosine +dead +\|cosine\| +model\n.*\n2\.00 .* k-2\n5\.00 .* k-5\n$/,
    );
    expect((await runCli(["eval", group, corpus, "--dead"])).stderr).toBe(
      `error: --dead is for one model: name one in ${group}\n`,
    );
  });
});
