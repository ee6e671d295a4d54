/**
 * The pre-activation loss of JumpReLU autoencoders (SAELens): dead latents, whose step function gives them no gradient,
 * are drawn towards their thresholds, and those down to them,
 *
 *   coefficient·mean over rows of Σ_dead ‖W_dec,i‖·ReLU(θ_i − z_i)
 *
 * Its gradient is that of dead latents alone: −c to z and +c to θ in each row with z < θ, c = coefficient·‖W_dec,i‖/B. The
 * pull on W_dec,i points along it, where a unit decoder has none. Whoever owns a block of latents computes z of the dead
 * ones among them, row by row, so that memory does not depend on how many are dead.
 */
import type { SparseArena } from "./arena-sparse.ts";
import type { FloatArray, Round } from "./precision.ts";
import { LATENT_BLOCK } from "./block-sizes.ts";
import type { StepContext } from "./kernels.ts";
import { gradientRow } from "./latent-update.ts";
import type { UpdateKernels } from "./optimizers/optimizer.ts";

/** Writes z of `count` latents, whose indices begin at `latentsAt` of silentLatents, into silentScores at the same places. */
export type SilentScores = (row: number, latentsAt: number, count: number) => void;

/** Adds the loss's gradients of latents [first, last), and keeps its sums. `input`: what the encoder sees. */
export function gatherPreActivations(
  on: UpdateKernels,
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  round: Round,
  input: FloatArray,
  scores: SilentScores,
): void {
  const { model, plan, lastFired, silentLatents, silentScores, silentSums, threshold, W_enc } = arena;
  const { preActCoefficient = 0, deadWindow } = plan.setup.training;
  const { dIn } = model;
  const latentsAt = step.rank * LATENT_BLOCK;
  const before = step.examplesAfter - step.rows;
  let count = 0;
  for (let latent = first; latent < last; latent++) {
    silentSums[latent] = 0;
    if (before - lastFired[latent] >= deadWindow) silentLatents[latentsAt + count++] = latent;
  }
  if (count === 0) return;
  for (let row = 0; row < step.rows; row++) {
    scores(row, latentsAt, count);
    for (let at = latentsAt; at < latentsAt + count; at++) {
      const latent = silentLatents[at];
      const below = threshold.value[latent] - silentScores[at];
      if (!(below > 0)) continue;
      const norm = arena.decoderNorm[latent];
      const pull = round((preActCoefficient * norm) / step.rows);
      silentSums[latent] += norm * below;
      on.link(W_enc.gradient, gradientRow(arena, step, latent) * dIn, -pull, input, row * dIn, dIn);
      arena.inputGradient[latent] -= pull;
      threshold.gradient[latent] += pull;
    }
  }
}

/** The loss's sum over rows. Runs on one thread, when all latents are gathered. */
export function preActivationLoss({ plan, silentSums }: SparseArena): number {
  const { preActCoefficient = 0 } = plan.setup.training;
  let sum = 0;
  for (const of of silentSums) sum += of;
  return preActCoefficient * sum;
}
