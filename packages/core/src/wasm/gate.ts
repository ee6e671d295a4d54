/** The reconstruction by a gate alone on the WebAssembly kernels; formulas in ../reference/gate.ts. */
import type { SparseArena } from "../arena-sparse.ts";
import { ROW_BLOCK } from "../block-sizes.ts";
import type { StepContext } from "../kernels.ts";
import type { Plan } from "../plan.ts";
import { outputDimension, type SparseModelSetup } from "../setup.ts";
import type { BlockDecoder } from "./block-decoder.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";

/**
 * Errors of x̂_gate of rows [first, last), whose input begins at `x`, and their gradients by π; `together`: by what decodes
 * the block's rows together.
 */
export type DecodeGate = (
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  x: number,
  together: BlockDecoder | undefined,
) => void;

/** The gate's work over the memory laid out by `plan`, which must be for training. */
export function wasmGate(plan: Plan, model: SparseModelSetup, wasm: KernelExports): DecodeGate {
  const at = pointersOf(plan);
  const dOut = outputDimension(model);
  const [gateResidual, recordLatent, recordGate, gradients] = [
    at("gateResidual"),
    at("recordLatent"),
    at("recordGate"),
    at("recordPull.b_enc"),
  ];
  const [W_dec, b_dec] = ["W_dec", "b_dec"].map((name) => parameterPointers(plan, name).value);
  const rowBytes = 4 * dOut;
  return (arena, step, first, last, x, together) => {
    const block = step.rank * ROW_BLOCK * dOut;
    const residual = gateResidual + 4 * block;
    const values = { values: recordGate, residual, into: arena.gateResidual, at: block };
    together?.decodeRows(arena, step, first, last, values);
    for (let row = first; row < last; row++) {
      const records = 4 * arena.rowOffset[row];
      const out = residual + (row - first) * rowBytes;
      const input = x + (row - first) * rowBytes;
      const count = arena.rowCount[row];
      const square =
        together === undefined
          ? wasm.decodeRow(
              out,
              input,
              b_dec,
              W_dec,
              dOut,
              recordLatent + records,
              recordGate + records,
              count,
            )
          : wasm.subtractRow(out, input, dOut);
      arena.rowSecondError[row] = square;
      wasm.scaleRow(out, step.gradientScale, dOut);
      if (together === undefined)
        wasm.chains(gradients + records, recordLatent + records, count, out, 0, W_dec, dOut);
    }
    together?.latentGradients(arena, step, first, last, residual, gradients);
  };
}
