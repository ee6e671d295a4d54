/**
 * The stages of a sparse autoencoder in plain TypeScript: this file, and those that it calls, define what every other
 * implementation must compute, to the bit. Loops are over rows, then latents, then dimensions; sums are canonical (chains.ts).
 */
import type { SparseArena } from "../arena-sparse.ts";
import { ARCHITECTURES, type RowRules } from "../architectures/index.ts";
import type { SparseKernels } from "../kernels.ts";
import {
  completeGradients,
  completeSkip,
  updateDecoderBias,
  updateLatents,
  updateSkip,
} from "../latent-update.ts";
import { partWide } from "../multi-topk.ts";
import type { UpdateKernels } from "../optimizers/optimizer.ts";
import { gatherPreActivations } from "../pre-act-loss.ts";
import type { FloatArray, Round } from "../precision.ts";
import type { SparseModelSetup } from "../setup.ts";
import { referenceAuxiliary } from "./auxiliary.ts";
import { chainDot } from "./chains.ts";
import { decodeRow, latentGradients } from "./decode.ts";
import { encoderInput, preActivate, selectRow } from "./encode.ts";
import { decodeGate } from "./gate.ts";
import { gatherDecoderBias, gatherLatents, gatherMore, seenBy } from "./gather.ts";
import { decodePrefixes, prefixGradients } from "./prefixes.ts";
import { gatherSkipped, subtractSkipped } from "./skip.ts";
import { decodeWide } from "./wide.ts";

/** The reference stages at one precision. `lanes` is scratch of the calling thread. */
export function referenceSparseKernels(
  round: Round,
  lanes: FloatArray,
  updates: UpdateKernels,
): SparseKernels {
  const made = new Map<SparseModelSetup, RowRules>();
  const rulesOf = ({ model }: SparseArena): RowRules | undefined => {
    const make = ARCHITECTURES[model.architecture].rules;
    if (make === undefined) return undefined;
    const rules = made.get(model) ?? make(model);
    made.set(model, rules);
    return rules;
  };
  return {
    encodeRows(arena, step, first, last) {
      preActivate(arena, step, first, last, round);
      for (let row = first; row < last; row++) {
        if (!selectRow(arena, step, row, row - first)) return false;
        rulesOf(arena)?.settle?.(arena, row, round);
      }
      if (step.train && arena.wideValue.length > 0) partWide(arena, step, first, last);
      return true;
    },

    decodeRows(arena, step, first, last) {
      const rules = rulesOf(arena);
      const prefixes = arena.prefixResidual.length > 0;
      if (arena.model.skip === true) subtractSkipped(arena, step, first, last, round);
      for (let row = first; row < last; row++) {
        decodeRow(arena, step, row, lanes, round);
        if (prefixes) decodePrefixes(arena, step, row, lanes, round);
        arena.rowPenalty[row] = rules?.penalty(arena, step, row, round) ?? 0;
        if (!step.train) continue;
        if (prefixes) prefixGradients(arena, row, round);
        else latentGradients(arena, row, round);
        if (arena.wideValue.length > 0) decodeWide(arena, step, row, lanes, round);
        if (arena.recordGate.length > 0) decodeGate(arena, step, row, lanes, round);
        rules?.gradients(arena, step, row, round);
      }
    },

    gatherLatents,

    gatherAuxiliary(arena, step, first, last) {
      const { auxLatent, auxValue, auxGradient, auxResidual, auxOffset, auxCount } = arena;
      const records = { rowOffset: auxOffset, rowCount: auxCount, recordLatent: auxLatent };
      gatherMore(arena, step, first, last, records, auxValue, auxGradient, auxResidual);
    },

    gatherWide(arena, step, first, last) {
      const { wideLatent, wideValue, wideGradient, wideResidual, wideOffset, wideCount } = arena;
      const records = { rowOffset: wideOffset, rowCount: wideCount, recordLatent: wideLatent };
      gatherMore(arena, step, first, last, records, wideValue, wideGradient, wideResidual);
    },

    gatherPreActivations(arena, step, first, last) {
      const input = encoderInput(arena, step);
      const { silentLatents, silentScores, b_enc, W_enc } = arena;
      const { dIn } = arena.model;
      gatherPreActivations(updates, arena, step, first, last, round, input, (row, at, count) => {
        for (let i = at; i < at + count; i++) {
          const latent = silentLatents[i];
          const start = b_enc.value[latent];
          silentScores[i] = chainDot(start, input, row * dIn, W_enc.value, latent * dIn, dIn, round);
        }
      });
    },

    auxiliary: referenceAuxiliary(round, lanes),

    completeGradients: (arena, step, first, last, weights) =>
      completeGradients(updates, arena, step, first, last, round, weights),

    updateLatents: (arena, step, first, last, weights) =>
      updateLatents(updates, arena, step, first, last, round, weights),

    gatherDecoderBias,

    gatherSkip(arena, step, first, last) {
      // As b_dec, in every prefix: what the first latents see.
      const { errors } = seenBy(arena, 0);
      const { wideResidual } = arena;
      gatherSkipped(arena, step, first, last, wideResidual.length > 0 ? [errors, wideResidual] : [errors]);
      completeSkip(updates, arena, first, last);
    },

    updateSkip: (arena, step, first, last) => updateSkip(updates, arena, step, first, last),

    updateDecoderBias: (arena, step, first, last) => updateDecoderBias(updates, arena, step, first, last),
  };
}
