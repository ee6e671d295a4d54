/**
 * Controls of a study: what is found without training, by the best dense code, and by training on rows that have no
 * features. What a trained dictionary is worth shows only beside them.
 */
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import { decodeSafetensors } from "@sparseloom/core";
import { writeCorpus } from "@sparseloom/data";
import { randomSource } from "../src/random.ts";
import { MODELS } from "./claims.ts";
import type { ModelLine } from "./measures.ts";
import { principalAutoencoder, shuffleDimensions, topKAutoencoder } from "./principal.ts";
import { readRows } from "./rows.ts";
import type { Recipe, Study } from "./studies.ts";
import type { SeedRuns, Workbench } from "./workbench.ts";

/** Rows whose principal directions are taken, at most. */
const PRINCIPAL_ROWS = 50_000;

/** Measures the controls. `trained`: runs of `recipe` on the study's own rows, for the first parameters. */
export async function measureControls(
  bench: Workbench,
  study: Study,
  recipe: Recipe,
  trained: SeedRuns,
): Promise<ModelLine[]> {
  const corpus = await bench.corpusOf(study);
  const rows = await readRows({ corpus, split: "train", rows: study.controlRows });
  const line = { study: study.name, system: "control" } as const;
  const principal = principalAutoencoder(rows.values.slice(0, PRINCIPAL_ROWS * rows.dIn), rows.dIn, study.k);
  const principalFolder = await bench.writeModel(principal, trained.runs[0]);
  const untrained: string[] = [];
  for (const run of trained.runs) {
    const { W_dec, b_dec } = await firstState(run);
    untrained.push(await bench.writeModel(topKAutoencoder(W_dec, b_dec, rows.dIn, study.k), run));
  }
  shuffleDimensions(rows.values, rows.dIn, randomSource(1));
  const file = bench.path("shuffled.arrow");
  await writeCorpus(file, { dIn: rows.dIn, type: "float32" }, [rows]);
  const shuffled = await bench.train(study, recipe, {}, file);
  return [
    { ...line, model: MODELS.principal, runs: await bench.measureAll(study, [principalFolder]) },
    { ...line, model: MODELS.untrained, runs: await bench.measureAll(study, untrained) },
    {
      ...line,
      model: MODELS.shuffled,
      runs: await bench.measureAll(study, shuffled.runs),
      seconds: shuffled.seconds,
    },
  ];
}

/** Decoder and its bias as they were after the first, hardly noticeable, step of the warm-up. */
async function firstState(run: string): Promise<{ W_dec: Float32Array; b_dec: Float32Array }> {
  const path = join(run, "checkpoints", "1", "state.safetensors");
  const { tensors } = decodeSafetensors(new Uint8Array(await readFile(path)));
  const of = (name: string): Float32Array => tensors.get(name)?.data as Float32Array;
  return { W_dec: of("W_dec"), b_dec: of("b_dec") };
}
