/** Learning-rate and sparsity schedules: pure functions of the step, so that a resumed run takes the same values. */

/** A linear warm-up, a constant part and a linear decay to zero. All lengths in steps. */
export interface Schedule {
  /** The value of the constant part. */
  readonly peak: number;
  /** Steps of linear warm-up; the first step already takes 1/warmupSteps of the peak. 0: none. */
  readonly warmupSteps: number;
  /** Steps of linear decay at the end; the last step takes 1/decaySteps of the peak. 0: none. */
  readonly decaySteps: number;
  /** Steps of the whole run. */
  readonly totalSteps: number;
}

/** The schedule's value at `step` (0-based). Warm-up and decay multiply where they overlap. */
export function scheduledValue(schedule: Schedule, step: number): number {
  const { peak, warmupSteps, decaySteps, totalSteps } = schedule;
  const warmup = warmupSteps > 0 ? Math.min(1, (step + 1) / warmupSteps) : 1;
  const decay = decaySteps > 0 ? Math.min(1, Math.max(0, totalSteps - step) / decaySteps) : 1;
  return peak * warmup * decay;
}

/**
 * The learning rate 2e-4 / √(latents / 2¹⁴) that sparsify and dictionary_learning use for the TopK family.
 * It was found at 65,000 to 131,000 tokens per mini-batch; at much smaller mini-batches it is only a start.
 */
export function automaticLearningRate(latents: number): number {
  return 2e-4 / Math.sqrt(latents / 2 ** 14);
}
