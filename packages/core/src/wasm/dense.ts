/**
 * Products over all latents for ReLU rows of many records. Records stay what stages hand on: they are spread into
 * scratch first. No bit depends on whether these run, since zeros add nothing to a chain.
 */
import type { SparseArena } from "../arena-sparse.ts";
import type { FloatArray } from "../precision.ts";
import { CONTROL } from "../control.ts";
import type { StepContext } from "../kernels.ts";
import { ROW_BLOCK } from "../block-sizes.ts";
import { type Plan, regionOf } from "../plan.ts";
import { outputDimension, type SparseModelSetup } from "../setup.ts";
import { PANEL } from "../tiles.ts";
import type { KernelExports } from "./instance.ts";
import { inputGradientPointer, parameterPointers, pointersOf } from "./pointers.ts";

/**
 * Shares of active latents from which products of all latents take over, in decoding and in gathering: they run at a
 * multiple of the speed of adding up rows of the active ones. Measured at L, see decision 007; no bit depends on it.
 */
const DENSE_DECODE_SHARE = 0.2;
const DENSE_GATHER_SHARE = 0.4;

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

/** What of a sparse autoencoder's stages can be done by dense products. */
export interface DenseProducts extends BlockDecoder {
  /** Whether the chunk of rows that ends at `lastRow` has enough records to gather by products. */
  paysForGathering(arena: SparseArena, lastRow: number): boolean;
  /** Adds rows to the gradients of a block of latents, which begin at row `gradientRow` of their regions. */
  gather(
    step: StepContext,
    first: number,
    last: number,
    firstRow: number,
    lastRow: number,
    input: number,
    gradientRow: number,
  ): void;
}

/** What to decode instead of the records' values, and where to. */
export interface DecodedRows {
  /** Pointer to a number per record. */
  readonly values: number;
  /** Pointer to the block's first row, and the same as an index into a view. */
  readonly residual: number;
  readonly into: FloatArray;
  readonly at: number;
}

/** The products over the memory laid out by `plan`, whose selection must be "positive". */
export function denseProducts(
  plan: Plan,
  model: SparseModelSetup,
  wasm: KernelExports,
  wide: 0 | 1,
): DenseProducts {
  const { dIn, latents } = model;
  const dOut = outputDimension(model);
  const at = pointersOf(plan);
  const training = plan.purpose === "train";
  const W_enc = parameterPointers(plan, "W_enc");
  const W_dec = parameterPointers(plan, "W_dec");
  const [residual, zeros, packedRows, preActivations] = [
    at("residual"),
    at("zeros"),
    at("packedRows"),
    at("preActivations"),
  ];
  const [rowOffset, rowCount] = [at("rowOffset"), at("rowCount")];
  const [recordLatent, recordValue, recordGradient] = [
    at("recordLatent"),
    at("recordValue"),
    at("recordGradient"),
  ];
  const [activationSum, activeCount] = training ? [at("activationSum"), at("activeCount")] : [0, 0];
  const inputGradient = inputGradientPointer(plan);
  const packedBytes = (4 * regionOf(plan, "packedRows").length) / plan.workers;
  const combineBytes = (4 * regionOf(plan, "combineScratch").length) / plan.workers;
  const combineOf = (step: StepContext): number => at("combineScratch") + step.rank * combineBytes;
  const denseColumns = training ? at("denseColumns") : 0;
  const denseColumnBytes = training ? (4 * regionOf(plan, "denseColumns").length) / plan.workers : 0;

  const paysForRows = (arena: SparseArena, first: number, last: number): boolean => {
    let records = 0;
    for (let row = first; row < last; row++) records += arena.rowCount[row];
    return records > DENSE_DECODE_SHARE * latents * (last - first);
  };

  const decodeRows = (
    arena: SparseArena,
    step: StepContext,
    first: number,
    last: number,
    of: DecodedRows = {
      values: recordValue,
      residual: residual + first * 4 * dOut,
      into: arena.residual,
      at: first * dOut,
    },
  ): void => {
    const dense = preActivations + step.rank * ROW_BLOCK * latents * 4;
    for (let row = first; row < last; row++) {
      const records = 4 * arena.rowOffset[row];
      const values = dense + (row - first) * latents * 4;
      wasm.spreadRow(values, latents, recordLatent + records, of.values + records, arena.rowCount[row]);
      of.into.set(arena.b_dec.value, of.at + (row - first) * dOut);
    }
    wasm.combine(
      of.residual,
      dense,
      latents * 4,
      4,
      last - first,
      W_dec.value,
      dOut,
      latents,
      combineOf(step),
      wide,
      0,
    );
  };

  const latentGradients = (
    arena: SparseArena,
    step: StepContext,
    first: number,
    last: number,
    errors: number = residual + first * 4 * dOut,
    gradients: number = recordGradient,
  ): void => {
    const rows = last - first;
    const packed = packedRows + step.rank * packedBytes;
    const z = preActivations + step.rank * ROW_BLOCK * latents * 4;
    wasm.packRows(packed, errors, 0, 0, rows, dOut);
    wasm.product(z, packed, Math.ceil(rows / PANEL), zeros, W_dec.value, latents, dOut, 0, 1, wide);
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

  const gather = (
    step: StepContext,
    first: number,
    last: number,
    firstRow: number,
    lastRow: number,
    input: number,
    gradientRow: number,
  ): void => {
    const columnBytes = (lastRow - firstRow) * 4;
    const values = denseColumns + step.rank * denseColumnBytes;
    const deltas = values + denseColumnBytes / 2;
    wasm.clear(values, denseColumnBytes);
    wasm.gatherColumns(
      first,
      last,
      firstRow,
      lastRow,
      rowOffset,
      rowCount,
      recordLatent,
      recordValue,
      recordGradient,
      values,
      deltas,
      inputGradient,
      activationSum,
      activeCount,
    );
    const product = (out: number, columns: number, rows: number, width: number): void => {
      const from = rows + firstRow * 4 * width;
      wasm.combine(
        out,
        columns,
        columnBytes,
        4,
        last - first,
        from,
        width,
        lastRow - firstRow,
        combineOf(step),
        wide,
        0,
      );
    };
    product(W_dec.gradient + gradientRow * 4 * dOut, values, residual, dOut);
    product(W_enc.gradient + gradientRow * 4 * dIn, deltas, input, dIn);
  };

  return {
    paysForRows,
    decodeRows,
    latentGradients,
    paysForGathering: (arena, lastRow) =>
      arena.control[CONTROL.active] > DENSE_GATHER_SHARE * latents * lastRow,
    gather,
  };
}
