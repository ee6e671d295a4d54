/** AuxK's stages on the WebAssembly kernels, see ../auxiliary.ts. */
import { AUXILIARY } from "../fields.ts";
import { CONTROL } from "../control.ts";
import type { AuxiliaryKernels, StepContext } from "../kernels.ts";
import type { Plan } from "../plan.ts";
import { outputDimension, type SparseModelSetup } from "../setup.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";

/** The stages over the memory laid out by `plan`, which must have AuxK. `inputOf`: what the encoder sees. */
export function wasmAuxiliary(
  plan: Plan,
  model: SparseModelSetup,
  wasm: KernelExports,
  inputOf: (step: StepContext) => number,
): AuxiliaryKernels {
  const at = pointersOf(plan);
  const { dIn, latents } = model;
  const dOut = outputDimension(model);
  const k = plan.setup.training.auxK?.k ?? 0;
  const rowBytes = 4 * dOut;
  const [residual, auxResidual, errorSum, zeros] = [
    at("residual"),
    at("auxResidual"),
    at("errorSum"),
    at("auxZeros"),
  ];
  const [auxLatent, auxValue, auxGradient] = [at("auxLatent"), at("auxValue"), at("auxGradient")];
  const [auxScores, auxCandidates, auxErrors] = [at("auxScores"), at("auxCandidates"), at("auxErrors")];
  const [W_enc, b_enc, W_dec] = ["W_enc", "b_enc", "W_dec"].map(
    (name) => parameterPointers(plan, name).value,
  );
  return {
    sumErrors(_arena, step, first, last) {
      wasm.sumRows(errorSum, residual, step.rows, dOut, first, last);
    },

    rebuildErrors(arena, step, first, last) {
      const scale = Math.fround(2 * (arena.auxiliary[AUXILIARY.factor] / step.rows));
      const unscale = Math.fround(-step.rows / 2);
      const dead = arena.control[CONTROL.deadLatents];
      const scores = auxScores + step.rank * latents * 4;
      const candidates = auxCandidates + step.rank * latents * 4;
      const errors = auxErrors + step.rank * rowBytes;
      for (let row = first; row < last; row++) {
        arena.auxCandidates.set(arena.deadLatents.subarray(0, dead), step.rank * latents);
        wasm.chains(scores, candidates, dead, inputOf(step) + row * 4 * dIn, b_enc, W_enc, dIn);
        const count = wasm.keepLargestSigned(scores, candidates, dead, k);
        const begin = row * k;
        arena.auxOffset[row] = begin;
        arena.auxCount[row] = count;
        arena.auxLatent.set(
          arena.auxCandidates.subarray(step.rank * latents, step.rank * latents + count),
          begin,
        );
        arena.auxValue.set(arena.auxScores.subarray(step.rank * latents, step.rank * latents + count), begin);
        arena.auxErrors.set(arena.residual.subarray(row * dOut, (row + 1) * dOut), step.rank * dOut);
        wasm.scaleRow(errors, unscale, dOut);
        const out = auxResidual + row * rowBytes;
        const [ofLatents, ofValues] = [auxLatent + 4 * begin, auxValue + 4 * begin];
        const square = wasm.decodeRow(out, errors, zeros, W_dec, dOut, ofLatents, ofValues, count);
        arena.rowAuxiliary[row] = square;
        wasm.scaleRow(out, scale, dOut);
        wasm.chains(auxGradient + 4 * begin, ofLatents, count, out, 0, W_dec, dOut);
      }
    },
  };
}
