/** Hyper-parameters that were found on rows of another scale. */
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { readRunConfig } from "../src/run/config.ts";
import { train } from "../src/train.ts";
import { temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const file = join(folder, "acts.arrow");
beforeAll(() => writeSmallCorpus(file));

it("--units says in which scaling λ, thresholds, their window and the clipped norm are meant", async () => {
  const configOf = async (name: string, scaling: TrainRequest) => {
    const model = { arch: "jumprelu", latents: 16, l0: 0.5, clipNorm: 2 } as const;
    const options = checkTrainRequest({ ...model, batch: 64, examples: 64, workers: 1, ...scaling });
    await train([file], options, join(folder, name));
    return await readRunConfig(join(folder, name));
  };
  const there = await configOf("there", { normalize: "sqrt-d" });
  const here = await configOf("here", { normalize: "unit-mean-square", units: "sqrt-d" });
  const ratio = here.transform.scale / there.transform.scale;
  expect(ratio).not.toBeCloseTo(1, 1);
  const { setup } = here;
  expect(there.setup.training).not.toHaveProperty("clipUnits");
  expect(setup.training).toMatchObject({ clipNorm: 2, clipUnits: ratio });
  expect(setup.training.l1Coefficient.peak).toBeCloseTo(0.5 * ratio ** 2, 6);
  expect(setup.model).toMatchObject({ jump: { bandwidth: 0.05 * ratio, initialThreshold: 0.01 * ratio } });
});
