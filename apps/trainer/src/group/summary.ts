/** What the models of a group came to, side by side. */
import { join } from "node:path";
import { DeepAutoencoder, pairwiseCosines, type SparseAutoencoder } from "@sparseloom/core";
import { compareModels } from "../compare/compare-models.ts";
import { RunError } from "../errors.ts";
import { readRunConfig } from "../run/config.ts";
import { readModel } from "../run/model-folder.ts";
import type { TrainResult } from "../run/result.ts";
import type { Settings } from "./grid.ts";
import type { Group } from "./group-folder.ts";

/** A model of a group. */
export interface GroupModel extends TrainResult {
  readonly name: string;
  /** The values in which it differs from the others. */
  readonly settings: Settings;
  /** Mean |cosine| between different decoder rows; null while the run is not complete, and of a deep autoencoder. */
  readonly meanAbsoluteCosine: number | null;
  /**
   * Mean over its latents of the share of the group's models that differ from it in the seed alone and have the latent,
   * too; null without such models.
   */
  readonly stability: number | null;
}

/** What a group came to; `train --json` with lists prints it. */
export interface GroupResult {
  readonly directory: string;
  /** Whether all models are complete, but for those that diverged. */
  readonly complete: boolean;
  /** Whether the models have latents; those of deep autoencoders have neither L0 nor dead ones. */
  readonly sparse: boolean;
  /** By L0. */
  readonly models: readonly GroupModel[];
  readonly diverged: readonly { readonly name: string; readonly reason: string }[];
}

/** Multiply-adds for the cosines within a decoder at most, a second; beyond, every so-many-th latent is taken. */
const MOST_PRODUCTS = 1e9;

/** Measures the complete models beside each other. */
export async function summariseGroup(
  directory: string,
  group: Group,
  results: readonly TrainResult[],
  workers: number,
): Promise<GroupResult> {
  const trained = group.members.flatMap(({ name, settings }) => {
    const result = results.find(({ runDirectory }) => runDirectory === join(directory, name));
    return result === undefined || name in group.diverged ? [] : [{ name, settings, result }];
  });
  const sparse = await sparseModels(trained.filter(({ result }) => result.complete));
  const [first] = group.members;
  const { setup } = await readRunConfig(join(directory, first.name));
  const { models } = await compareModels(sparse, { workers, onlySameKind: true });
  const rows: GroupModel[] = [];
  for (const { name, settings, result } of trained) {
    const model = sparse.find((one) => one.name === name);
    const meanAbsoluteCosine = model === undefined ? null : await meanCosine(model.load);
    const stability = models.find((one) => one.name === name)?.stability ?? null;
    rows.push({ name, settings, ...result, meanAbsoluteCosine, stability });
  }
  return {
    directory,
    complete: trained.every(({ result }) => result.complete),
    sparse: setup.model.kind === "sparse",
    models: rows.sort((a, b) => l0Of(a) - l0Of(b)),
    diverged: Object.entries(group.diverged).map(([name, reason]) => ({ name, reason })),
  };
}

/** L0 and FVU on held-out rows, where there are any. */
export function l0Of({ heldOut, l0 }: TrainResult): number {
  return heldOut?.l0 ?? l0;
}

async function sparseModels(
  runs: readonly {
    name: string;
    settings: Settings;
    result: TrainResult;
  }[],
): Promise<{ name: string; kind: string; load: () => Promise<SparseAutoencoder> }[]> {
  const [first] = runs;
  // Deep autoencoders are in no group with others.
  if (first === undefined || (await readModel(first.result.runDirectory)).model instanceof DeepAutoencoder)
    return [];
  return runs.map(({ name, settings, result: { runDirectory } }) => ({
    name,
    kind: JSON.stringify({ ...settings, seed: null }),
    load: async () => {
      const { model } = await readModel(runDirectory);
      if (model instanceof DeepAutoencoder) throw new RunError(`${runDirectory} has become another model`);
      return model;
    },
  }));
}

async function meanCosine(load: () => Promise<SparseAutoencoder>): Promise<number> {
  const { parts, dOut } = await load();
  return pairwiseCosines(parts.W_dec, dOut, MOST_PRODUCTS).meanAbsolute;
}
