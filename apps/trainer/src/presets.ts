/**
 * Published recipes by name: options of `train` as their sources state them, in the scaling of rows that they are meant
 * for. What is given beside a preset overrides it. docs/presets.md says where each number is from.
 */
import { RequestError } from "./errors.ts";
import { hasUnits } from "./options/combinations.ts";
import { overridden } from "./options/replaced.ts";

/** A published recipe. */
export interface Preset {
  /** Where it is from. */
  readonly source: string;
  /** What is done in another way here, if anything. */
  readonly deviations: readonly string[];
  /** Options of `train`; its schema refers to the presets' names, so that it cannot give them a type. */
  readonly options: Readonly<Record<string, unknown>>;
}

const GAO = "Gao et al. 2024 and openai/sparse_autoencoder";

/** Presets by name. A learning rate, λ or threshold of theirs is for `options.normalize` and our loss, see the docs. */
export const PRESETS = {
  "anthropic-april-2024": {
    source: "Anthropic, Circuits Updates April 2024; corroborated by SAELens's tutorial",
    deviations: [],
    options: {
      arch: "relu",
      decoder: "free",
      decoderNorm: 0.1,
      initBias: "zero",
      applyBDecToInput: false,
      normalize: "sqrt-d",
      center: false,
      l1: 5,
      lr: 5e-5,
      lrWarmup: 0,
      beta1: 0.9,
      beta2: 0.999,
      clipNorm: 1,
      batch: 4096,
    },
  },
  "openai-topk": {
    source: GAO,
    deviations: [],
    options: {
      arch: "topk",
      latents: 32_768,
      k: 32,
      auxK: 256,
      auxCoefficient: 1 / 32,
      deadWindow: 10_000_000,
      normalize: "layer-norm",
      initBias: "median",
      lr: 1e-4,
      lrSchedule: "constant",
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 6.25e-10,
      batch: 131_072,
    },
  },
  "gemma-scope": {
    source: "Rajamanoharan et al. 2024, Jumping Ahead; Lieberum et al. 2024, Gemma Scope",
    deviations: ["--l0 is yours to choose: they trained a range of it"],
    options: {
      arch: "jumprelu",
      l0Penalty: "step",
      bandwidth: 1e-3,
      initThreshold: 1e-3,
      l0Warmup: 10_000,
      applyBDecToInput: false,
      normalize: "unit-mean-square",
      center: false,
      lr: 7e-5,
      lrWarmup: 1000,
      lrWarmupStart: 0.1,
      lrWarmupShape: "cosine",
      lrSchedule: "constant",
      beta1: 0,
      beta2: 0.999,
      epsilon: 1e-8,
      batch: 4096,
    },
  },
  "saelens-default": {
    source: "SAELens 6.49, config.py: the standard architecture with its defaults",
    deviations: [],
    options: {
      arch: "relu",
      decoder: "free",
      decoderNorm: 0.1,
      initBias: "zero",
      normalize: "none",
      center: false,
      l1: 1,
      l1Warmup: 0,
      lr: 3e-4,
      lrSchedule: "constant",
      beta1: 0.9,
      beta2: 0.999,
      clipNorm: 1,
      batch: 4096,
    },
  },
  "sparsify-default": {
    source: "sparsify's defaults",
    deviations: ["their loss is FVU: a factor, which the sign of a gradient does not see"],
    options: {
      arch: "topk",
      expansion: 32,
      k: 32,
      optimizer: "signum-schedule-free",
      initBias: "zero",
      normalize: "none",
      center: false,
      lr: "auto",
      lrSchedule: "constant",
      deadWindow: 10_000_000,
      // 32 sequences of 2,048 tokens.
      batch: 65_536,
    },
  },
  "dictionary-learning-topk": {
    source: "dictionary_learning, TopKTrainer and its end-to-end test",
    deviations: ["AuxK takes the power of two nearest to half the dimensions, theirs half of them"],
    options: {
      arch: "topk",
      k: 40,
      auxK: "auto",
      auxCoefficient: 1 / 32,
      deadWindow: 10_000_000,
      initBias: "median",
      normalize: "unit-mean-square",
      center: false,
      lr: "auto",
      lrWarmup: 1000,
      lrDecay: 0,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      clipNorm: 1,
      batch: 8192,
    },
  },
} satisfies Record<string, Preset>;

export type PresetName = keyof typeof PRESETS;

/** Names of all presets. */
export const PRESET_NAMES = Object.keys(PRESETS) as [PresetName, ...PresetName[]];

/**
 * The request with its preset's options filled in. Where rows are scaled in another way than the preset's, all numbers
 * are still meant for its own scaling (`--units`), and are converted.
 *
 * @throws RequestError if another architecture is asked for than the preset's
 */
export function withPreset(request: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const name = request["preset"];
  if (typeof name !== "string" || !Object.hasOwn(PRESETS, name)) return { ...request };
  const { options }: Preset = PRESETS[name as PresetName];
  const { arch } = options;
  if (request["arch"] !== undefined && request["arch"] !== arch)
    throw new RequestError(
      `--preset ${name} is for --arch ${String(arch)}, not for ${request["arch"] as string}`,
    );
  return overriddenInUnits(options, request);
}

/** A recipe's options overridden by others. If those scale rows in another way, all numbers stay meant for the recipe's. */
export function overriddenInUnits(
  recipe: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const { normalize } = recipe;
  const options = overridden(recipe, given);
  // Rows after LayerNorm have no scale in common to convert from; its recipes have no numbers that would need it.
  const rescaled = normalize !== "layer-norm" && options["normalize"] !== normalize;
  if (!rescaled || options["units"] !== undefined) return options;
  const { arch, clipNorm } = options;
  return hasUnits({ arch: String(arch), clipNorm }) ? { ...options, units: normalize } : options;
}
