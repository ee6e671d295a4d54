/** Decoding the nested prefixes of a Matryoshka autoencoder in plain TypeScript, see ../architectures/matryoshka.ts. */
import type { SparseArena } from "../arena-sparse.ts";
import type { FloatArray, Round } from "../precision.ts";
import type { StepContext } from "../kernels.ts";
import { chainDot, chainLink, laneDot } from "./chains.ts";
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
    for (; record < end && recordLatent[record] < width; record++)
      chainLink(
        prefixResidual,
        at,
        recordValue[record],
        arena.W_dec.value,
        recordLatent[record] * dOut,
        dOut,
      );
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
  const { prefixes = [] } = arena.model;
  const dOut = outputDimension(arena.model);
  const end = arena.rowOffset[row] + arena.rowCount[row];
  let record = arena.rowOffset[row];
  prefixes.forEach((width, prefix) => {
    const at = prefixRow(arena, prefix, row);
    for (; record < end && arena.recordLatent[record] < width; record++) {
      const weights = arena.recordLatent[record] * dOut;
      const gradient = chainDot(0, arena.prefixResidual, at, arena.W_dec.value, weights, dOut, round);
      arena.recordGradient[record] = gradient;
    }
  });
}
