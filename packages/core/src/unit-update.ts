/** The end of a deep autoencoder's step, for output units whose gradients are there. */
import type { DeepArena } from "./arena-deep.ts";
import { UNIT_BLOCK } from "./block-sizes.ts";
import { refreshMirror } from "./deep-options.ts";
import { sumSquares } from "./gradient-norm.ts";
import type { StepContext } from "./kernels.ts";
import { updateParameter } from "./optimizers/index.ts";
import type { UpdateKernels } from "./optimizers/optimizer.ts";

/** Index of the gradient row of `unit`: its own where gradients are stored, else one of the worker's scratch. */
export function unitGradientRow(arena: DeepArena, step: StepContext, unit: number): number {
  return arena.plan.storeGradients ? unit : step.rank * UNIT_BLOCK + (unit % UNIT_BLOCK);
}

/** Sums the squares of the gradients of units [first, last) of a layer, where their norm is asked for. */
export function completeUnits(
  on: UpdateKernels,
  arena: DeepArena,
  layer: number,
  first: number,
  last: number,
): void {
  const { inputs, weight, tiedTo } = arena.layers[layer];
  if (tiedTo !== undefined) return;
  for (let unit = first; unit < last; unit++) sumSquares(on, weight, unit, inputs);
}

/** Optimiser of units [first, last) of a layer. */
export function updateUnits(
  on: UpdateKernels,
  arena: DeepArena,
  step: StepContext,
  layer: number,
  first: number,
  last: number,
): void {
  const { inputs, weight, bias, tiedTo } = arena.layers[layer];
  if (tiedTo === undefined) {
    const at = unitGradientRow(arena, step, first) * inputs;
    const length = (last - first) * inputs;
    updateParameter(on, arena, weight, first * inputs, length, at, step);
    refreshMirror(arena, layer, first, last);
  }
  updateParameter(on, arena, bias, first, last - first, first, step);
}
