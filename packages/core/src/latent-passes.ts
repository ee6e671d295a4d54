/** How latents are gathered and updated: a latent's weights at once, or all decoder rows before any encoder row. */
import { ARCHITECTURES } from "./architectures/index.ts";
import type { LatentWeights } from "./kernels.ts";
import { hasAuxiliary, hasPreActLoss, hasWide } from "./plan-sparse.ts";
import type { Plan } from "./plan.ts";
import { outputDimension } from "./setup.ts";

/**
 * Bytes of a mini-batch's rows and residuals from which on two passes pay: what neither fits into the second-level cache. At L,
 * 25 MB, gathering took 55 ms instead of 77, at M, 8 MB, 6 % less; at S, 1 MB, 35 % more, since records are looked up twice.
 */
const WORTH_TWO_PASSES = 4 * 2 ** 20;

/**
 * The passes over all latents by which a plan's latents are gathered and updated. A pass over one kind of weights reads the
 * mini-batch's residuals or its rows, and not both, of which the last-level cache holds more; the bits are the same. One pass
 * where gradients are stored, rows are dense, or more than the records is gathered.
 */
export function latentPasses(plan: Plan): readonly LatentWeights[] {
  const { setup, purpose, storeGradients } = plan;
  const { model, training } = setup;
  if (model.kind !== "sparse") throw new Error("internal: not a sparse model");
  const bytes = 4 * training.batchRows * (model.dIn + outputDimension(model));
  const more = hasWide(setup, purpose) || hasAuxiliary(setup, purpose) || hasPreActLoss(setup, purpose);
  const dense = ARCHITECTURES[model.architecture].selection === "positive";
  const apart = !storeGradients && !more && !dense && bytes >= WORTH_TWO_PASSES;
  return apart ? ["decoder", "encoder"] : ["both"];
}
