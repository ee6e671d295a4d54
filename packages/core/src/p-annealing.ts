/**
 * p-annealing of the L1 penalty (Karvonen et al. 2024, as in dictionary_learning): the penalty is L_p = Σ f^p, or its p-th
 * root, and p goes linearly from 1 to its end in ten updates. λ is adapted at each update, so that the penalty keeps its
 * size: λ ← λ·mean(L_p)/mean(L_p′) over the ten steps before it, p′ the next p. The factor by which λ has been multiplied
 * is part of a run's state; p itself is a function of the step.
 */
import type { SparseArena } from "./arena-sparse.ts";
import { ARCHITECTURES } from "./architectures/index.ts";
import { OptionError } from "./errors.ts";
import { P_ANNEALING } from "./fields.ts";
import type { StepContext } from "./kernels.ts";
import type { PAnnealSetup, Setup } from "./setup.ts";

/** Updates of p, evenly spread over the steps from the start on. */
const UPDATES = 10;
/** Steps before an update over which the penalties are compared. */
const WINDOW = 10;
/** The first step (0-based) with the p of an update (from 0). */
function stepOf({ from, totalSteps }: PAnnealSetup, update: number): number {
  return from + Math.floor((update * (totalSteps - from)) / UPDATES);
}

/** Updates that were made before a step. */
function updatesAt(setup: PAnnealSetup, step: number): number {
  let updates = 0;
  while (updates < UPDATES && stepOf(setup, updates) <= step) updates++;
  return updates;
}

function exponentAfter({ end }: PAnnealSetup, updates: number): number {
  return 1 + ((end - 1) * updates) / UPDATES;
}

/** p at a step. */
export function exponentAt(setup: PAnnealSetup, step: number): number {
  return exponentAfter(setup, updatesAt(setup, step));
}

/** The p that follows a step's where the two are compared, that is in the window before an update; else 0. */
function nextExponentAt(setup: PAnnealSetup, step: number): number {
  const updates = updatesAt(setup, step);
  if (updates === UPDATES || stepOf(setup, updates) - step > WINDOW) return 0;
  return exponentAfter(setup, updates + 1);
}

/** Writes the exponents of a training step; 1, and no next, where there is no annealing. */
export function setExponents(
  into: Pick<StepContext, "p" | "nextP">,
  { training: { pAnneal } }: Setup,
  step: number,
  train: boolean,
): void {
  into.p = pAnneal === undefined ? 1 : exponentAt(pAnneal, step);
  into.nextP = pAnneal === undefined || !train ? 0 : nextExponentAt(pAnneal, step);
}

/** What the scheduled λ is multiplied by. */
export function adaptedBy({ pAnnealing }: SparseArena): number {
  return pAnnealing.length > 0 ? pAnnealing[P_ANNEALING.factor] : 1;
}

/** Takes in the penalties of a training step, and adapts λ if p changes with the next. Runs on one thread, at the step's end. */
export function adaptPenalty(arena: SparseArena, context: StepContext): void {
  const { pAnnealing: state, plan, rowPenalty, rowNextPenalty } = arena;
  const { pAnneal } = plan.setup.training;
  if (pAnneal === undefined || context.nextP === 0) return;
  let [current, next] = [0, 0];
  for (let row = 0; row < context.rows; row++) {
    current += rowPenalty[row];
    next += rowNextPenalty[row];
  }
  state[P_ANNEALING.current] += current / context.rows;
  state[P_ANNEALING.next] += next / context.rows;
  if (exponentAt(pAnneal, context.step + 1) === context.p) return;
  const ratio = state[P_ANNEALING.current] / state[P_ANNEALING.next];
  // Where nothing was active there is nothing to compare.
  if (Number.isFinite(ratio) && ratio > 0) state[P_ANNEALING.factor] *= ratio;
  state[P_ANNEALING.current] = 0;
  state[P_ANNEALING.next] = 0;
}

/** Checks annealing against the model. Throws {@link OptionError} saying what would be right. */
export function checkPAnnealing({ model, training: { pAnneal } }: Setup): void {
  if (pAnneal === undefined) return;
  const refuse = (what: string): OptionError => new OptionError("pAnneal", `pAnneal${what}`);
  if (model.kind !== "sparse" || ARCHITECTURES[model.architecture].annealsP !== true)
    throw refuse(` is for relu, not for ${model.architecture}`);
  if (model.decoder !== "unit") throw refuse(` needs a unit decoder, got ${model.decoder}`);
  const { from, totalSteps, end } = pAnneal;
  if (!Number.isInteger(from) || from < 1 || from > totalSteps - UPDATES)
    throw refuse(
      `.from must be 1 to ${totalSteps - UPDATES}, ${UPDATES} steps before the run's end, got ${from}`,
    );
  if (!(end > 0 && end < 1)) throw refuse(`.end must be above 0 and below 1, got ${end}`);
}
