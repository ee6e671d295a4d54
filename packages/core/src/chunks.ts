/**
 * Chunks of rows, for mini-batches whose records may not fit at once, and a sparse step's end. Chunks change no bit: the
 * gradients' chains go on over rows from one chunk to the next.
 */
import { ARCHITECTURES } from "./architectures/index.ts";
import type { SparseArena } from "./arena-sparse.ts";
import { CONTROL } from "./control.ts";
import type { ScreeningCosts, StepContext } from "./kernels.ts";
import { adaptPenalty } from "./p-annealing.ts";
import { mostRecordsPerRow } from "./plan-sparse.ts";
import { summariseScreening } from "./screening.ts";
import { PHASE } from "./stage.ts";
import { summarise } from "./step-context.ts";

/** The chunk's records did not fit: halve it, but not below what always fits. */
export function shrinkChunk(arena: SparseArena): void {
  const { control } = arena;
  const first = control[CONTROL.chunkFirst];
  const rows = Math.max(safeRows(arena), Math.floor((control[CONTROL.chunkEnd] - first) / 2));
  control[CONTROL.chunkRows] = rows;
  control[CONTROL.chunkEnd] = first + rows;
  control[CONTROL.recordsUsed] = 0;
  control[CONTROL.overflow] = 0;
  control[CONTROL.phase] = PHASE.rows;
}

/** Rows whose records fit even if each has as many as a row can have; at least one block of them, see the plan. */
function safeRows(arena: SparseArena): number {
  return Math.floor(arena.plan.recordCapacity / mostRecordsPerRow(arena.plan.setup));
}

/** Goes on to the next chunk of rows, or to `afterLast` when the mini-batch is through. */
export function advanceChunk(arena: SparseArena, context: StepContext, afterLast: number): void {
  const { control } = arena;
  const end = control[CONTROL.chunkEnd];
  if (end >= context.rows) {
    control[CONTROL.phase] = afterLast;
    return;
  }
  const limit = control[CONTROL.chunkRows] || context.rows;
  control[CONTROL.chunkFirst] = end;
  control[CONTROL.chunkEnd] = Math.min(end + limit, context.rows);
  control[CONTROL.phase] = PHASE.rows;
}

/** Room kept above the density last measured, so that a slightly denser mini-batch still fits. */
const DENSITY_MARGIN = 1.25;

/** Writes the summary, and how many rows the next step shall take at once. `costs`: see {@link summariseScreening}. */
export function finishStep(
  arena: SparseArena,
  context: StepContext,
  costs: ScreeningCosts | undefined,
): void {
  const { control, plan } = arena;
  summarise(arena, context);
  if (context.train) adaptPenalty(arena, context);
  if (plan.encoder === "screened") summariseScreening(arena, context, costs);
  control[CONTROL.density] = Math.ceil(control[CONTROL.active] / context.rows);
  const { batchRows } = plan.setup.training;
  const expected = (DENSITY_MARGIN * control[CONTROL.active]) / context.rows;
  const expectedToFit = expected > 0 ? Math.floor(plan.recordCapacity / expected) : batchRows;
  // Never fewer rows than are sure to fit: a plan without stored gradients relies on one chunk being enough.
  const rows = Math.max(safeRows(arena), expectedToFit);
  const whole = rows >= batchRows || ARCHITECTURES[arena.model.architecture].selection === "batch";
  control[CONTROL.chunkRows] = whole ? 0 : rows;
  control[CONTROL.active] = 0;
  // The next step's term is decided anew.
  arena.auxiliary.fill(0);
  control[CONTROL.phase] = PHASE.done;
}
