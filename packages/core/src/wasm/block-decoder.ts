/**
 * Decoding the rows of a block together where they have many records, so that the decoder comes from memory once for the block
 * and not once for each row. Each row's records are added in their order whichever way it is done, and what products of all latents give
 * beside the records' gradients is dropped: no bit depends on whether this runs, nor on which of its ways.
 */
import type { SparseArena } from "../arena-sparse.ts";
import type { StepContext } from "../kernels.ts";
import { type Plan, regionOf } from "../plan.ts";
import type { FloatArray } from "../precision.ts";
import { outputDimension, type SparseModelSetup } from "../setup.ts";
import { PANEL } from "../tiles.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { parameterPointers, pointersOf } from "./pointers.ts";

/**
 * Shares of active latents from which on rows are decoded together, by chunks of latents; are decoded by tiles of columns
 * instead; and have ∂loss/∂f computed by products of all latents. Measured at L, see decision 007.
 */
const TOGETHER_SHARE = 0.012;
const COLUMNS_SHARE = 0.1;
const PRODUCT_SHARE = 0.25;

/** Bytes of the decoder rows of a chunk: about what a second-level cache holds. Half as much takes some 5 % longer at L. */
const CHUNK_BYTES = 1024 * 1024;

/** What to decode instead of the records' values, and where to. */
export interface DecodedRows {
  /** Pointer to a number per record. */
  readonly values: number;
  /** Pointer to the block's first row, and the same as an index into a view. */
  readonly residual: number;
  readonly into: FloatArray;
  readonly at: number;
}

/** Decoding a block's rows together. Ranges are half-open. */
export interface BlockDecoder {
  /** Whether rows of a block have so many records that this is cheaper. */
  paysForRows(arena: SparseArena, first: number, last: number): boolean;
  /** residual = b_dec + f·W_dec for a block of rows. */
  decodeRows(arena: SparseArena, step: StepContext, first: number, last: number, of?: DecodedRows): void;
  /** ∂loss/∂f of a block's records: from and to other places where given. */
  latentGradients(
    arena: SparseArena,
    step: StepContext,
    first: number,
    last: number,
    residual?: number,
    gradients?: number,
  ): void;
}

/** Decoding over the memory laid out by `plan`, whose selection must be "positive". */
export function blockDecoder(
  plan: Plan,
  model: SparseModelSetup,
  wasm: KernelExports,
  wide: 0 | 1,
): BlockDecoder {
  const { latents } = model;
  const dOut = outputDimension(model);
  const rowBytes = 4 * dOut;
  const chunk = Math.max(8, Math.floor(CHUNK_BYTES / rowBytes));
  const at = pointersOf(plan);
  const W_dec = parameterPointers(plan, "W_dec").value;
  const [residual, rowOffset, rowCount, recordLatent, recordValue, recordGradient, zeros] = [
    "residual",
    "rowOffset",
    "rowCount",
    "recordLatent",
    "recordValue",
    "recordGradient",
    "zeros",
  ].map(at);
  /** This thread's part of a region of scratch. */
  const scratchOf = (name: string): ((step: StepContext) => number) => {
    const { length } = regionOf(plan, name);
    const [begin, bytes] = [at(name), (4 * length) / plan.workers];
    return ({ rank }) => begin + rank * bytes;
  };
  const [cursorsOf, recordColumnsOf, packedRowsOf, preActivationsOf] = [
    "recordCursors",
    "recordColumns",
    "packedRows",
    "preActivations",
  ].map(scratchOf);

  const activeShare = (arena: SparseArena, first: number, last: number): number => {
    let records = 0;
    for (let row = first; row < last; row++) records += arena.rowCount[row];
    return records / (latents * (last - first));
  };

  /** ∂loss/∂f of all latents, of which the records' are kept. */
  const productGradients = (
    arena: SparseArena,
    step: StepContext,
    first: number,
    last: number,
    errors: number,
    gradients: number,
  ): void => {
    const rows = last - first;
    const [packed, z] = [packedRowsOf(step), preActivationsOf(step)];
    wasm.packRows(packed, errors, 0, 0, rows, dOut);
    wasm.product(z, packed, Math.ceil(rows / PANEL), zeros, W_dec, latents, dOut, 0, 1, wide);
    for (let row = first; row < last; row++) {
      const records = 4 * arena.rowOffset[row];
      const panel = z + Math.floor((row - first) / PANEL) * latents * PANEL * 4;
      wasm.collectRow(
        gradients + records,
        panel,
        (row - first) % PANEL,
        recordLatent + records,
        arena.rowCount[row],
      );
    }
  };

  return {
    paysForRows: (arena, first, last) => activeShare(arena, first, last) > TOGETHER_SHARE,

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
      const rows = [
        of.residual,
        last - first,
        rowOffset + 4 * first,
        rowCount + 4 * first,
        recordLatent,
        of.values,
        W_dec,
        dOut,
        latents,
      ] as const;
      if (activeShare(arena, first, last) > COLUMNS_SHARE)
        wasm.addRecordsByColumns(...rows, recordColumnsOf(step));
      else wasm.addRecordsByChunk(...rows, chunk, cursorsOf(step));
    },

    latentGradients(
      arena,
      step,
      first,
      last,
      errors = residual + first * rowBytes,
      gradients = recordGradient,
    ) {
      if (activeShare(arena, first, last) > PRODUCT_SHARE) {
        productGradients(arena, step, first, last, errors, gradients);
        return;
      }
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
        cursorsOf(step),
      );
    },
  };
}
