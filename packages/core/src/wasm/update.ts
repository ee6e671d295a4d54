/** The arithmetic of updates on the WebAssembly kernels. Arrays must lie in their memory. */
import type { FloatArray } from "../precision.ts";
import { MATRIX_BLOCK } from "../block-sizes.ts";
import type { UpdateKernels } from "../optimizers/optimizer.ts";
import { COMBINE_SCRATCH } from "../plan-parts.ts";
import { type Plan, regionOf } from "../plan.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { pointersOf } from "./pointers.ts";

/** Where an array's element lies. */
function pointer(values: FloatArray, offset: number): number {
  return values.byteOffset + 4 * offset;
}

/** `wide`: products in tiles of two panels. */
export function wasmUpdates(plan: Plan, wasm: KernelExports, wide: 0 | 1): UpdateKernels {
  const products = plan.regions.some(({ name }) => name === "matrixScratch");
  const at = pointersOf(plan);
  const [scratch, columnScratch] = products ? [at("matrixScratch"), at("matrixColumns")] : [0, 0];
  const columnBytes = products ? 4 * (regionOf(plan, "matrixColumns").shape[2] as number) : 0;
  const scratchOf = (rank: number): number => scratch + rank * 4 * COMBINE_SCRATCH;
  return {
    round: Math.fround,
    multiply(rank, out, outOffset, left, leftOffset, rows, right, depth, length) {
      wasm.combine(
        pointer(out, outOffset),
        pointer(left, leftOffset),
        4 * depth,
        rows,
        pointer(right, 0),
        length,
        depth,
        scratchOf(rank),
        wide,
        1,
      );
    },
    gram(rank, out, outOffset, x, rows, columns, first, last) {
      // One column after the other: the product reads them once for every eight numbers of a row.
      const packed = columnScratch + rank * MATRIX_BLOCK * columnBytes;
      wasm.transposeColumns(packed, columnBytes, pointer(x, first), 4 * columns, rows, last - first, 0);
      wasm.combine(
        pointer(out, outOffset),
        packed,
        columnBytes,
        last - first,
        pointer(x, 0),
        columns,
        rows,
        scratchOf(rank),
        wide,
        1,
      );
    },
    adam({ value, m, v, gradient }, offset, length, gradientOffset, adam) {
      const { beta1, complement1, beta2, complement2, epsilon, stepSize, inverseRootCorrection2 } = adam;
      wasm.adam(
        pointer(value, offset),
        pointer(m, offset),
        pointer(v, offset),
        pointer(gradient, gradientOffset),
        length,
        beta1,
        complement1,
        beta2,
        complement2,
        epsilon,
        stepSize,
        inverseRootCorrection2,
      );
    },
    mix(out, outOffset, a, x, xOffset, b, y, yOffset, length) {
      wasm.mix(pointer(out, outOffset), a, pointer(x, xOffset), b, pointer(y, yOffset), length);
    },
    signStep(values, offset, rate, direction, directionOffset, length) {
      wasm.signStep(pointer(values, offset), rate, pointer(direction, directionOffset), length);
    },
    scale(values, offset, factor, length) {
      wasm.scaleRow(pointer(values, offset), factor, length);
    },
    link(out, outOffset, factor, x, xOffset, length) {
      wasm.axpy(pointer(out, outOffset), factor, pointer(x, xOffset), length);
    },
    links(out, outOffset, factors, factorsOffset, x, xOffset, count, length) {
      const [from, rows] = [pointer(factors, factorsOffset), pointer(x, xOffset)];
      wasm.addRows(pointer(out, outOffset), from, rows, count, length);
    },
    project(gradient, gradientOffset, row, rowOffset, length) {
      wasm.project(pointer(gradient, gradientOffset), pointer(row, rowOffset), length);
    },
    square(values, offset, length) {
      return wasm.laneDot(pointer(values, offset), pointer(values, offset), length);
    },
    norm(values, offset, length) {
      return wasm.rowNorm(pointer(values, offset), length);
    },
    normalise(values, offset, length) {
      const norm = wasm.rowNorm(pointer(values, offset), length);
      if (norm > 0) wasm.divideRow(pointer(values, offset), norm, length);
    },
  };
}
