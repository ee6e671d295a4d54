/** What threads know of the step that they are at, and what they say of it at its end. */
import { ARCHITECTURES } from "./architectures/index.ts";
import type { SparseArena } from "./arena-sparse.ts";
import type { Arena } from "./arena.ts";
import { BATCH, BATCH_FIELDS, GRADIENT_NORM, SUMMARY, SUMMARY_FIELDS } from "./fields.ts";
import { auxiliaryLoss } from "./auxiliary.ts";
import type { StepContext } from "./kernels.ts";
import { emptyAdamStep, setAdamStep } from "./optimizers/adam.ts";
import { AverageWeights } from "./optimizers/schedule-free.ts";
import { emptyUpdateStep, setUpdateStep } from "./optimizers/step.ts";
import { preActivationLoss } from "./pre-act-loss.ts";
import { adaptedBy, setExponents } from "./p-annealing.ts";
import { scheduledValue } from "./schedule.ts";
import { setSelected } from "./selection.ts";
import type { Setup } from "./setup.ts";
import { roundingTo } from "./precision.ts";

/** What one thread keeps from step to step. */
export interface ThreadContext extends StepContext {
  readonly averageWeights: AverageWeights;
}

/** A context to be filled by {@link setContext}, one per thread. */
export function emptyContext(rank: number, { training }: Setup): ThreadContext {
  return {
    rank,
    slot: 0,
    rows: 0,
    step: 0,
    train: false,
    byThreshold: false,
    screened: false,
    k: 0,
    selected: 0,
    p: 1,
    nextP: 0,
    gradientScale: 0,
    penaltyScale: 0,
    examplesAfter: 0,
    adam: emptyAdamStep(),
    update: emptyUpdateStep(),
    averageWeights: new AverageWeights((step) => scheduledValue(training.learningRate, step)),
  };
}

/** Reads the mini-batch in `slot` as the arena describes it. */
export function setContext(context: ThreadContext, arena: Arena, slot: number): void {
  const { batches, plan } = arena;
  const { training, model } = plan.setup;
  const at = slot * BATCH_FIELDS;
  const step = batches[at + BATCH.step];
  const round = roundingTo(plan.precision);
  context.slot = slot;
  context.step = step;
  context.rows = batches[at + BATCH.rows];
  context.train = batches[at + BATCH.train] === 1;
  context.byThreshold = batches[at + BATCH.byThreshold] === 1;
  context.examplesAfter = batches[at + BATCH.examplesBefore] + context.rows;
  context.gradientScale = round(2 / context.rows);
  // A deep autoencoder's is that of its bottleneck, whose λ is 0 by default.
  const penalised = model.kind === "deep" || ARCHITECTURES[model.architecture].penalty !== undefined;
  context.penaltyScale = penalised ? round(penaltyCoefficient(arena, step) / context.rows) : 0;
  setSelected(context, plan.setup, step, context.train);
  setExponents(context, plan.setup, step, context.train);
  if (!context.train) return;
  setAdamStep(context.adam, training, step, plan.precision);
  setUpdateStep(context.update, training, step, plan.precision, context.averageWeights);
}

/** Sums the rows' metrics in row order and writes the step's summary. Runs on one thread. */
export function summarise(arena: Arena, context: StepContext): void {
  const { summaries, batches, plan } = arena;
  const step = batches[context.slot * BATCH_FIELDS + BATCH.step];
  let squaredError = 0;
  let squares = 0;
  let penalty = 0;
  let active = 0;
  for (let row = 0; row < context.rows; row++) {
    squaredError += arena.rowSquaredError[row];
    squares += arena.rowSquares[row];
    penalty += arena.rowPenalty[row];
    if (arena.kind === "sparse") active += arena.rowActive[row];
  }
  const lambda = penaltyCoefficient(arena, step);
  const at = context.slot * SUMMARY_FIELDS;
  // A Matryoshka autoencoder's loss is of its prefixes.
  const prefixes = arena.kind === "sparse" && arena.rowPrefixError.length > 0;
  let fitted = prefixes ? 0 : squaredError;
  if (prefixes) for (let row = 0; row < context.rows; row++) fitted += arena.rowPrefixError[row];
  if (arena.kind === "sparse" && context.train) fitted += secondError(arena, context.rows);
  const extra =
    arena.kind === "sparse" && context.train
      ? auxiliaryLoss(arena, context.rows) + preActivationLoss(arena)
      : 0;
  summaries[at + SUMMARY.loss] = (fitted + lambda * penalty + extra) / context.rows;
  summaries[at + SUMMARY.squaredError] = squaredError;
  summaries[at + SUMMARY.squares] = squares;
  summaries[at + SUMMARY.active] = active;
  summaries[at + SUMMARY.dead] = arena.kind === "sparse" ? countDead(arena, context.examplesAfter) : 0;
  summaries[at + SUMMARY.learningRate] = scheduledValue(plan.setup.training.learningRate, step);
  summaries[at + SUMMARY.rows] = context.rows;
  summaries[at + SUMMARY.penalty] = lambda;
  summaries[at + SUMMARY.power] = context.p;
  summaries[at + SUMMARY.k] = context.k;
  summaries[at + SUMMARY.gradientNorm] =
    context.train && plan.setup.training.clipNorm !== undefined ? arena.gradientNorm[GRADIENT_NORM.norm] : 0;
}

/** λ of a step, adapted where p is annealed. */
function penaltyCoefficient(arena: Arena, step: number): number {
  const scheduled = scheduledValue(arena.plan.setup.training.l1Coefficient, step);
  return arena.kind === "sparse" ? scheduled * adaptedBy(arena) : scheduled;
}

/** Sum of the rows' second errors, where the architecture has one. */
function secondError({ rowSecondError }: SparseArena, rows: number): number {
  let sum = 0;
  if (rowSecondError.length > 0) for (let row = 0; row < rows; row++) sum += rowSecondError[row];
  return sum;
}

/** Latents that have not been active in the dead window before `examples`. */
export function countDead(arena: SparseArena, examples: number): number {
  const { deadWindow } = arena.plan.setup.training;
  let dead = 0;
  for (const last of arena.lastFired) if (examples - last >= deadWindow) dead++;
  return dead;
}
