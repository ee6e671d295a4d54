/** Learning rates for whoever has none in mind, by model and optimiser, and where each is known to hold. */
import { ARCHITECTURES } from "./architectures/index.ts";
import type { ModelSetup, OptimizerSetup } from "./setup.ts";

/** A learning rate that was not chosen. */
export interface AutomaticRate {
  readonly rate: number;
  /** For people: where it was found. */
  readonly validity: string;
}

/** Muon's learning rate in sparsify. */
const MUON_RATE = 2e-3;
/** Learning rate of sign descent for a deep autoencoder: every element moves by it, at most what Adam moves one by. */
const DEEP_SIGN_RATE = 5e-4;
/** Adam's usual one. */
const DEEP_RATE = 1e-3;
/** Of architectures without k: SAELens's default, at mini-batches of 4,096 tokens. */
const POSITIVE_RATE = 3e-4;

/**
 * The learning rate of a model under an optimiser, Adam where there is none.
 *
 * Of `latents` latents with k: Adam's 2e-4 / √(latents / 2¹⁴) in sparsify and dictionary_learning, found at mini-batches
 * of 65,000 to 131,000 tokens and at much smaller ones only a start; sign descent's 5e-3 / √(latents / 2¹⁴), sparsify's
 * for its schedule-free Signum, at some 65,000.
 */
export function automaticRate(
  model: ModelSetup,
  optimizer: OptimizerSetup["name"] | "adam" = "adam",
): AutomaticRate {
  const isTopK = model.kind === "sparse" && ARCHITECTURES[model.architecture].selection !== "positive";
  const large = `${isTopK ? "" : "a start: "}found for TopK at mini-batches of 65,000 rows and more`;
  if (optimizer === "muon") return { rate: MUON_RATE, validity: large };
  if (optimizer !== "adam") {
    if (model.kind === "deep") return { rate: DEEP_SIGN_RATE, validity: "a start: half of Adam's" };
    const validity = optimizer === "signum" ? "that of signum-schedule-free, a start" : large;
    return { rate: 5e-3 / sizeOf(model.latents), validity };
  }
  if (model.kind === "deep") return { rate: DEEP_RATE, validity: "Adam's usual one" };
  return isTopK
    ? { rate: 2e-4 / sizeOf(model.latents), validity: large }
    : { rate: POSITIVE_RATE, validity: "found at mini-batches of 4,096 rows" };
}

function sizeOf(latents: number): number {
  return Math.sqrt(latents / 2 ** 14);
}
