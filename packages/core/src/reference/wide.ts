/** The wider reconstruction of multi-TopK in plain TypeScript, see ../multi-topk.ts. */
import type { SparseArena } from "../arena-sparse.ts";
import type { FloatArray, Round } from "../precision.ts";
import type { StepContext } from "../kernels.ts";
import { WIDE_WEIGHT } from "../multi-topk.ts";
import { outputDimension } from "../setup.ts";
import { chainDot, chainLink, laneDot } from "./chains.ts";
import { decoderTarget } from "./skip.ts";

/** wideResidual = (2/B)·⅛·(x̂_4k − x) of a row, ⅛ of its squared error into rowSecondError, and ∂/∂z of its wide records. */
export function decodeWide(
  arena: SparseArena,
  step: StepContext,
  row: number,
  lanes: FloatArray,
  round: Round,
): void {
  const dOut = outputDimension(arena.model);
  const { wideResidual, wideLatent, wideValue, wideGradient } = arena;
  const y = decoderTarget(arena, step);
  const at = row * dOut;
  const begin = arena.wideOffset[row];
  const end = begin + arena.wideCount[row];
  wideResidual.set(arena.b_dec.value, at);
  for (let record = begin; record < end; record++)
    chainLink(wideResidual, at, wideValue[record], arena.W_dec.value, wideLatent[record] * dOut, dOut);
  for (let j = at; j < at + dOut; j++) wideResidual[j] = wideResidual[j] - y[j];
  arena.rowSecondError[row] = WIDE_WEIGHT * laneDot(lanes, wideResidual, at, wideResidual, at, dOut);
  const scale = round(step.gradientScale * WIDE_WEIGHT);
  for (let j = at; j < at + dOut; j++) wideResidual[j] = scale * wideResidual[j];
  for (let record = begin; record < end; record++) {
    const weights = wideLatent[record] * dOut;
    const gradient = chainDot(0, wideResidual, at, arena.W_dec.value, weights, dOut, round);
    wideGradient[record] = gradient;
  }
}
