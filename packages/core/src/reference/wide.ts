/** The wider reconstruction of multi-TopK in plain TypeScript, see ../multi-topk.ts. */
import type { SparseArena } from "../arena-sparse.ts";
import type { FloatArray, Round } from "../precision.ts";
import type { StepContext } from "../kernels.ts";
import { WIDE_WEIGHT } from "../multi-topk.ts";
import { outputDimension } from "../setup.ts";
import { laneDot } from "./chains.ts";
import { addDecoderRows, alongDecoderRows } from "./decode.ts";
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
  addDecoderRows(arena, wideResidual, at, wideLatent, wideValue, begin, end);
  for (let j = at; j < at + dOut; j++) wideResidual[j] = wideResidual[j] - y[j];
  arena.rowSecondError[row] = WIDE_WEIGHT * laneDot(lanes, wideResidual, at, wideResidual, at, dOut);
  const scale = round(step.gradientScale * WIDE_WEIGHT);
  for (let j = at; j < at + dOut; j++) wideResidual[j] = scale * wideResidual[j];
  alongDecoderRows(arena, wideResidual, at, wideLatent, wideGradient, begin, end, round);
}
