/**
 * The check against sae-lens itself, where Python and sae-lens are there to ask: set SPARSELOOM_PYTHON to the
 * Python that has them (default `python3`).
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { exportSaeLens, type SaeLensModel } from "../src/index.ts";
import { checkSaeLens } from "./check-saelens.ts";

const PYTHON = process.env["SPARSELOOM_PYTHON"] ?? "python3";
const D_IN = 24;
const LATENTS = 96;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sparseloom-check-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Weights without structure: what matters is that no element, row or column equals another. */
function weights(length: number, phase: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(phase + i * 1.618 + (i % 7) * 0.37));
}

function modelOf(architecture: SaeLensModel["architecture"], applyBDecToInput: boolean): SaeLensModel {
  return {
    architecture,
    dIn: D_IN,
    latents: LATENTS,
    ...(architecture === "topk" ? { k: 8 } : {}),
    ...(architecture === "jumprelu" ? { threshold: weights(LATENTS, 5).map(Math.abs) } : {}),
    ...(architecture === "gated" ? { r_mag: weights(LATENTS, 6), b_mag: weights(LATENTS, 7) } : {}),
    applyBDecToInput,
    W_enc: weights(D_IN * LATENTS, 1),
    b_enc: weights(LATENTS, 2),
    W_dec: weights(LATENTS * D_IN, 3),
    b_dec: weights(D_IN, 4),
  };
}

/** Writes a model's folder and returns its path. */
async function write(name: string, model: SaeLensModel): Promise<string> {
  const path = join(folder, name);
  await mkdir(path);
  const files = exportSaeLens(model, { sparseloom: { seed: 1 } });
  await writeFile(join(path, "cfg.json"), files["cfg.json"]);
  await writeFile(join(path, "sae_weights.safetensors"), files["sae_weights.safetensors"]);
  return path;
}

it("says so when Python is not there", async () => {
  const model = { folder: await write("nobody", modelOf("topk", true)) };
  const results = await checkSaeLens([model, model], "no-such-python");
  expect(results.map(({ status }) => status)).toEqual(["skipped", "skipped"]);
  expect(results[0]?.line).toBe("skipped: no-such-python was not found");
});

it("sae-lens encodes and decodes exported models as we do, and the check sees a wrong number", async (context) => {
  const models = [
    { folder: await write("standard", modelOf("standard", true)) },
    { folder: await write("standard-raw", modelOf("standard", false)) },
    { folder: await write("topk", modelOf("topk", true)) },
    { folder: await write("topk-raw", modelOf("topk", false)) },
    { folder: await write("jumprelu", modelOf("jumprelu", true)) },
    { folder: await write("jumprelu-raw", modelOf("jumprelu", false)) },
    { folder: await write("gated", modelOf("gated", true)) },
    { folder: await write("gated-raw", modelOf("gated", false)) },
    { folder: await write("topk-layer-norm", { ...modelOf("topk", true), layerNorm: true }) },
    { folder: await write("gated-layer-norm", { ...modelOf("gated", false), layerNorm: true }) },
    { folder: await write("wrong-features", modelOf("topk", true)) },
    { folder: await write("wrong-reconstruction", modelOf("standard", true)) },
  ];
  const results = await checkSaeLens(models, PYTHON, (reference, index) => {
    // A change of 1 in 10,000 of the largest value: ten times the tolerance.
    if (index === 10) return { ...reference, features: reference.features.map((value) => value * 1.0001) };
    if (index === 11)
      return { ...reference, reconstruction: reference.reconstruction.map((v) => v * 1.0001) };
    return reference;
  });
  if (results[0]?.status === "skipped") context.skip(results[0].line);
  const statuses = [...Array<string>(10).fill("ok"), "mismatch", "mismatch"];
  // The lines are compared along so that a failure shows them.
  expect(results).toEqual(statuses.map((status) => ({ status, line: expect.any(String) })));
}, 300_000);
