/**
 * Feature models by name: the toys and the benchmark of the field, and smaller copies of them. What a preset says
 * never changes under its name: corpora are known by it.
 */
import { CorpusError } from "../errors.ts";
import type { FeatureModelOptions } from "./feature-model.ts";

/** A preset, and what is said of it. */
export interface FeatureModelPreset {
  readonly options: FeatureModelOptions;
  /** Rows of `synth:<name>` where none are asked for: those of the published runs. */
  readonly rows: number;
  /** One line. */
  readonly description: string;
}

/** The presets by name. */
export const FEATURE_MODEL_PRESETS: Readonly<Record<string, FeatureModelPreset>> = {
  "toy-1": {
    description: "16 orthogonal features in 32 dimensions, each active in a quarter of the rows",
    rows: 10_000_000,
    options: {
      features: 16,
      dIn: 32,
      seed: 42,
      directions: { kind: "orthogonal" },
      probability: { kind: "constant", value: 0.25 },
      magnitude: { first: 1, last: 1 },
      magnitudeSd: { kind: "constant", value: 0.05 },
      biasNorm: 0,
    },
  },
  "toy-2": {
    description: "32 features in 28 dimensions, from frequent to rare, one of them the parent of seven",
    rows: 10_000_000,
    options: {
      features: 32,
      dIn: 28,
      seed: 42,
      directions: { kind: "repelled", steps: 200, learningRate: 0.01 },
      probability: { kind: "zipf", exponent: 1.2, max: 0.25, min: 0.01 },
      hierarchy: {
        roots: 1,
        branching: 7,
        depth: 1,
        exclusive: false,
        compensate: false,
        scaleByParent: false,
      },
      magnitude: { first: 1, last: 1 },
      magnitudeSd: { kind: "constant", value: 0.3 },
      biasNorm: 0,
    },
  },
  "synthsaebench-16k": {
    description:
      "SynthSAEBench: 16,384 features in 768 dimensions, in trees, correlated, about 34 in each row",
    rows: 200_000_000,
    options: {
      features: 16_384,
      dIn: 768,
      seed: 42,
      directions: { kind: "repelled", steps: 100, learningRate: 3e-4 },
      probability: { kind: "zipf", exponent: 0.5, max: 0.4, min: 5e-4 },
      hierarchy: {
        roots: 128,
        branching: 4,
        depth: 3,
        exclusive: true,
        compensate: true,
        scaleByParent: true,
      },
      correlation: { rank: 25, scale: 0.1 },
      magnitude: { first: 5, last: 4 },
      magnitudeSd: { kind: "folded-normal", mean: 0.5, sd: 0.5 },
      biasNorm: 0.5,
    },
  },
};

/**
 * A preset by its name. The name may end in a scale, `synthsaebench-16k:1/4`.
 * @throws CorpusError invalid-option for names that are not known.
 */
export function featureModelPreset(name: string): FeatureModelPreset {
  const [, base = name, scale] = /^(.*?)(?::(.*))?$/s.exec(name) ?? [];
  const preset = Object.hasOwn(FEATURE_MODEL_PRESETS, base) ? FEATURE_MODEL_PRESETS[base] : undefined;
  if (preset === undefined) {
    const known = Object.keys(FEATURE_MODEL_PRESETS).join(", ");
    throw new CorpusError("invalid-option", `there is no preset "${base}"; there are: ${known}`);
  }
  if (scale === undefined) return preset;
  return { ...preset, options: scaleFeatureModel(preset.options, parseScale(scale)) };
}

/** `1/4` or `0.25` as a number. @throws CorpusError invalid-option unless above 0 and at most 1. */
export function parseScale(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(?:\/(\d+(?:\.\d+)?))?$/.exec(text);
  const value = match === null ? Number.NaN : Number(match[1]) / Number(match[2] ?? 1);
  if (!(value > 0 && value <= 1)) {
    throw new CorpusError(
      "invalid-option",
      `a scale is a number above 0 and at most 1, such as 1/4; got "${text}"`,
    );
  }
  return value;
}

/**
 * A smaller copy: features and roots times `scale`, dimensions times its square root. With Zipf's exponent 1/2
 * the mean number of active features goes with the square root of the number of features, so active features per
 * dimension, which decide how much they disturb each other, stay what they were. All else is unchanged.
 */
export function scaleFeatureModel(options: FeatureModelOptions, scale: number): FeatureModelOptions {
  if (scale === 1) return options;
  const { features, dIn, hierarchy } = options;
  // A multiple of 4, so that rows are whole vectors.
  const dimensions = Math.max(4, 4 * Math.round((dIn * Math.sqrt(scale)) / 4));
  return {
    ...options,
    features: Math.max(1, Math.round(features * scale)),
    dIn: dimensions,
    ...(hierarchy === undefined
      ? {}
      : { hierarchy: { ...hierarchy, roots: Math.max(1, Math.round(hierarchy.roots * scale)) } }),
  };
}
