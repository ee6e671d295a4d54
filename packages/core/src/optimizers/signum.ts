/** Signum: m ← β·m + (1 − β)·g, w ← w − lr·sign(m). Each element moves by the learning rate, or rests where m is 0. */
import type { Optimizer } from "./optimizer.ts";

export const signum: Optimizer = {
  update(on, { value, m, gradient }, offset, length, gradientOffset, { update }, constrain) {
    const { momentum, momentumRest, rate } = update;
    on.mix(m, offset, momentum, m, offset, momentumRest, gradient, gradientOffset, length);
    on.signStep(value, offset, rate, m, offset, length);
    constrain?.(value, offset, length);
  },
  source: "Bernstein et al. 2018, signSGD: Compressed Optimisation for Non-Convex Problems",
};
