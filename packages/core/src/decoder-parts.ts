/** The vectors side by side that a decoder row rebuilds, and the norms that the L1 penalty weighs with. */
import type { FloatArray, Round } from "./precision.ts";
import { outputDimension, type SparseModelSetup } from "./setup.ts";

/** Where the vectors of a crosscoder's row begin, and their widths; else the row itself. */
export function decoderParts(model: SparseModelSetup): [from: number, width: number][] {
  let end = 0;
  return (model.columns ?? [outputDimension(model)]).map((width) => [(end += width) - width, width]);
}

/** ‖row‖, of a crosscoder the sum of its parts' norms; each by `norm` on a range of numbers. */
export function decoderNormOf(
  model: SparseModelSetup,
  values: FloatArray,
  at: number,
  round: Round,
  norm: (values: FloatArray, offset: number, length: number) => number,
): number {
  if (model.columns === undefined) return norm(values, at, outputDimension(model));
  let sum = 0;
  for (const [from, width] of decoderParts(model)) sum = round(sum + norm(values, at + from, width));
  return sum;
}
