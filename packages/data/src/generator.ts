/**
 * Synthetic corpora with a known answer: rows are sparse sums of unit directions, plus noise if wanted. Each row
 * is a pure function of (seed, row index), so any range can be made at any time. Corpora with more structure are feature models: see `synthetic/`.
 */
import { CorpusError } from "./errors.ts";
import { Purpose, boxMullerRadius, drawFrom, rowKey, toUniform } from "./random.ts";
import type { RowKey } from "./random.ts";
import { randomDirections } from "./synthetic/directions.ts";

/** How many features a row has. */
export type ActiveFeatures =
  /** Each feature independently with this probability. */
  | { readonly kind: "bernoulli"; readonly probability: number }
  /** Exactly so many, every set equally likely. */
  | { readonly kind: "exactly"; readonly count: number };

/** How strong an active feature is. */
export type Magnitude =
  /** Normal, negative values set to 0. */
  | { readonly kind: "normal"; readonly mean: number; readonly sd: number }
  /** Uniform between two bounds. */
  | { readonly kind: "uniform"; readonly low: number; readonly high: number };

/** Options of `createSynthetic`. */
export interface SyntheticOptions {
  /** Dimension of the rows. */
  readonly dIn: number;
  /** Number of directions. */
  readonly features: number;
  /** Any safe integer. */
  readonly seed: number;
  /**
   * Directions at right angles, which needs `features <= dIn`. Default: whenever that holds. Takes time in
   * proportion to features^2 * dIn: measured 1.5 s for 768 in 768 dimensions.
   */
  readonly orthogonal?: boolean | undefined;
  readonly active: ActiveFeatures;
  readonly magnitude: Magnitude;
  /** Standard deviation of normal noise on each number. Default: 0. */
  readonly noise?: number | undefined;
}

/** A synthetic corpus of unlimited length. */
export interface Synthetic {
  /** `[features, dIn]`, unit rows. */
  readonly directions: Float32Array;
  /**
   * Writes rows `firstRow .. firstRow + rows - 1`.
   * @param into receives `[rows, dIn]`.
   * @param activations receives the true magnitudes, `[rows, features]`.
   */
  readonly fill: (into: Float32Array, firstRow: number, rows: number, activations?: Float32Array) => void;
}

/** @throws CorpusError invalid-option. */
export function createSynthetic(options: SyntheticOptions): Synthetic {
  checkOptions(options);
  const { dIn, features, seed, noise = 0 } = options;
  const orthogonal = options.orthogonal ?? features <= dIn;
  const directions = randomDirections(dIn, features, seed, orthogonal);
  const chosen = new Uint32Array(features);
  const choose = createChooser(options.active, features);
  const magnitudeOf = createMagnitude(options.magnitude);

  const fill: Synthetic["fill"] = (into, firstRow, rows, activations) => {
    if (into.length < rows * dIn) {
      throw new RangeError(`${rows} rows of ${dIn} numbers do not fit an array of ${into.length}`);
    }
    if (activations !== undefined && activations.length < rows * features) {
      throw new RangeError(`${rows} x ${features} activations do not fit an array of ${activations.length}`);
    }
    into.fill(0, 0, rows * dIn);
    activations?.fill(0, 0, rows * features);
    for (let row = 0; row < rows; row++) {
      const index = firstRow + row;
      const base = row * dIn;
      const count = choose(rowKey(seed, Purpose.activeFeature, index), chosen);
      const key = rowKey(seed, Purpose.magnitude, index);
      for (let a = 0; a < count; a++) {
        const feature = chosen[a]!;
        const strength = Math.fround(magnitudeOf(key, feature));
        if (strength === 0) continue;
        if (activations !== undefined) activations[row * features + feature] = strength;
        const from = feature * dIn;
        for (let i = 0; i < dIn; i++) into[base + i]! += strength * directions[from + i]!;
      }
      if (noise > 0) addNoise(into, base, dIn, noise, rowKey(seed, Purpose.noise, index));
    }
  };
  return { directions, fill };
}

/** Writes the row's active features, ascending, to `chosen`; returns how many. */
type Chooser = (key: RowKey, chosen: Uint32Array) => number;

