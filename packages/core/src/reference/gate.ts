/** The reconstruction by a gate alone in plain TypeScript, see ../architectures/gated.ts. */
import type { SparseArena } from "../arena-sparse.ts";
import type { FloatArray, Round } from "../precision.ts";
import { ROW_BLOCK } from "../block-sizes.ts";
import type { StepContext } from "../kernels.ts";
import { laneDot } from "./chains.ts";
import { addDecoderRows, alongDecoderRows } from "./decode.ts";
import { decoderTarget } from "./skip.ts";
import { outputDimension } from "../setup.ts";

/** Index in `gateResidual` of the calling thread's scratch for a row. */
function gateRow(arena: SparseArena, step: StepContext, row: number): number {
  return (step.rank * ROW_BLOCK + (row % ROW_BLOCK)) * outputDimension(arena.model);
}

/**
 * The squared error of x̂_gate = b_dec + Σ π_i·W_dec,i into rowSecondError, and its ∂/∂π_i into recordPull.b_enc. Neither
 * W_dec nor b_dec is given a gradient.
 */
export function decodeGate(
  arena: SparseArena,
  step: StepContext,
  row: number,
  lanes: FloatArray,
  round: Round,
): void {
  const dOut = outputDimension(arena.model);
  const { gateResidual, recordGate, recordLatent } = arena;
  const y = decoderTarget(arena, step);
  const at = gateRow(arena, step, row);
  const begin = arena.rowOffset[row];
  const end = begin + arena.rowCount[row];
  gateResidual.set(arena.b_dec.value, at);
  addDecoderRows(arena, gateResidual, at, recordLatent, recordGate, begin, end);
  for (let j = 0; j < dOut; j++) gateResidual[at + j] = gateResidual[at + j] - y[row * dOut + j];
  arena.rowSecondError[row] = laneDot(lanes, gateResidual, at, gateResidual, at, dOut);
  for (let j = at; j < at + dOut; j++) gateResidual[j] = step.gradientScale * gateResidual[j];
  alongDecoderRows(arena, gateResidual, at, recordLatent, arena.recordPull.b_enc, begin, end, round);
}
