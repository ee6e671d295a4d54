/** Adam's constants of one step (Kingma & Ba 2015, in the operation order of torch.optim.Adam). */
import { type Precision, roundingTo } from "../precision.ts";
import { scheduledValue } from "../schedule.ts";
import type { TrainingSetup } from "../setup.ts";
import type { Optimizer } from "./optimizer.ts";

/** All numbers are rounded to the arena's precision once, here. */
export interface AdamStep {
  beta1: number;
  /** 1 − β1. */
  complement1: number;
  beta2: number;
  /** 1 − β2. */
  complement2: number;
  epsilon: number;
  /** Learning rate / (1 − β1^t). */
  stepSize: number;
  /** 1 / √(1 − β2^t). */
  inverseRootCorrection2: number;
}

/** Writes the constants for 0-based `step` into `into`. */
export function setAdamStep(
  into: AdamStep,
  training: TrainingSetup,
  step: number,
  precision: Precision,
): void {
  const { beta1, beta2, epsilon } = training.adam;
  const round = roundingTo(precision);
  into.beta1 = round(beta1);
  into.complement1 = round(1 - beta1);
  into.beta2 = round(beta2);
  into.complement2 = round(1 - beta2);
  into.epsilon = round(epsilon);
  into.stepSize = round(scheduledValue(training.learningRate, step) / (1 - beta1 ** (step + 1)));
  into.inverseRootCorrection2 = round(1 / Math.sqrt(1 - beta2 ** (step + 1)));
}

/** An AdamStep to be filled by {@link setAdamStep}. */
export function emptyAdamStep(): AdamStep {
  return {
    beta1: 0,
    complement1: 0,
    beta2: 0,
    complement2: 0,
    epsilon: 0,
    stepSize: 0,
    inverseRootCorrection2: 0,
  };
}

/** Adam without weight decay. */
export const adam: Optimizer = {
  update(on, parameter, offset, length, gradientOffset, step, constrain) {
    on.adam(parameter, offset, length, gradientOffset, step.adam);
    constrain?.(parameter.value, offset, length);
  },
  source: "Kingma & Ba 2015",
};
