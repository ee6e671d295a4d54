/**
 * The training step as a short list of named stages. Every thread walks the same list: it runs blocks of the
 * current stage, meets the others at a barrier, and asks for the next stage. Which stage comes next depends only
 * on what all threads see after the barrier. Stages never wait and never allocate.
 *
 *   sparse: (equalise → quantise, at planned steps of a run with screening, before all others)
 *           rows → latents → decoder bias            (the records of the mini-batch fit at once)
 *           (rows → gather)* → update → decoder bias (they do not: chunks of rows, gradients stored)
 *           rows+ → decode → latents → decoder bias  (BatchTopK: its threshold is found at the end of rows)
 *           … rows or decode → errors → dead latents → latents → …  (AuxK, where latents are dead)
 *   deep:   rows → units
 *
 * Chunks change no bit: the gradients' chains go on over rows from one chunk to the next.
 */
import { emptyAdamStep, setAdamStep } from "./adam.ts";
import { ARCHITECTURES } from "./architectures/index.ts";
import {
  type Arena,
  AUXILIARY,
  BATCH,
  BATCH_THRESHOLD,
  type DeepArena,
  type SparseArena,
  SUMMARY,
} from "./arena.ts";
import { auxiliaryLoss, listDead, scaleAuxiliary } from "./auxiliary.ts";
import {
  dropBelow,
  findThreshold,
  lowerFloor,
  markUnfit,
  raiseFloor,
  setNextFloor,
} from "./batch-threshold.ts";
import { CONTROL } from "./control.ts";
import type { Kernels, StepContext } from "./kernels.ts";
import {
  BATCH_FIELDS,
  DEEP_ROW_BLOCK,
  DIMENSION_BLOCK,
  hasAuxiliary,
  LATENT_BLOCK,
  mostRecordsPerRow,
  ROW_BLOCK,
  SUMMARY_FIELDS,
  UNIT_BLOCK,
} from "./plan.ts";
import { scheduledValue } from "./schedule.ts";
import { checkUnscreened, equalise, startScreening, summariseScreening } from "./screening.ts";

/** One stage of a step. Its blocks may run on any thread, in any order, at the same time. */
export interface Stage {
  readonly name: string;
  /** Number of blocks of work. */
  blocks: number;
  /** Computes one block of work. */
  run(block: number): void;
  /** Runs once, on one thread, when all blocks are done and before any thread asks for the next stage. */
  finish(): void;
}

/** One thread's walk through the stages of a step. */
export interface StepProgram {
  /** Starts the step on the mini-batch in `slot`, as described in the arena's `batches`. */
  begin(slot: number): void;
  /** The next stage, the same for every thread, or undefined when the step is complete. */
  next(): Stage | undefined;
}

/** Makes the program of one thread. `rank` selects the thread's scratch (0 … plan.workers − 1). */
export function createProgram(arena: Arena, kernels: Kernels, rank: number): StepProgram {
  return arena.kind === "sparse" ? sparseProgram(arena, kernels, rank) : deepProgram(arena, kernels, rank);
}

/** Runs one whole step on the calling thread. */
export function runStep(program: StepProgram, slot: number): void {
  program.begin(slot);
  for (let stage = program.next(); stage !== undefined; stage = program.next()) {
    for (let block = 0; block < stage.blocks; block++) stage.run(block);
    stage.finish();
  }
}

/** Values of CONTROL.phase: what follows the stage that has just finished. */
const PHASE = {
  done: 0,
  rows: 1,
  gather: 2,
  update: 3,
  bias: 4,
  quantise: 5,
  decode: 6,
  errors: 7,
  auxiliary: 8,
} as const;

function emptyContext(rank: number): StepContext {
  return {
    rank,
    slot: 0,
    rows: 0,
    step: 0,
    train: false,
    byThreshold: false,
    screened: false,
    gradientScale: 0,
    penaltyScale: 0,
    examplesAfter: 0,
    adam: emptyAdamStep(),
  };
}

function setContext(context: StepContext, arena: Arena, slot: number): void {
  const { batches, plan } = arena;
  const { training, model } = plan.setup;
  const at = slot * BATCH_FIELDS;
  const step = batches[at + BATCH.step];
  const round = plan.precision === "float32" ? Math.fround : (value: number) => value;
  context.slot = slot;
  context.step = step;
  context.rows = batches[at + BATCH.rows];
  context.train = batches[at + BATCH.train] === 1;
  context.byThreshold = batches[at + BATCH.byThreshold] === 1;
  context.examplesAfter = batches[at + BATCH.examplesBefore] + context.rows;
  context.gradientScale = round(2 / context.rows);
  const penalised = model.kind === "sparse" && ARCHITECTURES[model.architecture].penalty !== undefined;
  context.penaltyScale = penalised ? round(scheduledValue(training.l1Coefficient, step) / context.rows) : 0;
  setAdamStep(context.adam, training, step, plan.precision);
}

