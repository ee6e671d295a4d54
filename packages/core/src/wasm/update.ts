/** The arithmetic of updates on the WebAssembly kernels. Arrays must lie in their memory. */
import type { FloatArray } from "../arena.ts";
import type { UpdateKernels } from "../optimizers/optimizer.ts";
import type { KernelExports } from "./instance.ts";

/** Where an array's element lies. */
function pointer(values: FloatArray, offset: number): number {
  return values.byteOffset + 4 * offset;
}

export function wasmUpdates(wasm: KernelExports): UpdateKernels {
  return {
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
