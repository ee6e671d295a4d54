/** AuxK's stages in plain TypeScript, see ../auxiliary.ts. */
import type { SparseArena } from "../arena-sparse.ts";
import { AUXILIARY } from "../fields.ts";
import type { FloatArray, Round } from "../precision.ts";
import { CONTROL } from "../control.ts";
import type { AuxiliaryKernels, StepContext } from "../kernels.ts";
import { chainDot, laneDot } from "./chains.ts";
import { addDecoderRows, alongDecoderRows } from "./decode.ts";
import { encoderInput } from "./encode.ts";
import { outputDimension } from "../setup.ts";
import { selectLargest, sortByLatent } from "./select.ts";

/** The stages of AuxK at one precision. `lanes` is scratch of the calling thread. */
export function referenceAuxiliary(round: Round, lanes: FloatArray): AuxiliaryKernels {
  return {
    sumErrors(arena, step, first, last) {
      const dOut = outputDimension(arena.model);
      arena.errorSum.fill(0, first, last);
      for (let row = 0; row < step.rows; row++)
        for (let j = first; j < last; j++) arena.errorSum[j] += arena.residual[row * dOut + j];
    },

    rebuildErrors(arena, step, first, last) {
      const dOut = outputDimension(arena.model);
      const { auxResidual } = arena;
      const scale = round(2 * (arena.auxiliary[AUXILIARY.factor] / step.rows));
      for (let row = first; row < last; row++) {
        selectDead(arena, step, row, round);
        rebuildRow(arena, step, row, lanes, round);
        const at = row * dOut;
        for (let j = at; j < at + dOut; j++) auxResidual[j] = scale * auxResidual[j];
        const begin = arena.auxOffset[row];
        const end = begin + arena.auxCount[row];
        alongDecoderRows(arena, auxResidual, at, arena.auxLatent, arena.auxGradient, begin, end, round);
      }
    },
  };
}

/** The k_aux dead latents of largest pre-activation, by latent. */
function selectDead(arena: SparseArena, step: StepContext, row: number, round: Round): void {
  const { dIn, latents } = arena.model;
  const { deadLatents, auxScores, auxLatent, auxValue, control, plan } = arena;
  const k = plan.setup.training.auxK?.k ?? 0;
  const input = encoderInput(arena, step);
  const dead = control[CONTROL.deadLatents];
  const scores = step.rank * latents;
  for (let i = 0; i < dead; i++) {
    const latent = deadLatents[i];
    const start = arena.b_enc.value[latent];
    const score = chainDot(start, input, row * dIn, arena.W_enc.value, latent * dIn, dIn, round);
    auxScores[scores + i] = score;
  }
  const begin = row * k;
  const count = Math.max(0, selectLargest(auxScores, scores, dead, k, auxValue, auxLatent, begin));
  for (let record = begin; record < begin + count; record++)
    auxLatent[record] = deadLatents[auxLatent[record]];
  sortByLatent(auxLatent, auxValue, begin, count);
  arena.auxOffset[row] = begin;
  arena.auxCount[row] = count;
}

/** auxResidual = ê − e, and its square. */
function rebuildRow(
  arena: SparseArena,
  step: StepContext,
  row: number,
  lanes: FloatArray,
  round: Round,
): void {
  const dOut = outputDimension(arena.model);
  const { auxResidual, auxLatent, auxValue, residual } = arena;
  const at = row * dOut;
  const begin = arena.auxOffset[row];
  auxResidual.fill(0, at, at + dOut);
  addDecoderRows(arena, auxResidual, at, auxLatent, auxValue, begin, begin + arena.auxCount[row]);
  const unscale = round(-step.rows / 2);
  for (let j = at; j < at + dOut; j++) auxResidual[j] = auxResidual[j] - round(unscale * residual[j]);
  arena.rowAuxiliary[row] = laneDot(lanes, auxResidual, at, auxResidual, at, dOut);
}
