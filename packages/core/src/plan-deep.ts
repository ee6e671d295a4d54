/** The memory of a deep autoencoder. */
import { DEEP_ROW_BLOCK, UNIT_BLOCK } from "./block-sizes.ts";
import { tiedTo } from "./deep-options.ts";
import type { PlanOptions } from "./plan.ts";
import { DEPTH, PANEL } from "./tiles.ts";
import { type Add, addParameter, COMBINE_SCRATCH, type Detail, gradientsFirst } from "./plan-parts.ts";

/** Adds the regions of a deep autoencoder. */
export function addDeep(add: Add, options: PlanOptions): Detail {
  const { setup, workers, purpose = "train" } = options;
  const storeGradients = gradientsFirst(setup.training) || (options.storeGradients ?? false);
  if (setup.model.kind !== "deep") throw new Error("internal: not a deep model");
  const { widths } = setup.model;
  const { batchRows } = setup.training;
  for (let layer = 1; layer < widths.length; layer++) {
    const inputs = widths[layer - 1] as number;
    const outputs = widths[layer] as number;
    // Tied weights are copies, without anything that training keeps for a parameter.
    const tied = tiedTo(setup.model, layer - 1) !== undefined;
    if (tied) add(`layers.${layer - 1}.weight`, "parameters", "float", outputs, inputs);
    else addParameter(add, options, `layers.${layer - 1}.weight`, outputs, inputs);
    addParameter(add, options, `layers.${layer - 1}.bias`, outputs);
    add(`activation.${layer}`, "rows", "float", batchRows, outputs);
    if (purpose === "train") {
      add(`delta.${layer}`, "rows", "float", batchRows, outputs);
      const gradientRows = storeGradients ? outputs : workers * UNIT_BLOCK;
      if (!tied) add(`inputColumns.${layer - 1}`, "rows", "float", panelsOf(inputs), batchRows, PANEL);
      if (layer > 1)
        add(`layers.${layer - 1}.weight.columns`, "parameters", "float", panelsOf(inputs), outputs, PANEL);
      if (!tied) add(`layers.${layer - 1}.weight.gradient`, "gradients", "float", gradientRows, inputs);
      add(`layers.${layer - 1}.bias.gradient`, "gradients", "float", outputs);
    }
  }
  // Last, and with room to spare: the kernels fill up tiles with what lies behind the rows of a block.
  const widest = Math.max(...widths);
  add("packedRows", "scratch", "float", workers, Math.max(DEEP_ROW_BLOCK * widest, COMBINE_SCRATCH));
  if (purpose === "train") {
    add("packedDeltas", "scratch", "float", workers, UNIT_BLOCK, packedDeltaLength(batchRows));
    const units = Math.max(DEEP_ROW_BLOCK, UNIT_BLOCK);
    add("columnSums", "scratch", "float", workers, panelsOf(widest), units, PANEL);
  }
  add("preActivations", "scratch", "float", workers, DEEP_ROW_BLOCK, widest);
  return { storeGradients, recordCapacity: 0 };
}

/** Panels of eight columns that hold `columns`. */
function panelsOf(columns: number): number {
  return Math.ceil(columns / PANEL);
}

/** Rows whose deltas are gathered at a time. */
export const GATHERED_ROWS: number = 2 * DEPTH;

/**
 * Numbers from one output unit's deltas to the next: a cache line more than the rows, or units whose number of rows is a
 * power of two would all share a few sets of the cache.
 */
export function packedDeltaLength(batchRows: number): number {
  return Math.min(batchRows, GATHERED_ROWS) + 16;
}
