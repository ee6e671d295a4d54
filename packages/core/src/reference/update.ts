/**
 * The arithmetic of updates in plain TypeScript. Every operation is rounded on its own (no fused multiply-add), in the
 * order of torch's optimisers, so that any implementation with IEEE float32 operations gives the same bits.
 */
import type { FloatArray, Round } from "../precision.ts";
import type { UpdateKernels } from "../optimizers/optimizer.ts";
import { chainLink, laneDot } from "./chains.ts";

/** `lanes` is scratch of the calling thread. */
export function referenceUpdates(round: Round, lanes: FloatArray): UpdateKernels {
  const square = (values: FloatArray, offset: number, length: number): number =>
    laneDot(lanes, values, offset, values, offset, length);
  const norm = (values: FloatArray, offset: number, length: number): number =>
    round(Math.sqrt(square(values, offset, length)));
  return {
    adam({ value, m, v, gradient }, offset, length, gradientOffset, adam) {
      const { beta1, complement1, beta2, complement2, epsilon, stepSize, inverseRootCorrection2 } = adam;
      for (let j = 0; j < length; j++) {
        const at = offset + j;
        const g = gradient[gradientOffset + j];
        const mNext = round(round(beta1 * m[at]) + round(complement1 * g));
        const vNext = round(round(beta2 * v[at]) + round(complement2 * round(g * g)));
        m[at] = mNext;
        v[at] = vNext;
        const denominator = round(round(round(Math.sqrt(vNext)) * inverseRootCorrection2) + epsilon);
        value[at] = round(value[at] - round(stepSize * round(mNext / denominator)));
      }
    },
    mix(out, outOffset, a, x, xOffset, b, y, yOffset, length) {
      for (let j = 0; j < length; j++)
        out[outOffset + j] = round(a * x[xOffset + j]) + round(b * y[yOffset + j]);
    },
    signStep(values, offset, rate, direction, directionOffset, length) {
      for (let j = 0; j < length; j++) {
        const towards = direction[directionOffset + j];
        values[offset + j] = values[offset + j] - (towards > 0 ? rate : towards < 0 ? -rate : towards);
      }
    },
    scale(values, offset, factor, length) {
      for (let j = offset; j < offset + length; j++) values[j] = factor * values[j];
    },
    link: chainLink,
    links(out, outOffset, factors, factorsOffset, x, xOffset, count, length) {
      for (let row = 0; row < count; row++)
        chainLink(out, outOffset, factors[factorsOffset + row], x, xOffset + row * length, length);
    },
    project(gradient, gradientOffset, row, rowOffset, length) {
      const along = laneDot(lanes, gradient, gradientOffset, row, rowOffset, length);
      chainLink(gradient, gradientOffset, -along, row, rowOffset, length);
    },
    square,
    norm,
    round,
    multiply(_rank, out, outOffset, left, leftOffset, rows, right, depth, length) {
      out.fill(0, outOffset, outOffset + rows * length);
      for (let row = 0; row < rows; row++)
        for (let t = 0; t < depth; t++)
          chainLink(
            out,
            outOffset + row * length,
            left[leftOffset + row * depth + t],
            right,
            t * length,
            length,
          );
    },
    gram(_rank, out, outOffset, x, rows, columns, first, last) {
      out.fill(0, outOffset, outOffset + (last - first) * columns);
      for (let t = 0; t < rows; t++)
        for (let i = first; i < last; i++)
          chainLink(out, outOffset + (i - first) * columns, x[t * columns + i], x, t * columns, columns);
    },
    normalise(values, offset, length) {
      const divisor = norm(values, offset, length);
      if (divisor > 0) for (let j = offset; j < offset + length; j++) values[j] = values[j] / divisor;
    },
  };
}
