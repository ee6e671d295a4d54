/** The wider reconstruction of multi-TopK in plain TypeScript, see ../multi-topk.ts. */
import type { FloatArray, SparseArena } from "../arena.ts";
import type { StepContext } from "../kernels.ts";
import { WIDE_WEIGHT } from "../multi-topk.ts";
import { chainDot, chainLink, laneDot, type Round } from "./chains.ts";

/** wideResidual = (2/B)·⅛·(x̂_4k − x) of a row, ⅛ of its squared error into rowSecondError, and ∂/∂z of its wide records. */
export function decodeWide(
  arena: SparseArena,
  step: StepContext,
  row: number,
  lanes: FloatArray,
  round: Round,
): void {
  const { dIn } = arena.model;
  const { wideResidual, wideLatent, wideValue, wideGradient } = arena;
  const x = arena.slots[step.slot];
  const at = row * dIn;
  const begin = arena.wideOffset[row];
  const end = begin + arena.wideCount[row];
  wideResidual.set(arena.b_dec.value, at);
  for (let record = begin; record < end; record++)
    chainLink(wideResidual, at, wideValue[record], arena.W_dec.value, wideLatent[record] * dIn, dIn);
  for (let j = at; j < at + dIn; j++) wideResidual[j] = wideResidual[j] - x[j];
  arena.rowSecondError[row] = WIDE_WEIGHT * laneDot(lanes, wideResidual, at, wideResidual, at, dIn);
  const scale = round(step.gradientScale * WIDE_WEIGHT);
  for (let j = at; j < at + dIn; j++) wideResidual[j] = scale * wideResidual[j];
  for (let record = begin; record < end; record++) {
    const weights = wideLatent[record] * dIn;
    const gradient = chainDot(0, wideResidual, at, arena.W_dec.value, weights, dIn, round);
    wideGradient[record] = gradient;
  }
}
