/**
 * Adam on a range of one tensor. Every operation is rounded on its own (no fused multiply-add), in the order of
 * torch.optim.Adam, so that any implementation with IEEE float32 operations gives the same bits.
 */
import type { AdamStep } from "../adam.ts";
import type { FloatArray, ParameterViews } from "../arena.ts";
import type { Round } from "./chains.ts";

/** Updates elements [offset, offset + length) of `parameter` from gradient[gradientOffset …]. */
export function adamUpdate(
  parameter: ParameterViews,
  offset: number,
  length: number,
  gradient: FloatArray,
  gradientOffset: number,
  adam: AdamStep,
  round: Round,
): void {
  const { value, m, v } = parameter;
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
}