function blocksOf(length: number, block: number): number {
  return Math.ceil(length / block);
}

/** Sums the rows' metrics in row order and writes the step's summary. Runs on one thread. */
function summarise(arena: Arena, context: StepContext): void {
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
  const lambda = scheduledValue(plan.setup.training.l1Coefficient, step);
  const at = context.slot * SUMMARY_FIELDS;
  // A Matryoshka autoencoder's loss is of its prefixes.
  const prefixes = arena.kind === "sparse" && arena.rowPrefixError.length > 0;
  let fitted = prefixes ? 0 : squaredError;
  if (prefixes) for (let row = 0; row < context.rows; row++) fitted += arena.rowPrefixError[row];
  const extra = arena.kind === "sparse" && context.train ? auxiliaryLoss(arena, context.rows) : 0;
  summaries[at + SUMMARY.loss] = (fitted + lambda * penalty + extra) / context.rows;
  summaries[at + SUMMARY.squaredError] = squaredError;
  summaries[at + SUMMARY.squares] = squares;
  summaries[at + SUMMARY.active] = active;
  summaries[at + SUMMARY.dead] = arena.kind === "sparse" ? countDead(arena, context.examplesAfter) : 0;
  summaries[at + SUMMARY.learningRate] = scheduledValue(plan.setup.training.learningRate, step);
  summaries[at + SUMMARY.rows] = context.rows;
}

/** Latents that have not been active in the dead window before `examples`. */
export function countDead(arena: SparseArena, examples: number): number {
  const { deadWindow } = arena.plan.setup.training;
  let dead = 0;
  for (const last of arena.lastFired) if (examples - last >= deadWindow) dead++;
  return dead;
}

