/**
 * The stages of a deep autoencoder in plain TypeScript: forward z = b + W·a with ReLU, loss mean over rows of
 * ‖y − x‖², backward δ_l = (W_{l+1}ᵀ·δ_{l+1}) ⊙ [z_l > 0], ∂/∂W_l = Σ_rows δ_l ⊗ a_{l−1}. Sums are canonical.
 */
import type { DeepArena, LayerViews } from "../arena-deep.ts";
import type { FloatArray, Round } from "../precision.ts";
import { measureBottleneck, mirrorOf, pullBottleneck } from "../deep-options.ts";
import type { UpdateKernels } from "../optimizers/optimizer.ts";
import type { DeepKernels, StepContext } from "../kernels.ts";
import { completeUnits, unitGradientRow, updateUnits } from "../unit-update.ts";
import { chainLink, chainProduct, laneDot, squaredDistance } from "./chains.ts";

/** The reference stages at one precision. `lanes` is scratch of the calling thread. */
export function referenceDeepKernels(round: Round, lanes: FloatArray, updates: UpdateKernels): DeepKernels {
  return {
    propagateRows(arena, step, first, last) {
      forward(arena, step, first, last, round);
      measureRows(arena, step, first, last, lanes, round);
      measureBottleneck(arena, first, last, round);
      if (step.train) backward(arena, step, first, last, round);
    },

    gatherUnits(arena, step, layerIndex, first, last) {
      const layer = arena.layers[layerIndex];
      const { inputs, outputs } = layer;
      const input = layerInput(arena, step, layerIndex);
      const { gradient } = layer.weight;
      const tied = layer.tiedTo !== undefined;
      for (let unit = first; unit < last; unit++) {
        const at = unitGradientRow(arena, step, unit) * inputs;
        if (!tied) gradient.fill(0, at, at + inputs);
        let biasGradient = 0;
        for (let r = 0; r < step.rows; r++) {
          const delta = layer.delta[r * outputs + unit];
          // A zero delta adds nothing: skipping it changes no bit and most units of a ReLU layer are at rest.
          if (delta === 0) continue;
          if (!tied) chainLink(gradient, at, delta, input, r * inputs, inputs);
          biasGradient = round(biasGradient + delta);
        }
        layer.bias.gradient[unit] = biasGradient;
      }
      gatherMirror(arena, step, layerIndex, first, last);
      completeUnits(updates, arena, layerIndex, first, last);
    },

    updateUnits: (arena, step, layer, first, last) => updateUnits(updates, arena, step, layer, first, last),
  };
}

/** A tied decoder's part of the gradient of its encoder's units: the chains go on over the rows once more. */
function gatherMirror(arena: DeepArena, step: StepContext, layer: number, first: number, last: number): void {
  const mirror = mirrorOf(arena.model, layer);
  if (mirror === undefined) return;
  const { inputs, outputs, delta } = arena.layers[mirror];
  const input = layerInput(arena, step, mirror);
  const { gradient } = arena.layers[layer].weight;
  for (let unit = first; unit < last; unit++) {
    const at = unitGradientRow(arena, step, unit) * outputs;
    for (let r = 0; r < step.rows; r++) {
      const value = input[r * inputs + unit];
      if (value !== 0) chainLink(gradient, at, value, delta, r * outputs, outputs);
    }
  }
}

function layerInput(arena: DeepArena, step: StepContext, layer: number): FloatArray {
  return layer === 0 ? arena.slots[step.slot] : arena.layers[layer - 1].activation;
}

function forward(arena: DeepArena, step: StepContext, first: number, last: number, round: Round): void {
  arena.layers.forEach((layer, index) => {
    const { inputs, outputs, activation } = layer;
    const input = layerInput(arena, step, index);
    chainProduct(
      activation,
      first * outputs,
      layer.bias.value,
      input,
      first * inputs,
      last - first,
      layer.weight.value,
      outputs,
      inputs,
      round,
    );
    if (!layer.relu) return;
    for (let i = first * outputs; i < last * outputs; i++) {
      // Written so that NaN stays NaN and reaches the loss.
      if (activation[i] < 0) activation[i] = 0;
    }
  });
}

/** Row metrics, and ∂loss/∂y = (2/B)·(y − x) into the last layer's delta. */
function measureRows(
  arena: DeepArena,
  step: StepContext,
  first: number,
  last: number,
  lanes: FloatArray,
  round: Round,
): void {
  const output = arena.layers.at(-1) as LayerViews;
  const width = output.outputs;
  const x = arena.slots[step.slot];
  const y = output.activation;
  for (let row = first; row < last; row++) {
    const at = row * width;
    // When only evaluating there is no delta; the difference then takes the reconstruction's place.
    const difference = step.train ? output.delta : y;
    const positive = step.train && output.relu;
    for (let j = at; j < at + width; j++) difference[j] = y[j] - x[j];
    arena.rowSquaredError[row] = laneDot(lanes, difference, at, difference, at, width);
    arena.rowSquares[row] = squaredDistance(lanes, x, at, arena.mean, width, round);
    if (!step.train) continue;
    for (let j = at; j < at + width; j++) {
      difference[j] = positive && y[j] <= 0 ? 0 : step.gradientScale * difference[j];
    }
  }
}

function backward(arena: DeepArena, step: StepContext, first: number, last: number, round: Round): void {
  for (let index = arena.layers.length - 1; index > 0; index--) {
    const above = arena.layers[index];
    const below = arena.layers[index - 1];
    for (let row = first; row < last; row++) {
      const at = row * below.outputs;
      below.delta.fill(0, at, at + below.outputs);
      for (let unit = 0; unit < above.outputs; unit++) {
        const delta = above.delta[row * above.outputs + unit];
        if (delta !== 0)
          chainLink(below.delta, at, delta, above.weight.value, unit * above.inputs, above.inputs);
      }
      if (!below.relu) continue;
      for (let j = at; j < at + below.outputs; j++) {
        if (below.activation[j] <= 0) below.delta[j] = 0;
      }
    }
    pullBottleneck(arena, step, index - 1, first, last, round);
  }
}
