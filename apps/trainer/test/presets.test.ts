/** Presets: published recipes as options, and what docs/presets.md says of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { checkTrainRequest } from "../src/options.ts";
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