function sparseProgram(arena: SparseArena, { sparse }: Kernels, rank: number): StepProgram {
  const { control, plan } = arena;
  const { latents, dIn } = arena.model;
  const context = emptyContext(rank);
  const overBatch = ARCHITECTURES[arena.model.architecture].selection === "batch";
  const auxK = hasAuxiliary(plan.setup, plan.purpose) ? plan.setup.training.auxK : undefined;
  const updates = plan.storeGradients ? PHASE.gather : PHASE.update;
  const screening = plan.encoder === "screened" ? sparse.screening : undefined;
  let started = false;

  const equaliser: Stage = {
    name: "equalise",
    blocks: 1,
    run: () => equalise(arena, context.slot),
    finish() {
      control[CONTROL.phase] = PHASE.quantise;
    },
  };
  const quantise: Stage = {
    name: "quantise",
    blocks: blocksOf(latents, LATENT_BLOCK),
    run(block) {
      const first = block * LATENT_BLOCK;
      const unscreened = screening?.quantiseLatents(arena, first, Math.min(first + LATENT_BLOCK, latents));
      Atomics.add(control, CONTROL.unscreened, unscreened ?? 0);
    },
    finish() {
      startScreening(arena, context.step);
      control[CONTROL.phase] = PHASE.rows;
    },
  };

  const rows: Stage = {
    name: "rows",
    blocks: 0,
    run(block) {
      const first = control[CONTROL.chunkFirst] + block * ROW_BLOCK;
      const last = Math.min(first + ROW_BLOCK, control[CONTROL.chunkEnd]);
      // Once a block did not fit, the whole chunk is worked off again: spare the rest of it.
      const fits =
        Atomics.load(control, CONTROL.overflow) === 0 && sparse.encodeRows(arena, context, first, last);
      if (!fits) {
        if (overBatch) markUnfit(arena, first, last);
        Atomics.store(control, CONTROL.overflow, 1);
      } else if (!selects()) {
        sparse.decodeRows(arena, context, first, last);
      }
    },
    finish() {
      if (selects()) return selectOverBatch(arena, context);
      if (control[CONTROL.overflow] === 1) return shrinkChunk(arena);
      rowsDone();
    },
  };
  /** Whether the records are chosen from among those of all rows, before any is decoded. */
  const selects = (): boolean => overBatch && !context.byThreshold;
  const rowsDone = (): void => {
    control[CONTROL.active] += control[CONTROL.recordsUsed];
    control[CONTROL.recordsUsed] = 0;
    if (!context.train) advanceChunk(arena, context, PHASE.done);
    else if (auxK !== undefined && listDead(arena, context)) control[CONTROL.phase] = PHASE.errors;
    else control[CONTROL.phase] = updates;
    if (control[CONTROL.phase] === PHASE.done) finishStep(arena, context);
  };
  const errors: Stage = {
    name: "errors",
    blocks: blocksOf(dIn, DIMENSION_BLOCK),
    run(block) {
      const first = block * DIMENSION_BLOCK;
      sparse.auxiliary?.sumErrors(arena, context, first, Math.min(first + DIMENSION_BLOCK, dIn));
    },
    finish() {
      const usable = auxK !== undefined && scaleAuxiliary(arena, context, auxK);
      control[CONTROL.phase] = usable ? PHASE.auxiliary : updates;
    },
  };
  const auxiliary: Stage = {
    name: "dead latents",
    blocks: 0,
    run(block) {
      const first = block * ROW_BLOCK;
      sparse.auxiliary?.rebuildErrors(arena, context, first, Math.min(first + ROW_BLOCK, context.rows));
    },
    finish() {
      control[CONTROL.phase] = updates;
    },
  };
  const decode: Stage = {
    name: "decode",
    blocks: 0,
    run(block) {
      const first = block * ROW_BLOCK;
      const last = Math.min(first + ROW_BLOCK, context.rows);
      dropBelow(arena, first, last);
      sparse.decodeRows(arena, context, first, last);
    },
    finish: rowsDone,
  };

  const latentRange = (block: number, run: (first: number, last: number) => void): void => {
    const first = arena.blockOrder[block] * LATENT_BLOCK;
    run(first, Math.min(first + LATENT_BLOCK, latents));
  };
  const gatherChunk = (first: number, last: number): void => {
    const begin = control[CONTROL.chunkFirst];
    sparse.gatherLatents(arena, context, first, last, begin, control[CONTROL.chunkEnd], begin === 0);
  };
  const gather: Stage = {
    name: "gather",
    blocks: blocksOf(latents, LATENT_BLOCK),
    run: (block) => latentRange(block, gatherChunk),
    finish: () => advanceChunk(arena, context, PHASE.update),
  };
  const updateRange = (first: number, last: number): void => {
    if (!plan.storeGradients) gatherChunk(first, last);
    if (auxK !== undefined && arena.auxiliary[AUXILIARY.factor] > 0)
      sparse.gatherAuxiliary(arena, context, first, last);
    sparse.updateLatents(arena, context, first, last);
  };
  const update: Stage = {
    name: plan.storeGradients ? "update" : "latents",
    blocks: gather.blocks,
    run: (block) => latentRange(block, updateRange),
    finish: () => {
      if (context.screened) checkUnscreened(arena);
      control[CONTROL.phase] = PHASE.bias;
    },
  };
  const bias: Stage = {
    name: "decoder bias",
    blocks: blocksOf(dIn, DIMENSION_BLOCK),
    run(block) {
      const first = block * DIMENSION_BLOCK;
      sparse.updateDecoderBias(arena, context, first, Math.min(first + DIMENSION_BLOCK, dIn));
    },
    finish() {
      orderBlocks(arena);
      finishStep(arena, context);
    },
  };

  const rowStage = (): Stage => {
    context.screened = control[CONTROL.screening] === 1;
    rows.blocks = blocksOf(control[CONTROL.chunkEnd] - control[CONTROL.chunkFirst], ROW_BLOCK);
    return rows;
  };

  return {
    begin(slot) {
      setContext(context, arena, slot);
      started = false;
    },
    next() {
      if (!started) {
        // Every thread writes the same values; the words are read only by stages of this step.
        started = true;
        const limit = control[CONTROL.chunkRows];
        if (overBatch && context.byThreshold) arena.floors[0] = arena.batchThreshold[BATCH_THRESHOLD.moving];
        control[CONTROL.chunkFirst] = 0;
        control[CONTROL.chunkEnd] = limit > 0 ? Math.min(limit, context.rows) : context.rows;
        if (screening !== undefined && control[CONTROL.equaliseAt] <= context.step) return equaliser;
        // The phase stays as it is: a slower thread may not have seen yet that it ended the step before.
        return rowStage();
      }
      switch (control[CONTROL.phase]) {
        case PHASE.quantise:
          return quantise;
        case PHASE.rows:
          return rowStage();
        case PHASE.decode:
          decode.blocks = blocksOf(context.rows, ROW_BLOCK);
          return decode;
        case PHASE.errors:
          return errors;
        case PHASE.auxiliary:
          auxiliary.blocks = blocksOf(context.rows, ROW_BLOCK);
          return auxiliary;
        case PHASE.gather:
          return gather;
        case PHASE.update:
          return update;
        case PHASE.bias:
          return bias;
        default:
          return undefined;
      }
    },
  };
}

