/** The nested prefixes of a Matryoshka autoencoder on the WebAssembly kernels; formulas in ../reference/prefixes.ts. */
import type { SparseArena } from "../arena-sparse.ts";
import type { StepContext } from "../kernels.ts";
import type { Plan } from "../plan.ts";
import { outputDimension, type SparseModelSetup } from "../setup.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";

/** What the stages do for prefixes. */
export interface PrefixKernels {
  /** Errors of a row's prefixes, and when training what each latent sees of them. `y`: what is to be rebuilt. */
  decodeRow(arena: SparseArena, step: StepContext, row: number, y: number): void;
  /** ∂loss/∂f of a row's records. */
  gradients(arena: SparseArena, row: number): void;
  /** Parts [first, last) of a block of latents that see the same errors, with a pointer to those of all rows. */
  forParts(first: number, last: number, visit: (first: number, last: number, residual: number) => void): void;
  /** What b_dec sees of all rows. */
  readonly outermost: number;
}

/** The prefixes' work over the memory laid out by `plan`. */
export function wasmPrefixes(plan: Plan, model: SparseModelSetup, wasm: KernelExports): PrefixKernels {
  const at = pointersOf(plan);
  const dOut = outputDimension(model);
  const { prefixes = [] } = model;
  const [residuals, recordLatent, recordGradient, running] = [
    "prefixResidual",
    "recordLatent",
    "recordGradient",
    "prefixRunning",
  ].map(at);
  const W_dec = parameterPointers(plan, "W_dec").value;
  const rowBytes = 4 * dOut;
  const prefixBytes = plan.setup.training.batchRows * rowBytes;
  const weight = Math.fround(1 / prefixes.length);
  /** Visits the records of a row by prefix: [from, to) are those of latents in no smaller one. */
  const forRecords = (
    arena: SparseArena,
    row: number,
    visit: (prefix: number, from: number, to: number) => void,
  ): void => {
    const end = arena.rowOffset[row] + arena.rowCount[row];
    let from = arena.rowOffset[row];
    for (let prefix = 0; prefix < prefixes.length; prefix++) {
      let to = from;
      while (to < end && arena.recordLatent[to] < prefixes[prefix]) to++;
      visit(prefix, from, to);
      from = to;
    }
  };
  return {
    outermost: residuals,
    decodeRow(arena, step, row, y) {
      const sum = running + step.rank * rowBytes;
      const place = step.rank * dOut;
      arena.prefixRunning.set(arena.b_dec.value, place);
      let squares = 0;
      forRecords(arena, row, (prefix, from, to) => {
        for (let record = from; record < to; record++)
          wasm.axpy(sum, arena.recordValue[record], W_dec + arena.recordLatent[record] * rowBytes, dOut);
        const out = prefix * prefixBytes + row * rowBytes;
        arena.prefixResidual.set(arena.prefixRunning.subarray(place, place + dOut), out / 4);
        const square = wasm.subtractRow(residuals + out, y, dOut);
        squares = Math.fround(squares + Math.fround(weight * square));
      });
      arena.rowPrefixError[row] = squares;
      if (!step.train) return;
      const scale = Math.fround(step.gradientScale * weight);
      for (let prefix = prefixes.length - 1; prefix >= 0; prefix--) {
        const out = residuals + prefix * prefixBytes + row * rowBytes;
        wasm.scaleRow(out, scale, dOut);
        if (prefix + 1 < prefixes.length) wasm.axpy(out, 1, out + prefixBytes, dOut);
      }
    },
    gradients(arena, row) {
      forRecords(arena, row, (prefix, from, to) => {
        const seen = residuals + prefix * prefixBytes + row * rowBytes;
        wasm.chains(recordGradient + 4 * from, recordLatent + 4 * from, to - from, seen, 0, W_dec, dOut);
      });
    },
    forParts(first, last, visit) {
      let begin = first;
      for (let prefix = 0; prefix < prefixes.length && begin < last; prefix++) {
        const end = Math.min(last, prefixes[prefix]);
        if (end <= begin) continue;
        visit(begin, end, residuals + prefix * prefixBytes);
        begin = end;
      }
    },
  };
}
