/** The optimisers by name, and what they do to parameters. */
import type { Arena } from "../arena.ts";
import type { ParameterViews } from "../views.ts";
import { clipGradients } from "../gradient-norm.ts";
import type { StepContext } from "../kernels.ts";
import type { TrainingSetup } from "../setup.ts";
import { adam } from "./adam.ts";
import type { OptimizerName } from "./kept.ts";
import type { Constrain, Optimizer, UpdateKernels } from "./optimizer.ts";
import { muon } from "./muon.ts";
import { scheduleFreeSignum } from "./schedule-free.ts";
import { signum } from "./signum.ts";

const OPTIMIZERS: Readonly<Record<OptimizerName, Optimizer>> = {
  adam,
  signum,
  "signum-schedule-free": scheduleFreeSignum,
  muon,
};

function optimizerOf({ optimizer }: TrainingSetup): Optimizer {
  return OPTIMIZERS[optimizer?.name ?? "adam"];
}

/**
 * To be called when something other than a step has set elements [offset, offset + length) of a parameter: the copies of
 * it that are kept start anew from there.
 */
export function startCopies(
  { value, z, average }: ParameterViews,
  offset = 0,
  length: number = value.length,
): void {
  for (const copy of [z, average])
    if (copy.length > 0) copy.set(value.subarray(offset, offset + length), offset);
}

/**
 * Updates elements [offset, offset + length) of a parameter, whose gradient is clipped before where gradients are, and the
 * moving average of them where there is one.
 */
export function updateParameter(
  on: UpdateKernels,
  arena: Arena,
  parameter: ParameterViews,
  offset: number,
  length: number,
  gradientOffset: number,
  step: StepContext,
  constrain?: Constrain,
): void {
  const { training } = arena.plan.setup;
  const { update } = step;
  // Muon has clipped the gradients of matrices, and made something else of them.
  if (parameter.matrix.gram.length === 0) clipGradients(on, arena, parameter, gradientOffset, length);
  optimizerOf(training).update(on, parameter, offset, length, gradientOffset, step, constrain);
  if (training.ema === undefined) return;
  const { value, average } = parameter;
  on.mix(average, offset, update.averageRest, average, offset, update.average, value, offset, length);
  constrain?.(average, offset, length);
}
