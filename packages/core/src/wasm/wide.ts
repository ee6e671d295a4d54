/** The wider reconstruction of multi-TopK on the WebAssembly kernels; formulas in ../reference/wide.ts. */
import type { SparseArena } from "../arena-sparse.ts";
import type { StepContext } from "../kernels.ts";
import { WIDE_WEIGHT } from "../multi-topk.ts";
import type { Plan } from "../plan.ts";
import { outputDimension, type SparseModelSetup } from "../setup.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";

/** What the stages do for the wider set. */
export interface WideKernels {
  /** The error of a row's wider reconstruction, and its gradients. `y`: what is to be rebuilt. */
  decodeRow(arena: SparseArena, step: StepContext, row: number, y: number): void;
  /** Pointer to the gradients of all rows' errors. */
  readonly residual: number;
  /** Adds all rows' errors to a sum over dimensions [first, last) of numbers from pointer `sum` on. */
  addErrors(sum: number, rows: number, first: number, last: number): void;
}

/** The wider set's work over the memory laid out by `plan`, which must have it. */
export function wasmWide(plan: Plan, model: SparseModelSetup, wasm: KernelExports): WideKernels {
  const at = pointersOf(plan);
  const [latents, values, gradients, residual] = [
    "wideLatent",
    "wideValue",
    "wideGradient",
    "wideResidual",
  ].map(at);
  const [W_dec, b_dec] = ["W_dec", "b_dec"].map((name) => parameterPointers(plan, name).value);
  const dOut = outputDimension(model);
  const rowBytes = 4 * dOut;
  return {
    residual,
    decodeRow(arena, step, row, y) {
      const records = 4 * arena.wideOffset[row];
      const count = arena.wideCount[row];
      const out = residual + row * rowBytes;
      const square = wasm.decodeRow(out, y, b_dec, W_dec, dOut, latents + records, values + records, count);
      arena.rowSecondError[row] = WIDE_WEIGHT * square;
      wasm.scaleRow(out, Math.fround(step.gradientScale * WIDE_WEIGHT), dOut);
      wasm.chains(gradients + records, latents + records, count, out, 0, W_dec, dOut);
    },
    addErrors(sum, rows, first, last) {
      for (let row = 0; row < rows; row++)
        wasm.axpy(sum + 4 * first, 1, residual + row * rowBytes + 4 * first, last - first);
    },
  };
}
