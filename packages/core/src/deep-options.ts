/**
 * What a deep autoencoder may have beside its layers. Tied: decoder weights are the transposes of the encoder's, layers
 * mirrored about the middle; they are no parameters, but copies that whoever updates the encoder's weights keeps up to
 * date. An L1 penalty on the narrowest hidden layer: λ·mean over rows of Σ a, a being its activations after ReLU.
 */
import type { DeepArena } from "./arena-deep.ts";
import type { FloatArray, Round } from "./precision.ts";
import type { StepContext } from "./kernels.ts";
import type { DeepModelSetup, TrainingSetup } from "./setup.ts";

/** The index in `widths` of the narrowest hidden layer, the first of them: what a deep autoencoder's code is. */
export function bottleneckOf(widths: readonly number[]): number {
  const hidden = widths.slice(1, -1);
  return 1 + hidden.indexOf(Math.min(...hidden));
}

/** The layer whose weights a tied decoder layer has transposed; undefined of layers with weights of their own. */
export function tiedTo({ widths, tied = false }: DeepModelSetup, layer: number): number | undefined {
  const mirrored = widths.length - 2 - layer;
  return tied && mirrored < layer ? mirrored : undefined;
}

/** The tied decoder layer that has the weights of this one transposed; undefined where there is none. */
export function mirrorOf({ widths, tied = false }: DeepModelSetup, layer: number): number | undefined {
  const mirrored = widths.length - 2 - layer;
  return tied && mirrored > layer ? mirrored : undefined;
}

/** out[i][o] = weight[o][i] for units o in [first, last): weight [outputs, inputs], out [inputs, outputs]. */
export function transposeUnits(
  out: FloatArray,
  weight: FloatArray,
  inputs: number,
  outputs: number,
  first: number,
  last: number,
): void {
  for (let i = 0; i < inputs; i++)
    for (let unit = first; unit < last; unit++) out[i * outputs + unit] = weight[unit * inputs + i];
}

/** Copies the weights of units [first, last) of an encoder layer to the tied decoder layer, where there is one. */
export function refreshMirror(arena: DeepArena, layer: number, first: number, last: number): void {
  const mirror = mirrorOf(arena.model, layer);
  if (mirror === undefined) return;
  const { inputs, outputs, weight } = arena.layers[layer];
  transposeUnits(arena.layers[mirror].weight.value, weight.value, inputs, outputs, first, last);
}

/** Whether a run penalises the bottleneck's activations. */
export function hasBottleneckPenalty({ l1Coefficient }: TrainingSetup): boolean {
  return l1Coefficient.peak > 0;
}

/** Writes the bottleneck's penalty of rows [first, last), before λ: Σ a in ascending order of its units. */
export function measureBottleneck(arena: DeepArena, first: number, last: number, round: Round): void {
  if (!hasBottleneckPenalty(arena.plan.setup.training)) return;
  const { outputs, activation } = arena.layers[bottleneckOf(arena.model.widths) - 1];
  for (let row = first; row < last; row++) {
    let sum = 0;
    for (let j = row * outputs; j < (row + 1) * outputs; j++) sum = round(sum + activation[j]);
    arena.rowPenalty[row] = sum;
  }
}

/** Adds the penalty's gradient to the deltas of `layer`, if it is the bottleneck: λ/B where a unit is active. */
export function pullBottleneck(
  arena: DeepArena,
  step: StepContext,
  layer: number,
  first: number,
  last: number,
  round: Round,
): void {
  if (step.penaltyScale === 0 || layer !== bottleneckOf(arena.model.widths) - 1) return;
  const { outputs, activation, delta } = arena.layers[layer];
  for (let j = first * outputs; j < last * outputs; j++)
    if (activation[j] > 0) delta[j] = round(delta[j] + step.penaltyScale);
}
