/** The constants of one step's update that are not Adam's, the same on every thread. */
import { type Precision, roundingTo } from "../precision.ts";
import { scheduledValue } from "../schedule.ts";
import type { TrainingSetup } from "../setup.ts";
import type { AverageWeights } from "./schedule-free.ts";

/** All numbers but `learningRate` are rounded to the arena's precision once, here. */
export interface UpdateStep {
  /** Not rounded: for constants that are made of it. */
  learningRate: number;
  rate: number;
  /** β of the momentum. */
  momentum: number;
  /** 1 − β. */
  momentumRest: number;
  /** What the new point weighs in the average of the parameters. */
  average: number;
  /** 1 − `average`. */
  averageRest: number;
  /** 1 − learning rate × weight decay. */
  decay: number;
}

/** An UpdateStep to be filled by {@link setUpdateStep}. */
export function emptyUpdateStep(): UpdateStep {
  return { learningRate: 0, rate: 0, momentum: 0, momentumRest: 0, average: 0, averageRest: 0, decay: 0 };
}

/** Writes the constants for 0-based `step` into `into`. */
export function setUpdateStep(
  into: UpdateStep,
  training: TrainingSetup,
  step: number,
  precision: Precision,
  weights: AverageWeights,
): void {
  const round = roundingTo(precision);
  const { momentum = 0, weightDecay = 0, name } = training.optimizer ?? {};
  const learningRate = scheduledValue(training.learningRate, step);
  const average = name === "signum-schedule-free" ? weights.of(step) : emaWeight(training.ema, step);
  into.learningRate = learningRate;
  into.rate = round(learningRate);
  into.momentum = round(momentum);
  into.momentumRest = round(1 - momentum);
  into.average = round(average);
  into.averageRest = round(1 - average);
  into.decay = round(1 - learningRate * weightDecay);
}

/**
 * The newest parameters' weight in an exponential moving average without bias towards its start: (1 − d)/(1 − dᵗ) at the
 * t-th step, so that the average has the weights (1 − d)·dⁱ of an endless one, divided by their sum.
 */
function emaWeight(decay: number | undefined, step: number): number {
  return decay === undefined ? 0 : (1 - decay) / (1 - decay ** (step + 1));
}
