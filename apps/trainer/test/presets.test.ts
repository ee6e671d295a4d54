/** Presets: published recipes as options, and what docs/presets.md says of them. */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { beforeAll, describe, expect, it } from "vitest";
import { addTrainFlags, gatherRequest } from "../src/flags.ts";
import { checkTrainRequest, type TrainOptions, type TrainRequest } from "../src/options.ts";
import { flagOf } from "../src/options/describe-issue.ts";
import { PRESET_NAMES, PRESETS } from "../src/presets.ts";
import { readRunConfig } from "../src/run/config.ts";
import { runCli, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const file = join(folder, "acts.arrow");
beforeAll(() => writeSmallCorpus(file));

/** The section of each preset, in one line. */
const docs = new Map(
  readFileSync(join(import.meta.dirname, "../../../docs/presets.md"), "utf8")
    .split("\n## ")
    .slice(1)
    .map((section) => [section.split("\n")[0], section.replaceAll("\n", " ")]),
);

function flagsOf(options: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(options).map(([key, value]) => {
    if (value === true) return flagOf(key);
    if (value === false) return flagOf(key).replace("--", "--no-");
    return `${flagOf(key)} ${String(value)}`;
  });
}

/** What `train` makes of `--config` with a file, and flags. */
async function configured(value: object, ...flags: string[]): Promise<TrainOptions> {
  const path = join(folder, "config.json");
  await writeFile(path, JSON.stringify(value));
  const command = new Command().option("--config <file.json>");
  addTrainFlags(command);
  command.parse(["--config", path, ...flags], { from: "user" });
  return checkTrainRequest(await gatherRequest(command));
}

/** The same, with the `config.json` of a run. */
async function again(options: TrainOptions, ...flags: string[]): Promise<TrainOptions> {
  return await configured({ kernelVariant: "reference", options }, ...flags);
}

/** Numbers as one writes them: 5e-5 and 0.00005 are the same. */
const plain = (text: string): string =>
  text.replaceAll(/(?<= )[\d.]+e-?\d+|(?<= )0\.\d+/g, (number) => String(Number(number)));

describe.each(PRESET_NAMES)("--preset %s", (name) => {
  const { options } = PRESETS[name];

  it("is complete: its options are accepted as they stand, and nothing else is changed", () => {
    const { preset, ...resolved } = checkTrainRequest({ preset: name });
    expect(preset).toBe(name);
    expect(resolved).toEqual(checkTrainRequest(options));
  });

  it.each<TrainRequest>([
    {},
    { seed: 3 },
    { optimizer: "adam", lr: 1e-3, beta1: 0.9, epsilon: 1e-8 },
    { optimizer: "adam" },
    { optimizer: "muon" },
    { optimizer: "signum", lrSchedule: "linear" },
    { optimizer: "signum", lrSchedule: "cosine" },
    { lrSchedule: "constant" },
    { normalize: "sqrt-d" },
    { normalize: "unit-mean-square", center: true },
    { normalize: "none", clipNorm: 2 },
    { initFrom: "runs/first" },
  ])("with %o is what --config takes from the config.json of its run", async (more) => {
    const run = checkTrainRequest({ preset: name, ...more });
    const { preset, ...expected } = run;
    expect(preset).toBe(name);
    expect(await again({ ...run, out: "runs/second", stopAt: 5 })).toEqual(expected);
    // And as well from one without `more`, which are flags then.
    const flags = flagsOf(more).flatMap((flag) => flag.split(" "));
    expect(await again(checkTrainRequest({ preset: name }), ...flags)).toEqual(expected);
  });

  it("stands in docs/presets.md with each of its options", () => {
    const section = plain(docs.get(name) ?? "");
    for (const flag of flagsOf(options)) expect(`${section} `).toContain(plain(flag));
  });
});

describe("--preset", () => {
  it("is overridden by what is given beside it", () => {
    expect(checkTrainRequest({ preset: "openai-topk", k: 8, expansion: 4 })).toMatchObject({
      k: 8,
      expansion: 4,
    });
    expect(checkTrainRequest({ preset: "openai-topk", expansion: 4 }).latents).toBeUndefined();
    const signum = { preset: "openai-topk", optimizer: "signum" } as const;
    expect(checkTrainRequest(signum)).toMatchObject({ optimizer: "signum", lr: 1e-4 });
    expect(() => checkTrainRequest({ ...signum, beta1: 0.5 })).toThrow("--beta1 is for --optimizer adam");
  });

  it("keeps its numbers beside a default that is named, also in the config.json of a run", async () => {
    const adam = { beta1: 0, beta2: 0.999, epsilon: 1e-8 };
    expect(checkTrainRequest({ preset: "gemma-scope", optimizer: "adam" })).toMatchObject(adam);
    const run = checkTrainRequest({ preset: "gemma-scope", normalize: "sqrt-d" });
    expect(await again(run, "--optimizer", "adam")).toMatchObject({ ...adam, normalize: "sqrt-d" });
    expect(await configured({ preset: "gemma-scope" }, "--optimizer", "adam")).toMatchObject(adam);
  });

  it("has units for another scaling of rows only where it has numbers in them", () => {
    const request = { preset: "sparsify-default", normalize: "sqrt-d" } as const;
    expect(checkTrainRequest(request).units).toBeUndefined();
    expect(checkTrainRequest({ ...request, clipNorm: 1 }).units).toBe("none");
    expect(checkTrainRequest({ ...request, column: "x", target: "y" }).target).toBe("y");
  });

  it("leaves its constant rate for a schedule that is given", () => {
    const rates = ["cosine", "linear"] as const;
    for (const lrSchedule of rates)
      expect(checkTrainRequest({ preset: "dictionary-learning-topk", lrSchedule }).lrDecay).toBeUndefined();
  });

  it("refuses another architecture than its own", () => {
    const request = { preset: "gemma-scope", arch: "topk" };
    expect(() => checkTrainRequest(request)).toThrow(
      "--preset gemma-scope is for --arch jumprelu, not for topk",
    );
  });

  it("keeps its numbers in its own scaling of rows, and converts them where rows are scaled in another way", async () => {
    const configOf = async (out: string, ...flags: string[]) => {
      const recipe = [
        "--preset",
        "gemma-scope",
        "--latents",
        "16",
        "--l0",
        "0.01",
        "--batch",
        "64",
        "--examples",
        "128",
      ];
      const run = await runCli(["train", file, ...recipe, ...flags, "--out", join(folder, out)]);
      expect(run).toMatchObject({ status: 0 });
      return await readRunConfig(join(folder, out));
    };
    const own = await configOf("own");
    const other = await configOf("other", "--normalize", "sqrt-d");
    const ratio = other.transform.scale / own.transform.scale;
    expect(ratio).toBeGreaterThan(1.5);
    expect(own.setup.model).toMatchObject({ jump: { bandwidth: 0.001 } });
    const { model, training } = other.setup;
    if (model.kind !== "sparse") throw new Error("a sparse model");
    expect(model.jump?.bandwidth).toBeCloseTo(0.001 * ratio, 8);
    expect(training.l1Coefficient.peak).toBeCloseTo(0.01 * ratio ** 2, 8);
  });
});

describe("--config with the config.json of a run", () => {
  it.each<TrainRequest>([
    { column: "x", target: "y" },
    { column: "x", target: "y", initBias: "median" },
    { column: "x", target: "y", initFrom: "runs/first" },
    { normalize: "layer-norm" },
    { arch: "relu", l1: 2, decoder: "unit", resampleEvery: 5 },
    { optimizer: "muon", momentum: 0.9, weightDecay: 0.2 },
  ])("has the options of that run: %o", async (request) => {
    const options = checkTrainRequest(request);
    expect(await again(options)).toEqual(options);
  });

  it("takes those of runs that recorded what has no meaning", async () => {
    const transcoder = checkTrainRequest({ column: "x", target: "y", initFrom: "runs/first" });
    expect(await again({ ...transcoder, initBias: "mean" })).toEqual(transcoder);
    const topk = checkTrainRequest({ k: 3 });
    expect(await again({ ...topk, units: "none" })).toEqual(topk);
  });

  it("gives way to flags that do not go with it", async () => {
    const muon = checkTrainRequest({ optimizer: "muon", momentum: 0.9, weightDecay: 0.2 });
    expect(await again(muon, "--optimizer", "adam")).toEqual(checkTrainRequest({}));
    const aux = checkTrainRequest({ k: 3, auxK: 4, auxCoefficient: 0.1 });
    expect(await again(aux, "--aux-mode", "variance")).toEqual({ ...aux, auxMode: "variance" });
  });
});
