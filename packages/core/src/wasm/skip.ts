/** What skips the latents of a skip transcoder on the WebAssembly kernels; formulas in ../reference/skip.ts. */
import { ROW_BLOCK, UNIT_BLOCK } from "../block-sizes.ts";
import type { StepContext } from "../kernels.ts";
import { packedDeltaLength } from "../plan-deep.ts";
import { type Plan, regionOf } from "../plan.ts";
import { outputDimension, type SparseModelSetup } from "../setup.ts";
import { PANEL } from "../tiles.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";
import { unitGradients } from "./unit-gradients.ts";

/** The skip's work; x and y are pointers to the mini-batch's first row. */
export interface SkipKernels {
  /** Pointer to y − W_skip·x of all rows. */
  readonly unskipped: number;
  /** Writes it for rows [first, last). */
  subtract(step: StepContext, first: number, last: number, x: number, y: number): void;
  /** Gradients of output units [first, last), from sets of errors [B, dOut] that begin at pointers. */
  gather(step: StepContext, first: number, last: number, x: number, errors: readonly number[]): void;
}

/** The skip's work over the memory laid out by `plan`, which must have it. `wide`: products in tiles of two panels. */
export function wasmSkip(plan: Plan, model: SparseModelSetup, wasm: KernelExports, wide: 0 | 1): SkipKernels {
  const { dIn } = model;
  const dOut = outputDimension(model);
  const at = pointersOf(plan);
  const W_skip = parameterPointers(plan, "W_skip");
  const [unskipped, zeros, packedRows, products] = [
    "unskipped",
    "skipZeros",
    "packedRows",
    "skipProducts",
  ].map(at);
  const packedBytes = (4 * regionOf(plan, "packedRows").length) / plan.workers;
  const training = plan.purpose === "train";
  const [deltasOf, combineOf] = training ? [at("skipDeltas"), at("skipCombine")] : [0, 0];
  const deltaBytes = 4 * packedDeltaLength(plan.setup.training.batchRows);
  const combineBytes = training ? (4 * regionOf(plan, "skipCombine").length) / plan.workers : 0;
  const gradients = unitGradients(wasm, plan.setup.training.batchRows, wide);
  return {
    unskipped,
    subtract(step, first, last, x, y) {
      const rows = last - first;
      const packed = packedRows + step.rank * packedBytes;
      const z = products + step.rank * ROW_BLOCK * dOut * 4;
      const out = unskipped + first * dOut * 4;
      wasm.packRows(packed, x + first * dIn * 4, 0, 0, rows, dIn);
      wasm.product(z, packed, Math.ceil(rows / PANEL), zeros, W_skip.value, dOut, dIn, 0, 1, wide);
      wasm.unpackPanels(out, z, rows, dOut);
      wasm.difference(out, y + first * dOut * 4, out, rows * dOut);
    },
    gather(step, first, last, x, errors) {
      errors.forEach((deltas, set) =>
        gradients.add({
          gradient: W_skip.gradient + first * dIn * 4,
          deltas,
          width: dOut,
          first,
          last,
          inputs: x,
          length: dIn,
          rows: step.rows,
          columns: deltasOf + step.rank * UNIT_BLOCK * deltaBytes,
          scratch: combineOf + step.rank * combineBytes,
          fresh: set === 0,
        }),
      );
    },
  };
}
