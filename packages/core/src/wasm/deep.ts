/** The stages of a deep autoencoder on the WebAssembly kernels. */
import type { DeepArena } from "../arena-deep.ts";
import { measureBottleneck, mirrorOf, pullBottleneck, tiedTo } from "../deep-options.ts";
import type { DeepKernels, StepContext } from "../kernels.ts";
import { DEEP_ROW_BLOCK, UNIT_BLOCK } from "../block-sizes.ts";
import { packedDeltaLength } from "../plan-deep.ts";
import { completeUnits, updateUnits } from "../unit-update.ts";
import type { UpdateKernels } from "../optimizers/optimizer.ts";
import { type Plan, regionOf } from "../plan.ts";
import type { DeepModelSetup } from "../setup.ts";
import { PANEL } from "../tiles.ts";
import type { KernelExports } from "./instance.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";
import { unitGradients } from "./unit-gradients.ts";

/** The stages over the memory laid out by `plan`. `wide`: products in tiles of two panels. */
export function wasmDeepKernels(
  plan: Plan,
  model: DeepModelSetup,
  wasm: KernelExports,
  wide: 0 | 1,
  updates: UpdateKernels,
): DeepKernels {
  const at = pointersOf(plan);
  const training = plan.purpose === "train";
  const widest = Math.max(...model.widths);
  const slots = at("slots");
  const mean = at("mean");
  const slotBytes = plan.setup.training.batchRows * 4 * (model.widths[0] as number);
  const layers = model.widths.slice(1).map((outputs, index) => ({
    outputs,
    inputs: model.widths[index] as number,
    tied: tiedTo(model, index) !== undefined,
    weight:
      tiedTo(model, index) === undefined
        ? parameterPointers(plan, `layers.${index}.weight`)
        : { value: at(`layers.${index}.weight`), gradient: 0 },
    bias: parameterPointers(plan, `layers.${index}.bias`),
    activation: at(`activation.${index + 1}`),
    delta: training ? at(`delta.${index + 1}`) : 0,
  }));
  const packedRows = at("packedRows");
  const packedDeltas = training ? at("packedDeltas") : 0;
  const deltaBytes = 4 * packedDeltaLength(plan.setup.training.batchRows);
  const packedBytes = (4 * regionOf(plan, "packedRows").length) / plan.workers;
  const packedOf = (step: StepContext): number => packedRows + step.rank * packedBytes;
  const addGradients = unitGradients(wasm, plan.setup.training.batchRows, wide);
  const inputOf = (step: StepContext, index: number): number =>
    index === 0 ? slots + step.slot * slotBytes : layers[index - 1].activation;

  const forward = (arena: DeepArena, step: StepContext, first: number, last: number): void => {
    const rows = last - first;
    const packed = packedOf(step);
    const z = at("preActivations") + step.rank * DEEP_ROW_BLOCK * widest * 4;
    layers.forEach(({ inputs, outputs, weight, bias, activation }, index) => {
      wasm.packRows(packed, inputOf(step, index) + first * inputs * 4, 0, 0, rows, inputs);
      wasm.product(z, packed, Math.ceil(rows / PANEL), bias.value, weight.value, outputs, inputs, 0, 1, wide);
      wasm.unpackPanels(activation + first * outputs * 4, z, rows, outputs, arena.layers[index].relu ? 1 : 0);
    });
  };

  const measure = (arena: DeepArena, step: StepContext, first: number, last: number): void => {
    const output = layers[layers.length - 1];
    const width = output.outputs;
    const x = slots + step.slot * slotBytes;
    const positive = step.train && arena.layers[layers.length - 1].relu ? 1 : 0;
    for (let row = first; row < last; row++) {
      const bytes = row * width * 4;
      // When only evaluating there is no delta; the difference then takes the reconstruction's place.
      const difference = (step.train ? output.delta : output.activation) + bytes;
      wasm.difference(difference, output.activation + bytes, x + bytes, width);
      arena.rowSquaredError[row] = wasm.laneDot(difference, difference, width);
      arena.rowSquares[row] = wasm.rowSquares(x + bytes, mean, width);
      if (!step.train) continue;
      wasm.scaleRow(difference, step.gradientScale, width);
      if (positive === 1) wasm.maskByPositive(difference, output.activation + bytes, width);
    }
  };

  const backward = (arena: DeepArena, step: StepContext, first: number, last: number): void => {
    const scratch = packedOf(step);
    for (let index = layers.length - 1; index > 0; index--) {
      const above = layers[index];
      const below = layers[index - 1];
      const delta = below.delta + first * below.outputs * 4;
      // The weights of an output are a row: what flows back is a sum of rows, weighted by the deltas above.
      wasm.combine(
        delta,
        above.delta + first * above.outputs * 4,
        above.outputs * 4,
        last - first,
        above.weight.value,
        above.inputs,
        above.outputs,
        scratch,
        wide,
        1,
      );
      if (arena.layers[index - 1].relu) {
        wasm.maskByPositive(
          delta,
          below.activation + first * below.outputs * 4,
          (last - first) * below.outputs,
        );
      }
      pullBottleneck(arena, step, index - 1, first, last, Math.fround);
    }
  };

  return {
    propagateRows(arena, step, first, last) {
      forward(arena, step, first, last);
      measure(arena, step, first, last);
      measureBottleneck(arena, first, last, Math.fround);
      if (step.train) backward(arena, step, first, last);
    },

    gatherUnits(arena, step, layerIndex, first, last) {
      const { inputs, outputs, weight, bias, delta, tied } = layers[layerIndex];
      const gradientRow = plan.storeGradients ? first : step.rank * UNIT_BLOCK;
      const work = {
        gradient: weight.gradient + gradientRow * inputs * 4,
        width: outputs,
        first,
        last,
        length: inputs,
        rows: step.rows,
        columns: packedDeltas + step.rank * UNIT_BLOCK * deltaBytes,
        scratch: packedOf(step),
      };
      if (tied) wasm.sumRows(bias.gradient, delta, step.rows, outputs, first, last);
      else {
        const sums = bias.gradient + 4 * first;
        wasm.clear(sums, 4 * (last - first));
        addGradients({ ...work, deltas: delta, inputs: inputOf(step, layerIndex), fresh: true, sums });
      }
      const mirror = mirrorOf(model, layerIndex);
      if (mirror !== undefined) {
        const back = layers[mirror].delta;
        addGradients({ ...work, deltas: inputOf(step, mirror), inputs: back, fresh: false, sums: 0 });
      }
      completeUnits(updates, arena, layerIndex, first, last);
    },

    updateUnits: (arena, step, layer, first, last) => updateUnits(updates, arena, step, layer, first, last),
  };
}
