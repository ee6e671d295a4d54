/**
 * The end of a sparse autoencoder's step, for blocks of latents whose gradients are gathered: what the loss adds to them
 * beside the records, projection, optimiser, constraints. Written once, over the arithmetic of either implementation.
 */
import { ARCHITECTURES } from "./architectures/index.ts";
import type { SparseArena } from "./arena-sparse.ts";
import type { FloatArray, Round } from "./precision.ts";
import { LATENT_BLOCK } from "./block-sizes.ts";
import { decoderNormOf, decoderParts } from "./decoder-parts.ts";
import { sumSquares } from "./gradient-norm.ts";
import type { LatentWeights, StepContext } from "./kernels.ts";
import { updateParameter } from "./optimizers/index.ts";
import type { Constrain, UpdateKernels } from "./optimizers/optimizer.ts";
import { outputDimension } from "./setup.ts";

/** Index of the gradient row of `latent`: its own where gradients are stored, else one of the worker's scratch. */
export function gradientRow(arena: SparseArena, step: StepContext, latent: number): number {
  return arena.plan.storeGradients ? latent : step.rank * LATENT_BLOCK + (latent % LATENT_BLOCK);
}

/**
 * Completes the gradients of latents [first, last): the penalty's pull on a free decoder's rows, the removal of what
 * points along a unit decoder's. Also sums what their biases give to b_dec, and squares for the gradients' norm.
 */
export function completeGradients(
  on: UpdateKernels,
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  round: Round,
  weights: LatentWeights = "both",
): void {
  if (weights !== "decoder") completeEncoder(on, arena, first, last);
  if (weights !== "encoder") completeDecoder(on, arena, step, first, last, round);
}

function completeEncoder(on: UpdateKernels, arena: SparseArena, first: number, last: number): void {
  if (arena.model.applyBDecToInput) sumEncoderBiasGradients(on, arena, first, last);
  for (let latent = first; latent < last; latent++) sumSquares(on, arena.W_enc, latent, arena.model.dIn);
}

function completeDecoder(
  on: UpdateKernels,
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  round: Round,
): void {
  const { decoder } = arena.model;
  const dOut = outputDimension(arena.model);
  const { value, gradient } = arena.W_dec;
  const parts = decoderParts(arena.model);
  for (let latent = first; latent < last; latent++) {
    const at = latent * dOut;
    const gradientAt = gradientRow(arena, step, latent) * dOut;
    if (decoder === "free") {
      // ∂/∂W_dec,i of λ·mean(f_i)·‖W_dec,i‖.
      const size = round(step.penaltyScale * arena.activationSum[latent]);
      for (const [from, width] of parts) {
        const norm = width === dOut ? arena.decoderNorm[latent] : on.norm(value, at + from, width);
        const pull = norm > 0 ? round(size / norm) : 0;
        if (pull !== 0) on.link(gradient, gradientAt + from, pull, value, at + from, width);
      }
    } else {
      // Remove the component along the unit row, which the renormalisation would undo.
      on.project(gradient, gradientAt, value, at, dOut);
    }
    sumSquares(on, arena.W_dec, latent, dOut);
  }
}

/** Optimiser of b_dec for dimensions [first, last). */
export function updateDecoderBias(
  on: UpdateKernels,
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
): void {
  updateParameter(on, arena, arena.b_dec, first, last - first, first, step);
}

/** Sums the squares of the gradients of output units [first, last) of W_skip, where their norm is asked for. */
export function completeSkip(on: UpdateKernels, arena: SparseArena, first: number, last: number): void {
  for (let unit = first; unit < last; unit++) sumSquares(on, arena.W_skip, unit, arena.model.dIn);
}

/** Optimiser of output units [first, last) of W_skip. */
export function updateSkip(
  on: UpdateKernels,
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
): void {
  const { dIn } = arena.model;
  const [at, length] = [first * dIn, (last - first) * dIn];
  updateParameter(on, arena, arena.W_skip, at, length, at, step);
}

/** Optimiser and constraints of latents [first, last), whose gradients are complete. */
export function updateLatents(
  on: UpdateKernels,
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  round: Round,
  weights: LatentWeights = "both",
): void {
  if (weights !== "encoder") updateDecoder(on, arena, step, first, last, round);
  if (weights !== "decoder") updateEncoder(on, arena, step, first, last, round);
}

function updateDecoder(
  on: UpdateKernels,
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  round: Round,
): void {
  const { decoder } = arena.model;
  const dOut = outputDimension(arena.model);
  const unitRows: Constrain = (values, offset, length) => {
    for (let at = offset; at < offset + length; at += dOut) on.normalise(values, at, dOut);
  };
  const normOf = (values: FloatArray, offset: number, length: number): number =>
    on.norm(values, offset, length);
  const row = gradientRow(arena, step, first);
  const constrain = decoder === "unit" ? unitRows : undefined;
  updateParameter(on, arena, arena.W_dec, first * dOut, (last - first) * dOut, row * dOut, step, constrain);
  let heat = 0;
  for (let latent = first; latent < last; latent++) {
    const at = latent * dOut;
    arena.decoderNorm[latent] =
      decoder === "free" ? decoderNormOf(arena.model, arena.W_dec.value, at, round, normOf) : 1;
    const count = arena.activeCount[latent];
    heat += count;
    if (count > 0) {
      arena.lastFired[latent] = step.examplesAfter;
      arena.fireCount[latent] += count;
    }
  }
  arena.blockHeat[first / LATENT_BLOCK] = heat;
}

function updateEncoder(
  on: UpdateKernels,
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  round: Round,
): void {
  const { dIn } = arena.model;
  const row = gradientRow(arena, step, first);
  updateParameter(on, arena, arena.W_enc, first * dIn, (last - first) * dIn, row * dIn, step);
  updateParameter(on, arena, arena.b_enc, first, last - first, first, step);
  const { scalars = [], finish } = ARCHITECTURES[arena.model.architecture];
  for (const name of scalars) {
    const constrain = name === "threshold" ? atLeast0 : undefined;
    updateParameter(on, arena, arena[name], first, last - first, first, step, constrain);
  }
  if (finish !== undefined) for (let latent = first; latent < last; latent++) finish(arena, latent, round);
}

/** What is below 0 becomes 0. */
function atLeast0(values: FloatArray, offset: number, length: number): void {
  for (let i = offset; i < offset + length; i++) if (values[i] < 0) values[i] = 0;
}

/** Σ_i ∂loss/∂(W_enc·input)_i · W_enc,i over one block of latents, before the encoder is updated. */
function sumEncoderBiasGradients(on: UpdateKernels, arena: SparseArena, first: number, last: number): void {
  const { dIn } = arena.model;
  const at = (first / LATENT_BLOCK) * dIn;
  arena.bDecPartials.fill(0, at, at + dIn);
  const { bDecPartials, inputGradient, W_enc } = arena;
  on.links(bDecPartials, at, inputGradient, first, W_enc.value, first * dIn, last - first, dIn);
}