function createChooser(active: ActiveFeatures, features: number): Chooser {
  if (active.kind === "exactly") {
    const { count } = active;
    const isChosen = new Uint8Array(features);
    return ({ x, y }, chosen) => {
      // Floyd's sampling: one draw per feature, each set equally likely.
      for (let i = 0; i < count; i++) {
        const last = features - count + i;
        const pick = Math.floor(toUniform(drawFrom(x, y, i)) * (last + 1));
        const feature = isChosen[pick] === 1 ? last : pick;
        isChosen[feature] = 1;
        chosen[i] = feature;
      }
      for (let i = 0; i < count; i++) isChosen[chosen[i]!] = 0;
      chosen.subarray(0, count).sort();
      return count;
    };
  }
  const { probability } = active;
  if (probability === 0) return () => 0;
  // The gap to the next success of independent trials is geometric: a draw per active feature, not per feature.
  const logOfMiss = Math.log1p(-probability);
  return ({ x, y }, chosen) => {
    let count = 0;
    let feature = -1;
    for (;;) {
      const u = (drawFrom(x, y, count) + 1) / 4294967296;
      feature += 1 + Math.floor(Math.log(u) / logOfMiss);
      if (!(feature < features)) return count;
      chosen[count++] = feature;
    }
  };
}

function createMagnitude(magnitude: Magnitude): (key: RowKey, feature: number) => number {
  if (magnitude.kind === "uniform") {
    const { low, high } = magnitude;
    return ({ x, y }, feature) => low + (high - low) * toUniform(drawFrom(x, y, feature));
  }
  const { mean, sd } = magnitude;
  return ({ x, y }, feature) => {
    const angle = 2 * Math.PI * toUniform(drawFrom(x, y, 2 * feature + 1));
    return Math.max(0, mean + sd * boxMullerRadius(drawFrom(x, y, 2 * feature)) * Math.cos(angle));
  };
}

/** Box-Muller gives two normal numbers at a time: both are used. */
function addNoise(into: Float32Array, base: number, dIn: number, sd: number, { x, y }: RowKey): void {
  for (let i = 0; i < dIn; i += 2) {
    const radius = sd * boxMullerRadius(drawFrom(x, y, i));
    const angle = 2 * Math.PI * toUniform(drawFrom(x, y, i + 1));
    into[base + i]! += radius * Math.cos(angle);
    if (i + 1 < dIn) into[base + i + 1]! += radius * Math.sin(angle);
  }
}

function checkOptions(options: SyntheticOptions): void {
  const { dIn, features, seed, orthogonal, active, magnitude, noise = 0 } = options;
  const require = (holds: boolean, what: string): void => {
    if (!holds) throw new CorpusError("invalid-option", what);
  };
  require(Number.isInteger(dIn) && dIn >= 1, `dIn must be a positive integer, got ${dIn}`);
  require(Number.isInteger(features) &&
    features >= 1, `features must be a positive integer, got ${features}`);
  require(Number.isSafeInteger(seed), `seed must be a safe integer, got ${seed}`);
  require(orthogonal !== true ||
    features <= dIn, `${features} directions cannot be orthogonal in ${dIn} dimensions; at most ${dIn} can`);
  if (active.kind === "bernoulli") {
    const { probability } = active;
    require(probability >= 0 &&
      probability <= 1, `the probability must be between 0 and 1, got ${probability}`);
  } else {
    const { count } = active;
    const fits = Number.isInteger(count) && count >= 0 && count <= features;
    require(fits, `the count of active features must be between 0 and ${features}, got ${count}`);
  }
  if (magnitude.kind === "normal") {
    const { mean, sd } = magnitude;
    require(Number.isFinite(mean) &&
      Number.isFinite(sd) &&
      sd >= 0, `normal magnitudes need a finite mean and sd`);
  } else {
    const { low, high } = magnitude;
    const ordered = Number.isFinite(low) && Number.isFinite(high) && low <= high;
    require(ordered, `uniform magnitudes need low <= high, got ${low} and ${high}`);
  }
  require(noise >= 0 && Number.isFinite(noise), `noise must be 0 or a positive number, got ${noise}`);
}
