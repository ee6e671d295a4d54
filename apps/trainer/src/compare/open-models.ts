/** What `compare` is given, as models: run directories, model folders, and directories of runs trained together. */
import { basename, join } from "node:path";
import { DeepAutoencoder, type SparseAutoencoder } from "@sparseloom/core";
import { RequestError } from "../errors.ts";
import { isGroup, readGroup } from "../group/group-folder.ts";
import { readRunConfig, type RunConfig } from "../run/config.ts";
import { isFile } from "../run/entries.ts";
import { readModel } from "../run/model-folder.ts";
import type { ModelToCompare } from "./compare-models.ts";

/**
 * Finds the models at `paths`. Each is read once, to be checked, and again when it is compared.
 *
 * @throws RequestError if there are fewer than two, one twice, a deep autoencoder, or models of different dimensions
 */
export async function openModels(paths: readonly string[]): Promise<ModelToCompare[]> {
  const all = (await Promise.all(paths.map(runsIn))).flat();
  if (all.length < 2) {
    // What is not there at all is the nearer fault.
    for (const path of all) await load(path);
    throw new RequestError(
      `compare needs at least two models, got ${all.length}: give run directories, or one of runs trained together`,
    );
  }
  const twice = all.find((path, i) => all.indexOf(path) !== i);
  if (twice !== undefined) throw new RequestError(`${twice} is named twice`);
  const short = all.map((path) => basename(path));
  const names = new Set(short).size === all.length ? short : all;
  const models: ModelToCompare[] = [];
  let first: { readonly path: string; readonly dIn: number; readonly dOut: number } | undefined;
  for (const [i, path] of all.entries()) {
    const { dIn, dOut } = await load(path);
    first ??= { path, dIn, dOut };
    if (dIn !== first.dIn)
      throw new RequestError(
        `${path} reads ${dIn} dimensions, but ${first.path} reads ${first.dIn}: only models of one place can be compared`,
      );
    if (dOut !== first.dOut)
      throw new RequestError(
        `${path} rebuilds ${dOut} dimensions, but ${first.path} rebuilds ${first.dOut}: only models of one place can be compared`,
      );
    const config = (await isFile(join(path, "config.json"))) ? await readRunConfig(path) : undefined;
    models.push({
      name: names[i],
      kind: config === undefined ? undefined : kindOf(config),
      load: () => load(path),
    });
  }
  return models;
}

/** The complete runs of a group, or the path itself. */
async function runsIn(path: string): Promise<string[]> {
  if (!(await isGroup(path))) return [path];
  const { members, diverged } = await readGroup(path);
  return members.filter(({ name }) => !(name in diverged)).map(({ name }) => join(path, name));
}

async function load(path: string): Promise<SparseAutoencoder> {
  const { model } = await readModel(path);
  if (model instanceof DeepAutoencoder)
    throw new RequestError(`${path} is a deep autoencoder: it has no latents to match`);
  return model;
}

/** What a run trained, and on what, but for the seed. */
function kindOf({ corpus, setup, totalExamples, options }: RunConfig): string {
  const { normalize, center, init, initBias } = options;
  const how = { normalize, center, init, initBias };
  return JSON.stringify([corpus.fingerprint, corpus.column, setup, totalExamples, how]);
}
