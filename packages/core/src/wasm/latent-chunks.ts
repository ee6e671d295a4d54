/**
 * Decoding rows of some hundred records: some latents for all rows of a block, then the next, so that their decoder rows
 * come from memory once for the block and not once for each row that uses them. Each row's records keep their order, so
 * that no bit depends on whether this runs.
 */
import { ROW_BLOCK } from "../block-sizes.ts";
import type { Plan } from "../plan.ts";
import { outputDimension, type SparseModelSetup } from "../setup.ts";
import type { BlockDecoder } from "./dense.ts";
import type { KernelExports } from "./instance.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";

/** Bytes of the decoder rows of a chunk: with those of the block's errors they fit a second-level cache of 1 MiB. */
const CHUNK_BYTES = 384 * 1024;
/** Share of active latents from which on it pays: below, few rows of a block use the same latent. See decision 007. */
const CHUNKED_SHARE = 0.03;

/** Decoding by chunks over the memory laid out by `plan`, whose selection must be "positive". */
export function latentChunks(plan: Plan, model: SparseModelSetup, wasm: KernelExports): BlockDecoder {
  const { latents } = model;
  const dOut = outputDimension(model);
  const rowBytes = 4 * dOut;
  const chunk = Math.max(8, Math.floor(CHUNK_BYTES / rowBytes));
  const at = pointersOf(plan);
  const W_dec = parameterPointers(plan, "W_dec").value;
  const [residual, rowOffset, rowCount, recordLatent, recordValue, recordGradient] = [
    "residual",
    "rowOffset",
    "rowCount",
    "recordLatent",
    "recordValue",
    "recordGradient",
  ].map(at);
  const cursorsOf = (rank: number): number => at("recordCursors") + rank * 4 * ROW_BLOCK;

  return {
    paysForRows(arena, first, last) {
      let records = 0;
      for (let row = first; row < last; row++) records += arena.rowCount[row];
      return records > CHUNKED_SHARE * latents * (last - first);
    },

    decodeRows(
      arena,
      step,
      first,
      last,
      of = {
        values: recordValue,
        residual: residual + first * rowBytes,
        into: arena.residual,
        at: first * dOut,
      },
    ) {
      for (let row = first; row < last; row++) of.into.set(arena.b_dec.value, of.at + (row - first) * dOut);
      wasm.addRecordsByChunk(
        of.residual,
        last - first,
        rowOffset + 4 * first,
        rowCount + 4 * first,
        recordLatent,
        of.values,
        W_dec,
        dOut,
        latents,
        chunk,
        cursorsOf(step.rank),
      );
    },

    latentGradients(
      _arena,
      step,
      first,
      last,
      errors = residual + first * rowBytes,
      gradients = recordGradient,
    ) {
      wasm.chainsByChunk(
        gradients,
        errors,
        last - first,
        rowOffset + 4 * first,
        rowCount + 4 * first,
        recordLatent,
        0,
        W_dec,
        dOut,
        latents,
        chunk,
        cursorsOf(step.rank),
      );
    },
  };
}
