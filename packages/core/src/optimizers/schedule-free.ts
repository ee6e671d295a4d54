/**
 * Schedule-free sign descent. With the gradient g taken at y, where the parameters are while they are trained:
 *
 *   z ← z − lr·sign(g)        x ← (1 − c)·x + c·z        y ← β·x + (1 − β)·z
 *
 * c is the step's share of all steps' weights, each the square of the largest learning rate so far: 1/t where that is
 * constant. The model is x, the average. z, x and y are each brought back to what the architecture asks for (unit decoder
 * rows, thresholds of at least 0).
 */
import type { Optimizer } from "./optimizer.ts";

export const scheduleFreeSignum: Optimizer = {
  update(on, { value, z, average, gradient }, offset, length, gradientOffset, { update }, constrain) {
    const { rate, momentum, momentumRest, average: weight, averageRest } = update;
    on.signStep(z, offset, rate, gradient, gradientOffset, length);
    constrain?.(z, offset, length);
    on.mix(average, offset, averageRest, average, offset, weight, z, offset, length);
    constrain?.(average, offset, length);
    on.mix(value, offset, momentum, average, offset, momentumRest, z, offset, length);
    constrain?.(value, offset, length);
  },
  source: "Defazio et al. 2024, The Road Less Scheduled; sparsify's default",
};

/**
 * The average's weight c of each step, from the learning rates of all steps up to it. Remembers how far it has come: a run
 * asks for one step after the other, and a resumed one begins with a pass over the steps before.
 */
export class AverageWeights {
  readonly #rate: (step: number) => number;
  #step = -1;
  #largest = 0;
  #sum = 0;
  #weight = 0;

  /** `rate`: the learning rate of a 0-based step. */
  constructor(rate: (step: number) => number) {
    this.#rate = rate;
  }

  /** c of a 0-based step; 0 while the learning rate has always been 0. */
  of(step: number): number {
    if (step < this.#step) {
      this.#step = -1;
      this.#largest = 0;
      this.#sum = 0;
    }
    for (; this.#step < step; ) {
      this.#step++;
      this.#largest = Math.max(this.#largest, this.#rate(this.#step));
      const weight = this.#largest ** 2;
      this.#sum += weight;
      this.#weight = this.#sum > 0 ? weight / this.#sum : 0;
    }
    return this.#weight;
  }
}
