import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { useTemporaryFolder } from "../../test/temporary-folder.ts";
import { directionsOf } from "./directions-cache.ts";
import { featureModelPreset } from "./presets.ts";

const at = useTemporaryFolder();
// Just large enough to be worth keeping.
const model = {
  ...featureModelPreset("toy-2").options,
  features: 1200,
  dIn: 240,
  directions: { kind: "repelled", steps: 100, learningRate: 1e-3 },
} as const;

it("keeps directions that take long, and computes them again when the file is damaged", async () => {
  const cacheFolder = at("cache");
  let steps = 0;
  const options = { cacheFolder, onStep: () => steps++ };
  const first = await directionsOf(model, options);
  expect(steps).toBe(100);
  expect(await directionsOf(model, options)).toEqual(first);
  expect(steps).toBe(100);
  const [name] = await readdir(cacheFolder);
  const path = join(cacheFolder, name!);
  const bytes = await readFile(path);
  bytes[1000]! ^= 1;
  await writeFile(path, bytes);
  expect(await directionsOf(model, options)).toEqual(first);
  expect(steps).toBe(200);
  expect(await readdir(cacheFolder)).toEqual([name]);
}, 60_000);

it("computes small ones each time, and says when a folder cannot be written", async () => {
  const cacheFolder = at("taken");
  await writeFile(cacheFolder, "a file, not a folder");
  const notices: string[] = [];
  const onNotice = (line: string): void => void notices.push(line);
  await directionsOf(featureModelPreset("toy-1").options, { cacheFolder, onNotice });
  expect(notices).toEqual([]);
  await directionsOf(model, { cacheFolder, onNotice });
  expect(notices).toEqual([expect.stringMatching(/cannot be kept in .*taken.*(EEXIST|ENOTDIR)/)]);
});
