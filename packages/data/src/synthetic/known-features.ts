/**
 * The ground truth of a synthetic corpus: every feature's direction, law and place in the trees, every row, and
 * what is active in it. For generators, and for evaluators who know the preset's name only.
 */
import { directionsOf } from "./directions-cache.ts";
import type { DirectionsOptions } from "./directions-cache.ts";
import { createFeatureModel } from "./feature-model.ts";
import type { FeatureModel, FeatureModelOptions } from "./feature-model.ts";
import { featureModelPreset } from "./presets.ts";
import { RowSampler } from "./row-sampler.ts";
import type { ActiveFeaturesOfRow } from "./row-sampler.ts";
import { createTables } from "./tables.ts";
import type { FeatureTables } from "./tables.ts";

/** Options of `openKnownFeatures`. */
export interface KnownFeaturesOptions extends DirectionsOptions {
  /** Other threads that will make rows from `tables`: they take the scratch spaces 1 to `threads`. Default: 0. */
  readonly threads?: number | undefined;
}

/** A feature model with its directions, ready to make rows. */
export interface KnownFeatures {
  readonly model: FeatureModel;
  /** `[features, dIn]`, unit rows. */
  readonly directions: Float32Array;
  /** What other threads need, beside `model.options`, to make the same rows with a `RowSampler` of their own. */
  readonly tables: FeatureTables;
  /**
   * Writes rows `firstRow .. firstRow + rows - 1`.
   * @param into receives `[rows, dIn]`.
   */
  readonly fill: (into: Float32Array, firstRow: number, rows: number) => void;
  /** The true features of a row, ascending, with their magnitudes. The arrays are overwritten by the next call. */
  readonly activeFeatures: (row: number) => ActiveFeaturesOfRow;
}

/**
 * The ground truth of a preset (`toy-1`, `synthsaebench-16k:1/4`, …) or of options of one's own. Directions that
 * are pushed apart take a while the first time: about two minutes for `synthsaebench-16k`, then they are kept.
 * @throws CorpusError invalid-option, unreadable.
 */
export async function openKnownFeatures(
  source: string | FeatureModelOptions,
  options: KnownFeaturesOptions = {},
): Promise<KnownFeatures> {
  const model = createFeatureModel(typeof source === "string" ? featureModelPreset(source).options : source);
  const directions = await directionsOf(model.options, options);
  const tables = createTables(model, directions, 1 + (options.threads ?? 0));
  const sampler = new RowSampler(model, tables, 0);
  return {
    model,
    directions,
    tables,
    fill: (into, firstRow, rows) => sampler.fill(into, firstRow, rows),
    activeFeatures: (row) => sampler.activeFeatures(row),
  };
}
