/**
 * A synthetic corpus described as a model of its features: how many, how often and how strongly each is active,
 * which ones need a parent, which go together. What follows from the options at little cost is here; directions
 * (`directions.ts`) and rows (`row-sampler.ts`) are elsewhere. The model is that of SynthSAEBench
 * (arXiv 2602.14687), of which toys are small cases.
 */
import { CorpusError } from "../errors.ts";
import { Purpose, gaussian } from "../random.ts";
import { normalQuantile } from "./normal-distribution.ts";

/** How often each feature is active, before a hierarchy takes its share. */
export type FeatureProbability =
  | { readonly kind: "constant"; readonly value: number }
  /** r^-exponent of the rank r, stretched so that the first is `max` and the last is `min`. */
  | { readonly kind: "zipf"; readonly exponent: number; readonly max: number; readonly min: number };

/** Trees of features: a child is active only where its parent is. Features are numbered breadth first. */
export interface FeatureHierarchy {
  /** Number of trees. Their roots are the first features; those after the last tree stand alone. */
  readonly roots: number;
  readonly branching: number;
  /** Levels below the roots. */
  readonly depth: number;
  /** At most one child of each parent is active: of those that would be, one at random. */
  readonly exclusive: boolean;
  /**
   * Probabilities are raised to make up for the parents and rivals needed: p_child / p_parent, times
   * 1 + the sum of the siblings' p / p_parent where they exclude each other, at most 1.
   */
  readonly compensate: boolean;
  /** A child's magnitude is multiplied by its parent's, over the parent's mean. */
  readonly scaleByParent: boolean;
}

/** Options of a feature model. Plain JSON: together with a row's index it says all there is to say. */
export interface FeatureModelOptions {
  readonly features: number;
  /** Dimension of the rows. */
  readonly dIn: number;
  /** Any safe integer. */
  readonly seed: number;
  readonly directions: /** Random directions at right angles; needs `features <= dIn`. */
    | { readonly kind: "orthogonal" }
    /** Random directions pushed apart by so many steps of Adam on the sum of squared products. */
    | { readonly kind: "repelled"; readonly steps: number; readonly learningRate: number };
  readonly probability: FeatureProbability;
  readonly hierarchy?: FeatureHierarchy | undefined;
  /**
   * Features are active together: a Gaussian copula whose correlations are products of random factors of this
   * rank, each normal with this scale.
   */
  readonly correlation?: { readonly rank: number; readonly scale: number } | undefined;
  /** Mean magnitude of an active feature, linear from the first feature to the last. */
  readonly magnitude: { readonly first: number; readonly last: number };
  /** Its standard deviation: the same for all, or |normal| of each feature. */
  readonly magnitudeSd:
    | { readonly kind: "constant"; readonly value: number }
    | { readonly kind: "folded-normal"; readonly mean: number; readonly sd: number };
  /** Norm of a random constant vector that is added to each row. */
  readonly biasNorm: number;
}

/** What the options say of each feature. */
export interface FeatureModel {
  readonly options: FeatureModelOptions;
  /** `[features]`: how often each is meant to be active (rivals and parents that are too rare may lower it). */
  readonly probability: Float64Array;
  /** `[features]`: how often each would be active if it needed no parent and had no rivals. */
  readonly drawnProbability: Float64Array;
  /** `[features]`: index of the parent, -1 where there is none. */
  readonly parent: Int32Array;
  /** `[features]`: mean magnitude, before scaling by the parent. */
  readonly magnitude: Float64Array;
  /** `[features]` */
  readonly magnitudeSd: Float64Array;
  /** Rank of the correlation; 0 without one. */
  readonly rank: number;
  /**
   * `[features, rank]`: a feature's score given the row's normal numbers is their product with these, minus
   * `threshold`; it would be active with the probability that a standard normal number is below the score.
   */
  readonly factor: Float32Array;
  /** `[features]` */
  readonly threshold: Float32Array;
  /** `[dIn]` */
  readonly bias: Float32Array;
  /** Features that have children: the first so many. */
  readonly parents: number;
  /** Features that belong to a tree: the first so many. */
  readonly inTrees: number;
}

/** Least variance of a feature's own share in its score: beyond it the factors are scaled down. */
const LEAST_OWN_VARIANCE = 0.01;

/** @throws CorpusError invalid-option. */
export function createFeatureModel(options: FeatureModelOptions): FeatureModel {
  checkFeatureModelOptions(options);
  const { features, dIn, seed, hierarchy, correlation } = options;
  const probability = probabilities(options.probability, features);
  const { parents, inTrees } = treeSizes(hierarchy, features);
  const parent = new Int32Array(features).fill(-1);
  if (hierarchy !== undefined) {
    const { roots, branching } = hierarchy;
    for (let f = roots; f < inTrees; f++) parent[f] = Math.floor((f - roots) / branching);
  }
  const drawn = hierarchy?.compensate ? compensated(probability, parent, hierarchy) : probability.slice();
  const rank = correlation?.rank ?? 0;
  const factor = new Float32Array(features * rank);
  const threshold = new Float32Array(features);
  for (let f = 0; f < features; f++) {
    const row = Array.from(
      { length: rank },
      (_, k) => gaussian(seed, Purpose.correlationFactor, f, k) * (correlation?.scale ?? 0),
    );
    const square = row.reduce((sum, x) => sum + x * x, 0);
    const shrink = 1 - square < LEAST_OWN_VARIANCE ? Math.sqrt((1 - LEAST_OWN_VARIANCE) / square) : 1;
    const ownSd = Math.sqrt(1 - square * shrink * shrink);
    for (let k = 0; k < rank; k++) factor[f * rank + k] = (row[k]! * shrink) / ownSd;
    threshold[f] = -normalQuantile(drawn[f]!) / ownSd;
  }
  return {
    options,
    probability,
    drawnProbability: drawn,
    parent,
    magnitude: Float64Array.from({ length: features }, (_, f) => linear(options.magnitude, f, features)),
    magnitudeSd: Float64Array.from({ length: features }, (_, f) => sdOf(options, f)),
    rank,
    factor,
    threshold,
    bias: biasOf(dIn, seed, options.biasNorm),
    parents,
    inTrees,
  };
}