/**
 * All rows of the mini-batch are encoded, or their records did not fit: finds the threshold, or moves the floor and has
 * the rows encoded again.
 */
function selectOverBatch(arena: SparseArena, context: StepContext): void {
  const { control, model, plan } = arena;
  const overflowed = control[CONTROL.overflow] === 1;
  const tooFew = control[CONTROL.recordsUsed] < model.k * context.rows && arena.floors[0] > 0;
  if (!overflowed && !tooFew) {
    const warm = context.step >= plan.setup.training.learningRate.warmupSteps;
    findThreshold(arena, context.rows, context.train && warm);
    setNextFloor(arena);
    control[CONTROL.phase] = PHASE.decode;
    return;
  }
  if (overflowed) raiseFloor(arena, context.rows);
  else lowerFloor(arena);
  control[CONTROL.recordsUsed] = 0;
  control[CONTROL.overflow] = 0;
  control[CONTROL.phase] = PHASE.rows;
}

/** The chunk's records did not fit: halve it, but not below what always fits. */
function shrinkChunk(arena: SparseArena): void {
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
  return Math.floor(arena.plan.recordCapacity / mostRecordsPerRow(arena.model));
}

/** Goes on to the next chunk of rows, or to `afterLast` when the mini-batch is through. */
function advanceChunk(arena: SparseArena, context: StepContext, afterLast: number): void {
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

function finishStep(arena: SparseArena, context: StepContext): void {
  const { control, plan } = arena;
  summarise(arena, context);
  if (plan.encoder === "screened")
    summariseScreening(arena, context.screened, context.rows, context.slot * SUMMARY_FIELDS);
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

/** Steps between two looks at which blocks are hot; sorting some hundred numbers is then free. */
const REORDER_EVERY = 16;

/** Latent frequencies are Zipf-like: taking the hottest blocks first leaves small ones to fill the gaps at the end. */
function orderBlocks(arena: SparseArena): void {
  const { blockOrder, blockHeat, control } = arena;
  control[CONTROL.sinceReorder]++;
  if (control[CONTROL.sinceReorder] < REORDER_EVERY) return;
  control[CONTROL.sinceReorder] = 0;
  blockOrder.sort((a, b) => blockHeat[b] - blockHeat[a] || a - b);
}

function deepProgram(arena: DeepArena, { deep }: Kernels, rank: number): StepProgram {
  const { control } = arena;
  const context = emptyContext(rank);
  let started = false;
  const rows: Stage = {
    name: "rows",
    blocks: 0,
    run(block) {
      const first = block * DEEP_ROW_BLOCK;
      deep.propagateRows(arena, context, first, Math.min(first + DEEP_ROW_BLOCK, context.rows));
    },
    finish() {
      summarise(arena, context);
      control[CONTROL.phase] = context.train ? PHASE.update : PHASE.done;
    },
  };
  // Blocks of all layers' output units, one after the other.
  const starts = [0];
  for (const layer of arena.layers)
    starts.push((starts.at(-1) as number) + blocksOf(layer.outputs, UNIT_BLOCK));
  const units: Stage = {
    name: "units",
    blocks: starts.at(-1) as number,
    run(block) {
      let layer = 0;
      while (block >= starts[layer + 1]) layer++;
      const first = (block - starts[layer]) * UNIT_BLOCK;
      deep.updateUnits(
        arena,
        context,
        layer,
        first,
        Math.min(first + UNIT_BLOCK, arena.layers[layer].outputs),
      );
    },
    finish() {
      control[CONTROL.phase] = PHASE.done;
    },
  };
  return {
    begin(slot) {
      setContext(context, arena, slot);
      started = false;
    },
    next() {
      if (!started) {
        started = true;
        rows.blocks = blocksOf(context.rows, DEEP_ROW_BLOCK);
        return rows;
      }
      return control[CONTROL.phase] === PHASE.update ? units : undefined;
    },
  };
}
