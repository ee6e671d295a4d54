/** Decoding the nested prefixes of a Matryoshka autoencoder in plain TypeScript, see ../architectures/matryoshka.ts. */
import type { SparseArena } from "../arena-sparse.ts";
import type { FloatArray, Round } from "../precision.ts";
import type { StepContext } from "../kernels.ts";
import { chainLink, laneDot } from "./chains.ts";
import { addDecoderRows, alongDecoderRows } from "./decode.ts";
import { decoderTarget } from "./skip.ts";
import { outputDimension } from "../setup.ts";

/** Offset of a row in what the latents of a prefix, that are in no smaller one, see of the errors. */
export function prefixRow(arena: SparseArena, prefix: number, row: number): number {
  const { model, plan } = arena;
  return (prefix * plan.setup.training.batchRows + row) * outputDimension(model);
}

/**
 * The errors x̂_g − x of a row's prefixes, from its records; their weighted squares into rowPrefixError. When training,
 * each is replaced by R_g = R_{g+1} + (2/B)·w_g·(x̂_g − x).
 */
export function decodePrefixes(
  arena: SparseArena,
  step: StepContext,
  row: number,
  lanes: FloatArray,
  round: Round,
): void {
  const { prefixes = [] } = arena.model;
  const dOut = outputDimension(arena.model);
  const { prefixResidual, recordLatent, recordValue } = arena;
  const y = decoderTarget(arena, step);
  const weight = round(1 / prefixes.length);
  const end = arena.rowOffset[row] + arena.rowCount[row];
  let record = arena.rowOffset[row];
  let squares = 0;
  let from: FloatArray = arena.b_dec.value;
  prefixes.forEach((width, prefix) => {
    const at = prefixRow(arena, prefix, row);
    prefixResidual.set(from, at);
    const to = prefixEnd(recordLatent, record, end, width);
    addDecoderRows(arena, prefixResidual, at, recordLatent, recordValue, record, to);
    record = to;
    from = prefixResidual.slice(at, at + dOut);
    for (let j = 0; j < dOut; j++) prefixResidual[at + j] = prefixResidual[at + j] - y[row * dOut + j];
    squares = round(squares + round(weight * laneDot(lanes, prefixResidual, at, prefixResidual, at, dOut)));
  });
  arena.rowPrefixError[row] = squares;
  if (!step.train) return;
  const scale = round(step.gradientScale * weight);
  for (let prefix = prefixes.length - 1; prefix >= 0; prefix--) {
    const at = prefixRow(arena, prefix, row);
    for (let j = at; j < at + dOut; j++) prefixResidual[j] = scale * prefixResidual[j];
    if (prefix + 1 < prefixes.length)
      chainLink(prefixResidual, at, 1, prefixResidual, prefixRow(arena, prefix + 1, row), dOut);
  }
}

/** ∂loss/∂f of a row's records, each along what its latent sees of the errors. */
export function prefixGradients(arena: SparseArena, row: number, round: Round): void {
  const { prefixResidual, recordLatent, recordGradient, model } = arena;
  const end = arena.rowOffset[row] + arena.rowCount[row];
  let record = arena.rowOffset[row];
  model.prefixes?.forEach((width, prefix) => {
    const at = prefixRow(arena, prefix, row);
    const to = prefixEnd(recordLatent, record, end, width);
    alongDecoderRows(arena, prefixResidual, at, recordLatent, recordGradient, record, to, round);
    record = to;
  });
}

/** The end of those of a row's records, from `record` on, that a prefix of `width` latents holds. */
function prefixEnd(recordLatent: Int32Array, record: number, end: number, width: number): number {
  let to = record;
  while (to < end && recordLatent[to] < width) to++;
  return to;
}
