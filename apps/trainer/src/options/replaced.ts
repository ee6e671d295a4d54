/** Options that take the place of others, where both are given in places of different rank: as flags, in a file, by a preset. */
import { ARCHITECTURES } from "@sparseloom/core";
import { hasUnits, INITIAL, isOptionOf, RESAMPLING } from "./combinations.ts";

type Values = Readonly<Record<string, unknown>>;

/** The options that a value takes the place of, among `all` that are given. */
type Replaced = (value: unknown, all: Values) => readonly string[];

/** By option: those that do not go with it, whatever its value. */
const ALTERNATIVES: Readonly<Record<string, readonly string[]>> = {
  latents: ["expansion"],
  expansion: ["latents"],
  epochs: ["examples"],
  examples: ["epochs"],
  seed: ["seeds"],
  seeds: ["seed"],
  column: ["columns"],
  columns: ["column", "target"],
  target: ["columns"],
  initFrom: INITIAL,
  ...Object.fromEntries(INITIAL.map((key) => [key, ["initFrom"]])),
  resampleAt: ["resampleEvery"],
  resampleEvery: ["resampleAt"],
};

/**
 * By option: those that do not go with some of its values, or mean something else beside another; and `standard`, its
 * value where none is given. What chooses the kind of a model or of its data (arch, decoder, optimizer, target) gives
 * way to none of its details.
 */
const CHOICES: Readonly<Record<string, { readonly standard?: unknown; readonly replaced: Replaced }>> = {
  arch: { standard: "topk", replaced: (arch, all) => foreignTo([arch].flat().map(String), all) },
  optimizer: { standard: "adam", replaced: (name) => UNUSED_BY[String(name)] ?? [] },
  // α's default depends on the mode, too.
  auxMode: { standard: "variance", replaced: () => ["auxCoefficient"] },
  decoder: {
    // ReLU's, which alone has the others.
    standard: "free",
    replaced: (decoder) => (decoder === "unit" ? ["decoderNorm"] : ["pAnnealStart", ...RESAMPLING]),
  },
  l0Penalty: {
    standard: "step",
    replaced: (penalty) => [
      ...(penalty === "quadratic" ? [] : ["targetL0"]),
      ...(penalty === "tanh" ? [] : ["tanhScale"]),
    ],
  },
  initEncoderBias: { standard: "zero", replaced: (bias) => (bias === "sparse" ? [] : ["initRate"]) },
  target: {
    replaced: (_, { initEncoder, applyBDecToInput }) => [
      ...RESAMPLING,
      ...(initEncoder === "random" ? [] : ["initEncoder"]),
      ...(applyBDecToInput === true ? ["applyBDecToInput"] : []),
    ],
  },
  normalize: {
    replaced: (kind, { center }) => (kind === "layer-norm" && center === true ? ["center"] : []),
  },
  lrWarmup: { replaced: (steps) => (steps === 0 ? ["lrWarmupStart", "lrWarmupShape"] : []) },
  lrSchedule: {
    replaced: (schedule, { lrDecay }) => {
      if (schedule === "constant") return ["lrDecay", "lrEnd"];
      return lrDecay === 0 ? ["lrDecay"] : [];
    },
  },
  lrDecay: {
    replaced: (steps, { lrSchedule }) => {
      if (steps === 0) return ["lrSchedule", "lrEnd"];
      return lrSchedule === "constant" ? ["lrSchedule"] : [];
    },
  },
  lrEnd: {
    replaced: (rate, { lrSchedule, lrDecay }) => [
      ...(rate !== 0 && lrSchedule === "constant" ? ["lrSchedule"] : []),
      ...(rate !== 0 && lrDecay === 0 ? ["lrDecay"] : []),
    ],
  },
  heldOut: { replaced: (share) => (share === 0 ? ["evalEvery"] : []) },
  encoder: { replaced: (encoder) => (encoder === "exact" ? ["audit"] : []) },
  audit: { replaced: (share, { encoder }) => (share !== 0 && encoder === "exact" ? ["encoder"] : []) },
};

/** By optimiser: the options that it has no use for. Muon updates vectors by Adam. */
const UNUSED_BY: Readonly<Record<string, readonly string[]>> = {
  adam: ["momentum", "weightDecay"],
  signum: ["beta1", "beta2", "epsilon", "weightDecay"],
  "signum-schedule-free": [
    "beta1",
    "beta2",
    "epsilon",
    "weightDecay",
    "lrSchedule",
    "lrDecay",
    "lrEnd",
    "ema",
  ],
};

/** By option: what it is a detail of, without which it has no meaning. */
const DETAIL_OF: Readonly<Record<string, string>> = {
  auxMode: "auxK",
  auxCoefficient: "auxK",
  evalSample: "evalEvery",
  initRate: "initEncoderBias",
  kAnneal: "kAnnealSteps",
  pEnd: "pAnnealStart",
  pNorm: "pAnnealStart",
  resampleUntil: "resampleEvery",
  skip: "target",
};

/** What none of some architectures has. */
function foreignTo(architectures: readonly string[], all: Values): string[] {
  const among = (has: (architecture: string) => boolean): boolean => architectures.some(has);
  const keys = Object.keys(all).filter((key) => !among((arch) => isOptionOf(arch, key)));
  const decoders: string[] = Object.entries(ARCHITECTURES).flatMap(([name, architecture]) =>
    architectures.includes(name) ? architecture.decoders : [],
  );
  if (!decoders.includes(String(all["decoder"]))) keys.push("decoder");
  if (!among((arch) => arch === "relu")) keys.push(...RESAMPLING);
  // An autoencoder's is of another penalty.
  if (!among((arch) => arch !== "autoencoder") && all["bottleneckL1"] === undefined) keys.push("l1Warmup");
  if (!among((arch) => hasUnits({ arch, clipNorm: all["clipNorm"] }))) keys.push("units");
  return keys;
}

/**
 * What is left of `options` beside those that were given with more right, which come on top. Options give way only where
 * they would be refused or mean something else: to name the value that holds already changes nothing.
 */
export function overridden(options: Values, given: Values): Record<string, unknown> {
  const all = { ...options, ...given };
  const dropped = new Set<string>();
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === options[key]) continue;
    for (const other of ALTERNATIVES[key] ?? []) dropped.add(other);
    const choice = CHOICES[key];
    if (choice === undefined || value === (options[key] ?? choice.standard)) continue;
    for (const other of choice.replaced(value, all)) dropped.add(other);
  }
  for (const [detail, whole] of Object.entries(DETAIL_OF))
    if (dropped.has(whole) && given[whole] === undefined) dropped.add(detail);
  const own = Object.entries(options).filter(([key]) => !dropped.has(key));
  return { ...Object.fromEntries(own), ...given };
}
