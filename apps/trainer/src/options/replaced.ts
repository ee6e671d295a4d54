/** Options that take the place of others, where both are given in places of different rank: as flags, in a file, by a preset. */

/** By option: those that do not go with another value of it. */
const REPLACED: Readonly<Record<string, readonly string[]>> = {
  latents: ["expansion"],
  expansion: ["latents"],
  epochs: ["examples"],
  examples: ["epochs"],
  seed: ["seeds"],
  seeds: ["seed"],
  column: ["columns"],
  columns: ["column", "target", "skip"],
  target: ["columns"],
  decoder: ["decoderNorm"],
  initFrom: [
    "init",
    "decoderNorm",
    "initBias",
    "initEncoder",
    "initEncoderBias",
    "initRate",
    "initThreshold",
  ],
  init: ["initFrom"],
  decoderNorm: ["initFrom"],
  initBias: ["initFrom"],
  initEncoder: ["initFrom"],
  initEncoderBias: ["initFrom"],
  initRate: ["initFrom"],
  initThreshold: ["initFrom"],
  optimizer: ["beta1", "beta2", "epsilon"],
  lrDecay: ["lrSchedule"],
  auxMode: ["auxCoefficient"],
  resampleAt: ["resampleEvery", "resampleUntil"],
  resampleEvery: ["resampleAt"],
};

/** What is left of `options` beside those that were given with more right, which come on top. */
export function overridden(
  options: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const other = Object.keys(REPLACED).filter(
    (key) => given[key] !== undefined && given[key] !== options[key],
  );
  const dropped = new Set(other.flatMap((key) => REPLACED[key] ?? []));
  const own = Object.entries(options).filter(([key]) => !dropped.has(key));
  return { ...Object.fromEntries(own), ...given };
}
