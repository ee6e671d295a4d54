/** Choosing how pre-activations are found: by the exact product, or by screening. */
import { OptionError } from "./errors.ts";
import type { KernelVariant } from "./kernel-variants.ts";
import type { Encoder } from "./plan.ts";
import type { ModelSetup } from "./setup.ts";

/**
 * Below so many dimensions or latents, and above such a share of active latents, the exact product is as fast. Measured
 * on one thread, steps with the screened encoder over those with the exact one, by sums of 16 and of 32 bits: 128 dimensions and 1,024 latents
 * 1.03 and 1.16, 4,096 latents 1.1–1.4 and 1.7; at 64 dimensions as fast.
 */
const FEWEST_DIMENSIONS = 128;
const FEWEST_LATENTS = 1024;
const LARGEST_ACTIVE_SHARE = 1 / 32;

/** Whether a model's rows can be screened at all under `kernels`: it has latents, and the kernels an integer product. */
export function canScreen(model: ModelSetup, kernels: KernelVariant): boolean {
  return (
    model.kind === "sparse" && (kernels === "wasm-relaxed-simd" || kernels === "wasm-relaxed-simd-unfused")
  );
}

/**
 * The encoder for a model under `kernels`. `auto` screens where that is faster; a run still takes the exact product for
 * steps in which screening does not pay, such as the first of a ReLU autoencoder. No bit of a result depends on it, up
 * to the probability stated in docs/decisions/009.
 *
 * @throws OptionError if screening is requested but cannot be
 */
export function chooseEncoder(request: "auto" | Encoder, model: ModelSetup, kernels: KernelVariant): Encoder {
  if (request === "exact") return "exact";
  const able = canScreen(model, kernels);
  if (request === "screened") {
    if (model.kind !== "sparse") {
      throw new OptionError("encoder", "a deep autoencoder has no latents to screen: use auto or exact");
    }
    if (!able) {
      throw new OptionError(
        "encoder",
        `screening needs WebAssembly's relaxed SIMD, the kernels are ${kernels}: use auto or exact`,
      );
    }
    return "screened";
  }
  if (model.kind !== "sparse" || !able) return "exact";
  const large = model.dIn >= FEWEST_DIMENSIONS && model.latents >= FEWEST_LATENTS;
  return large && model.k <= LARGEST_ACTIVE_SHARE * model.latents ? "screened" : "exact";
}
