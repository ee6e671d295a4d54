/** Decoder rows: the vectors side by side that one rebuilds, the norms that the L1 penalty weighs with, the constraint. */
import type { SparseArena } from "./arena-sparse.ts";
import type { FloatArray, Round } from "./precision.ts";
import { laneDot } from "./reference/chains.ts";
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

/** Brings a decoder row that was set onto its constraint, and refreshes its norm. `lanes`: see laneScratch. */
export function finishDecoderRow(arena: SparseArena, latent: number, lanes: FloatArray, round: Round): void {
  const { decoder } = arena.model;
  const dOut = outputDimension(arena.model);
  const weights = arena.W_dec.value;
  const at = latent * dOut;
  const normOf = (values: FloatArray, offset: number, length: number): number =>
    round(Math.sqrt(laneDot(lanes, values, offset, values, offset, length)));
  if (decoder === "free") {
    arena.decoderNorm[latent] = decoderNormOf(arena.model, weights, at, round, normOf);
    return;
  }
  const norm = normOf(weights, at, dOut);
  arena.decoderNorm[latent] = 1;
  if (norm > 0) for (let j = at; j < at + dOut; j++) weights[j] = weights[j] / norm;
}