function probabilities(law: FeatureProbability, features: number): Float64Array {
  if (law.kind === "constant") return new Float64Array(features).fill(law.value);
  const { exponent, max, min } = law;
  const last = features ** -exponent;
  return Float64Array.from({ length: features }, (_, f) =>
    features === 1 ? max : min + ((max - min) * ((f + 1) ** -exponent - last)) / (1 - last),
  );
}

/** Sizes of a complete forest, cut off at the number of features. */
function treeSizes(
  hierarchy: FeatureHierarchy | undefined,
  features: number,
): { parents: number; inTrees: number } {
  if (hierarchy === undefined) return { parents: 0, inTrees: 0 };
  let level = hierarchy.roots;
  let inTrees = level;
  let inner = 0;
  for (let depth = 0; depth < hierarchy.depth; depth++) {
    inner = inTrees;
    level *= hierarchy.branching;
    inTrees += level;
  }
  inTrees = Math.min(inTrees, features);
  const withChildren = Math.ceil((inTrees - hierarchy.roots) / hierarchy.branching);
  return { parents: Math.max(0, Math.min(inner, withChildren)), inTrees };
}

function compensated(
  probability: Float64Array,
  parent: Int32Array,
  { exclusive }: FeatureHierarchy,
): Float64Array {
  const sums = new Float64Array(probability.length);
  const children = new Uint32Array(probability.length);
  for (const [f, up] of parent.entries()) {
    if (up < 0) continue;
    sums[up]! += probability[f]!;
    children[up]! += 1;
  }
  return probability.map((p, f) => {
    const up = parent[f]!;
    if (up < 0) return p;
    const above = probability[up]!;
    const rivals = exclusive && children[up]! > 1 ? 1 + Math.max(0, sums[up]! - p) / above : 1;
    return Math.min(1, (p / above) * rivals);
  });
}

function linear({ first, last }: { first: number; last: number }, index: number, count: number): number {
  return count === 1 ? first : first + ((last - first) * index) / (count - 1);
}

function sdOf({ magnitudeSd, seed }: FeatureModelOptions, feature: number): number {
  if (magnitudeSd.kind === "constant") return magnitudeSd.value;
  return Math.abs(magnitudeSd.mean + magnitudeSd.sd * gaussian(seed, Purpose.magnitudeSd, feature));
}

function biasOf(dIn: number, seed: number, norm: number): Float32Array {
  const raw = Array.from({ length: dIn }, (_, i) => gaussian(seed, Purpose.bias, 0, i));
  const factor = norm / Math.hypot(...raw);
  // Adding 0 makes 0 of -0, which a norm of 0 would leave.
  return Float32Array.from(raw, (x) => x * factor + 0);
}

/** @throws CorpusError invalid-option, saying which and what would be right. */
function checkFeatureModelOptions(options: FeatureModelOptions): void {
  const require = (holds: boolean, what: string): void => {
    if (!holds) throw new CorpusError("invalid-option", what);
  };
  const { features, dIn, seed, directions, probability, hierarchy, correlation } = options;
  for (const [name, value] of Object.entries({ features, dIn })) {
    require(Number.isInteger(value) && value >= 1, `${name} must be a positive integer, got ${value}`);
  }
  require(Number.isSafeInteger(seed), `seed must be a safe integer, got ${seed}`);
  const fit = directions.kind === "repelled" || features <= dIn;
  require(fit, `${features} directions cannot be orthogonal in ${dIn} dimensions; at most ${dIn} can`);
  const [least, most] =
    probability.kind === "constant"
      ? [probability.value, probability.value]
      : [probability.min, probability.max];
  require(least > 0 && most >= least && most <= 1, `probabilities must be above 0 and at most 1`);
  if (hierarchy !== undefined) {
    for (const name of ["roots", "branching", "depth"] as const) {
      const value = hierarchy[name];
      require(Number.isInteger(value) && value >= 1, `${name} must be a positive integer, got ${value}`);
    }
    require(hierarchy.roots <= features, `there cannot be more roots than features`);
  }
  if (correlation !== undefined) {
    const { rank, scale } = correlation;
    require(Number.isInteger(rank) &&
      rank >= 1 &&
      scale >= 0, `a correlation needs a positive rank and a scale`);
  }
  const { first, last } = options.magnitude;
  require(first > 0 && last > 0, `mean magnitudes must be positive, got ${first} to ${last}`);
  require(options.biasNorm >= 0 &&
    Number.isFinite(options.biasNorm), `biasNorm must be 0 or a positive number`);
}
