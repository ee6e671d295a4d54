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
import type { KernelExports } from "./kernel-exports.ts";
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
  const layers = model.widths.slice(1).map((outputs, index) => {
    const tied = tiedTo(model, index) !== undefined;
    return {
      outputs,
      inputs: model.widths[index] as number,
      tied,
      weight: tied
        ? { value: at(`layers.${index}.weight`), gradient: 0 }
        : parameterPointers(plan, `layers.${index}.weight`),
      bias: parameterPointers(plan, `layers.${index}.bias`),
      activation: at(`activation.${index + 1}`),
      delta: training ? at(`delta.${index + 1}`) : 0,
      inputColumns: training && !tied ? at(`inputColumns.${index}`) : 0,
      weightColumns: training && index > 0 ? at(`layers.${index}.weight.columns`) : 0,
    };
  });
  const packedRows = at("packedRows");
  const packedBytes = (4 * regionOf(plan, "packedRows").length) / plan.workers;
  const preActivations = at("preActivations");
  const packedDeltas = training ? at("packedDeltas") : 0;
  const deltaBytes = 4 * packedDeltaLength(plan.setup.training.batchRows);
  const columnSums = training ? at("columnSums") : 0;
  const sumBytes = training ? (4 * regionOf(plan, "columnSums").length) / plan.workers : 0;
  const panelBytes = 4 * PANEL * plan.setup.training.batchRows;
  const gradients = unitGradients(wasm, plan.setup.training.batchRows, wide);
  const inputOf = (step: StepContext, index: number): number =>
    index === 0 ? slots + step.slot * slotBytes : layers[index - 1].activation;

  const forward = (arena: DeepArena, step: StepContext, first: number, last: number): void => {
    const rows = last - first;
    const panels = Math.ceil(rows / PANEL);
    let packed = packedRows + step.rank * packedBytes;
    let z = preActivations + step.rank * DEEP_ROW_BLOCK * widest * 4;
    layers.forEach(({ inputs, outputs, tied, weight, bias, activation, inputColumns }, index) => {
      const input = inputOf(step, index) + first * inputs * 4;
      if (index === 0) wasm.packRows(packed, input, 0, 0, rows, inputs);
      if (step.train && !tied)
        wasm.packPanels(inputColumns + first * PANEL * 4, panelBytes, input, inputs, rows);
      wasm.product(z, packed, panels, bias.value, weight.value, outputs, inputs, 0, 1, wide);
      if (arena.layers[index].relu) wasm.rectify(z, panels * PANEL * outputs);
      wasm.unpackPanels(activation + first * outputs * 4, z, rows, outputs);
      // A layer's panels of outputs are the next one's panels of inputs.
      [packed, z] = [z, packed];
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
    const rows = last - first;
    const sums = columnSums + step.rank * sumBytes;
    for (let index = layers.length - 1; index > 0; index--) {
      const above = layers[index];
      const below = layers[index - 1];
      const { inputs, outputs } = above;
      const delta = below.delta + first * inputs * 4;
      // The weights of an output are a row: what flows back is a sum of rows, weighted by the deltas above.
      const deltas = above.delta + first * outputs * 4;
      const columnBytes = 4 * PANEL * outputs;
      wasm.addColumnProducts(
        sums,
        deltas,
        4 * outputs,
        rows,
        above.weightColumns,
        columnBytes,
        inputs,
        outputs,
        wide,
        1,
      );
      wasm.unpackColumns(delta, sums, inputs, rows);
      if (arena.layers[index - 1].relu) {
        wasm.maskByPositive(delta, below.activation + first * inputs * 4, rows * inputs);
      }
      pullBottleneck(arena, step, index - 1, first, last, Math.fround);
    }
  };

  return {
    packUnits(_, layer, first, last) {
      const { inputs, outputs, weight, weightColumns } = layers[layer];
      const from = weight.value + first * inputs * 4;
      wasm.packPanels(weightColumns + first * PANEL * 4, 4 * PANEL * outputs, from, inputs, last - first);
    },

    propagateRows(arena, step, first, last) {
      forward(arena, step, first, last);
      measure(arena, step, first, last);
      measureBottleneck(arena, first, last, Math.fround);
      if (step.train) backward(arena, step, first, last);
    },

    gatherUnits(arena, step, layerIndex, first, last) {
      const { inputs, outputs, weight, bias, delta, tied, inputColumns } = layers[layerIndex];
      const gradientRow = plan.storeGradients ? first : step.rank * UNIT_BLOCK;
      const work = {
        gradient: weight.gradient + gradientRow * inputs * 4,
        width: outputs,
        first,
        last,
        length: inputs,
        rows: step.rows,
        columns: packedDeltas + step.rank * UNIT_BLOCK * deltaBytes,
      };
      if (tied) wasm.sumRows(bias.gradient, delta, step.rows, outputs, first, last);
      else {
        const scratch = columnSums + step.rank * sumBytes;
        const sums = bias.gradient + 4 * first;
        gradients.write({ ...work, deltas: delta, inputs: inputColumns, scratch, sums });
      }
      const mirror = mirrorOf(model, layerIndex);
      if (mirror !== undefined) {
        const scratch = packedRows + step.rank * packedBytes;
        const [deltas, inputsOfMirror] = [inputOf(step, mirror), layers[mirror].delta];
        gradients.add({ ...work, deltas, inputs: inputsOfMirror, scratch, fresh: false });
      }
      completeUnits(updates, arena, layerIndex, first, last);
    },

    updateUnits: (arena, step, layer, first, last) => updateUnits(updates, arena, step, layer, first, last),
  };
}
