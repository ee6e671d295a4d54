/** Learning-rate and sparsity schedules: pure functions of the step, so that a resumed run takes the same values. */

/** A warm-up, a constant part and a decay at the end. All lengths in steps. */
export interface Schedule {
  /** The value of the constant part. */
  readonly peak: number;
  /** Steps of warm-up. 0: none. */
  readonly warmupSteps: number;
  /** Steps of decay at the end. 0: none. */
  readonly decaySteps: number;
  /** Steps of the whole run. */
  readonly totalSteps: number;
  /**
   * Share of the peak that the first step of the warm-up takes; the step after the warm-up then takes all of it.
   * Absent: the first step takes 1/warmupSteps of the peak, the warm-up's last all of it.
   */
  readonly warmupStart?: number;
  /** How the warm-up rises. @default "linear" */
  readonly warmupShape?: ScheduleShape;
  /**
   * How the decay falls from the peak, which its first step takes, to `end`, which the step after its last would take.
   * `cosine` is torch's CosineAnnealingLR. @default "linear"
   */
  readonly decayShape?: ScheduleShape;
  /** The value to which the decay falls, at most the peak. @default 0 */
  readonly end?: number;
}

/** A value without warm-up and decay. @param totalSteps steps of the whole run */
export function constantSchedule(peak: number, totalSteps: number): Schedule {
  return { peak, warmupSteps: 0, decaySteps: 0, totalSteps };
}

/** A way from 0 to 1: a line, or half a period of the cosine. */
export type ScheduleShape = "linear" | "cosine";

function along(shape: ScheduleShape, share: number): number {
  return shape === "linear" ? share : (1 - Math.cos(Math.PI * share)) / 2;
}

/** The schedule's value at `step` (0-based). Warm-up and decay multiply where they overlap. */
export function scheduledValue(schedule: Schedule, step: number): number {
  const { peak, totalSteps, decaySteps, decayShape = "linear", end = 0 } = schedule;
  const left = decaySteps > 0 ? Math.min(1, Math.max(0, totalSteps - step) / decaySteps) : 1;
  const warmup = warmupShare(schedule, step);
  const decay = along(decayShape, left);
  if (end === 0) return peak * warmup * decay;
  return warmup * (end + (peak - end) * decay);
}

function warmupShare({ warmupSteps, warmupStart, warmupShape = "linear" }: Schedule, step: number): number {
  if (warmupSteps === 0) return 1;
  if (warmupStart === undefined) return along(warmupShape, Math.min(1, (step + 1) / warmupSteps));
  return warmupStart + (1 - warmupStart) * along(warmupShape, Math.min(1, step / warmupSteps));
}
