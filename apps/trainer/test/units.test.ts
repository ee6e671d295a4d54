/** Hyper-parameters that were found on rows of another scale. */
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { readRunConfig } from "../src/run/config.ts";
import { runCli, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const file = join(folder, "acts.arrow");
beforeAll(() => writeSmallCorpus(file));

it("--units says in which scaling λ, thresholds and their window are meant", async () => {
  const configOf = async (name: string, ...flags: string[]) => {
    const out = join(folder, name);
    const model = [
      "--arch",
      "jumprelu",
      "--latents",
      "16",
      "--batch",
      "64",
      "--l0",
      "0.5",
      "--examples",
      "64",
      "--clip-norm",
      "2",
    ];
    expect(await runCli(["train", file, ...model, ...flags, "--out", out])).toMatchObject({ status: 0 });
    return await readRunConfig(out);
  };
  const there = await configOf("there", "--normalize", "sqrt-d");
  const here = await configOf("here", "--normalize", "unit-mean-square", "--units", "sqrt-d");
  const ratio = here.transform.scale / there.transform.scale;
  expect(ratio).not.toBeCloseTo(1, 1);
  const { setup } = here;
  expect(there.setup.training).not.toHaveProperty("clipUnits");
  expect(setup.training).toMatchObject({ clipNorm: 2, clipUnits: ratio });
  expect(setup.training.l1Coefficient.peak).toBeCloseTo(0.5 * ratio ** 2, 6);
  expect(setup.model).toMatchObject({ jump: { bandwidth: 0.05 * ratio, initialThreshold: 0.01 * ratio } });
});
