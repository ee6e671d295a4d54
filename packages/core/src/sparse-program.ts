/**
 * The stages of a sparse autoencoder's step, in order:
 *
 *   (equalise → quantise, at planned steps of a run with screening, before all others)
 *   rows → decode → latents → decoder bias            (the records of the mini-batch are few)
 *   (rows → decode → gather)* → update → decoder bias (rows may have many: chunks of rows, gradients stored)
 *   rows+ → decode → latents → decoder bias           (BatchTopK: its threshold is found at the end of rows)
 *   … latents → skip → decoder bias                   (a skip transcoder)
 *   … decode → errors → dead latents → latents → …  (AuxK, where latents are dead)
 *   (rows → decode → gather)* → gradients → decoder bias gradient → update → decoder bias  (gradients are clipped by their norm)
 *   … decoder bias gradient → momentum → gram matrix → polynomial → … → update → decoder bias  (Muon)
 *
 * Rows are encoded, all of the chunk, before any is decoded: the encoder's weights stay in the last-level cache meanwhile,
 * then the decoder's. Block by block, decoding took twice the time at M. Likewise latents may
 * take two passes (latent-passes.ts).
 */
import { ARCHITECTURES } from "./architectures/index.ts";
import type { SparseArena } from "./arena-sparse.ts";
import { AUXILIARY, BATCH_THRESHOLD } from "./fields.ts";
import { listDead, scaleAuxiliary } from "./auxiliary.ts";
import {
  dropBelow,
  findThreshold,
  lowerFloor,
  markUnfit,
  raiseFloor,
  setNextFloor,
} from "./batch-threshold.ts";
import { advanceChunk, finishStep, shrinkChunk } from "./chunks.ts";
import { CONTROL } from "./control.ts";
import type { Kernels, LatentWeights, SparseKernels, StepContext } from "./kernels.ts";
import { measureGradients } from "./gradient-norm.ts";
import { DIMENSION_BLOCK, LATENT_BLOCK, ROW_BLOCK, UNIT_BLOCK } from "./block-sizes.ts";
import { latentPasses } from "./latent-passes.ts";
import { gatheredLatents, hasAuxiliary, hasPreActLoss, hasWide } from "./plan-sparse.ts";
import { muonStages } from "./optimizers/muon.ts";
import { hasMuon } from "./plan-parts.ts";
import { blockCount, blockStart, SPARSE_ROWS } from "./row-blocks.ts";
import { outputDimension } from "./setup.ts";
import { checkUnscreened, equalise, isEqualisedAnew, startScreening } from "./screening.ts";
import { blocksOf, PHASE, type Stage, type StepProgram } from "./stage.ts";
import { emptyContext, setContext } from "./step-context.ts";

/** The program of one thread for a sparse autoencoder. */
export function sparseProgram(
  arena: SparseArena,
  { sparse, updates: arithmetic }: Kernels,
  rank: number,
): StepProgram {
  const { control, plan } = arena;
  const { latents } = arena.model;
  const dOut = outputDimension(arena.model);
  const context = emptyContext(rank, plan.setup);
  const overBatch = ARCHITECTURES[arena.model.architecture].selection === "batch";
  const preActLoss = hasPreActLoss(plan.setup, plan.purpose);
  const auxK = hasAuxiliary(plan.setup, plan.purpose) ? plan.setup.training.auxK : undefined;
  const wide = hasWide(plan.setup, plan.purpose);
  const updates = plan.storeGradients ? PHASE.gather : PHASE.update;
  const skips = arena.model.skip === true;
  const gradientsFirst = arena.gradientNorm.length > 0;
  const passes = latentPasses(plan);
  const matrices = hasMuon(plan) ? muonStages(arena, arithmetic, context) : [];
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
      if (screening !== undefined) startScreening(arena, context, screening.costs);
      control[CONTROL.phase] = PHASE.rows;
    },
  };

  /** A block of the chunk's rows. */
  const rowRange = (block: number, run: (first: number, last: number) => void): void => {
    const begin = control[CONTROL.chunkFirst];
    const count = control[CONTROL.chunkEnd] - begin;
    const start = (index: number): number => begin + blockStart(index, count, plan.workers, SPARSE_ROWS);
    run(start(block), start(block + 1));
  };
  const chunkBlocks = (): number =>
    blockCount(control[CONTROL.chunkEnd] - control[CONTROL.chunkFirst], plan.workers, SPARSE_ROWS);
  const encodeRange = (first: number, last: number): void => {
    // Once a block did not fit, the whole chunk is worked off again: spare the rest of it.
    if (Atomics.load(control, CONTROL.overflow) === 0 && sparse.encodeRows(arena, context, first, last))
      return;
    if (overBatch) markUnfit(arena, first, last);
    Atomics.store(control, CONTROL.overflow, 1);
  };
  const rows: Stage = {
    name: "rows",
    blocks: 0,
    run: (block) => rowRange(block, encodeRange),
    finish() {
      if (selects()) return selectOverBatch(arena, context);
      if (control[CONTROL.overflow] === 1) return shrinkChunk(arena);
      control[CONTROL.phase] = PHASE.decode;
    },
  };
  /** Whether the records are chosen from among those of all rows, before any is decoded. */
  const selects = (): boolean => overBatch && !context.byThreshold;
  const rowsDone = (): void => {
    control[CONTROL.active] += control[CONTROL.recordsUsed];
    control[CONTROL.recordsUsed] = 0;
    control[CONTROL.recordsSorted] = 0;
    if (!context.train) advanceChunk(arena, context, PHASE.done);
    else if (auxK !== undefined && listDead(arena, context)) control[CONTROL.phase] = PHASE.errors;
    else control[CONTROL.phase] = updates;
    if (control[CONTROL.phase] === PHASE.done) finishStep(arena, context, screening?.costs);
  };
  const errors: Stage = {
    name: "errors",
    blocks: blocksOf(dOut, DIMENSION_BLOCK),
    run(block) {
      const first = block * DIMENSION_BLOCK;
      sparse.auxiliary?.sumErrors(arena, context, first, Math.min(first + DIMENSION_BLOCK, dOut));
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
  const decodeRange = (first: number, last: number): void => {
    if (selects()) dropBelow(arena, first, last);
    sparse.decodeRows(arena, context, first, last);
  };
  const decode: Stage = {
    name: "decode",
    blocks: 0,
    run: (block) => rowRange(block, decodeRange),
    finish: rowsDone,
  };

  const latentBlocks = blocksOf(latents, LATENT_BLOCK);
  const latentRange = (block: number, run: (first: number, last: number) => void): void => {
    const first = arena.blockOrder[block] * LATENT_BLOCK;
    run(first, Math.min(first + LATENT_BLOCK, latents));
  };
  const gatherChunk = (first: number, last: number, weights?: LatentWeights): void => {
    const begin = control[CONTROL.chunkFirst];
    sparse.gatherLatents(arena, context, first, last, begin, control[CONTROL.chunkEnd], begin === 0, weights);
  };
  const gathered = gatheredLatents(plan.setup, plan.workers);
  const gather: Stage = {
    name: "gather",
    blocks: blocksOf(latents, gathered),
    run(block) {
      if (gathered === LATENT_BLOCK) latentRange(block, gatherChunk);
      else gatherChunk(block * gathered, Math.min((block + 1) * gathered, latents));
    },
    finish: () => advanceChunk(arena, context, gradientsFirst ? PHASE.gradients : PHASE.update),
  };
  const completeRange = (first: number, last: number, weights?: LatentWeights): void => {
    if (wide) sparse.gatherWide(arena, context, first, last);
    if (auxK !== undefined && arena.auxiliary[AUXILIARY.factor] > 0)
      sparse.gatherAuxiliary(arena, context, first, last);
    if (preActLoss) sparse.gatherPreActivations(arena, context, first, last);
    sparse.completeGradients(arena, context, first, last, weights);
  };
  const gradients: Stage = {
    name: "gradients",
    blocks: latentBlocks,
    run: (block) => latentRange(block, completeRange),
    finish() {
      control[CONTROL.phase] = skips ? PHASE.skipGradient : PHASE.biasGradient;
    },
  };
  const units = (block: number, run: SparseKernels["gatherSkip"]): void => {
    const first = block * UNIT_BLOCK;
    run(arena, context, first, Math.min(first + UNIT_BLOCK, dOut));
  };
  const gatherSkip: SparseKernels["gatherSkip"] = (...range) => sparse.gatherSkip(...range);
  const updateSkip: SparseKernels["updateSkip"] = (...range) => sparse.updateSkip(...range);
  const skipGradient: Stage = {
    name: "skip gradient",
    blocks: blocksOf(dOut, UNIT_BLOCK),
    run: (block) => units(block, gatherSkip),
    finish() {
      control[CONTROL.phase] = PHASE.biasGradient;
    },
  };
  const skip: Stage = {
    name: "skip",
    blocks: skipGradient.blocks,
    run(block) {
      if (!gradientsFirst) units(block, gatherSkip);
      units(block, updateSkip);
    },
    finish() {
      control[CONTROL.phase] = PHASE.bias;
    },
  };
  const gatherBias = (block: number): void => {
    const first = block * DIMENSION_BLOCK;
    sparse.gatherDecoderBias(arena, context, first, Math.min(first + DIMENSION_BLOCK, dOut));
  };
  const biasGradient: Stage = {
    name: "decoder bias gradient",
    blocks: blocksOf(dOut, DIMENSION_BLOCK),
    run: gatherBias,
    finish() {
      measureGradients(arena);
      control[CONTROL.phase] = matrices.length > 0 ? PHASE.matrices : PHASE.update;
    },
  };
  const updateRange = (first: number, last: number, weights?: LatentWeights): void => {
    if (!plan.storeGradients) gatherChunk(first, last, weights);
    if (!gradientsFirst) completeRange(first, last, weights);
    sparse.updateLatents(arena, context, first, last, weights);
  };
  const update: Stage = {
    name: plan.storeGradients ? "update" : "latents",
    blocks: passes.length * latentBlocks,
    run(block) {
      const weights = passes[Math.floor(block / latentBlocks)];
      latentRange(block % latentBlocks, (first, last) => updateRange(first, last, weights));
    },
    finish: () => {
      if (context.screened) checkUnscreened(arena);
      control[CONTROL.phase] = skips ? PHASE.skip : PHASE.bias;
    },
  };
  const bias: Stage = {
    name: "decoder bias",
    blocks: blocksOf(dOut, DIMENSION_BLOCK),
    run(block) {
      if (!gradientsFirst) gatherBias(block);
      const first = block * DIMENSION_BLOCK;
      sparse.updateDecoderBias(arena, context, first, Math.min(first + DIMENSION_BLOCK, dOut));
    },
    finish() {
      orderBlocks(arena);
      finishStep(arena, context, screening?.costs);
    },
  };

  const rowStage = (): Stage => {
    context.screened = control[CONTROL.screening] === 1;
    rows.blocks = chunkBlocks();
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
        if (screening !== undefined && isEqualisedAnew(arena, context)) return equaliser;
        // The phase stays as it is: a slower thread may not have seen yet that it ended the step before.
        return rowStage();
      }
      switch (control[CONTROL.phase]) {
        case PHASE.quantise:
          return quantise;
        case PHASE.rows:
          return rowStage();
        case PHASE.decode:
          decode.blocks = chunkBlocks();
          return decode;
        case PHASE.errors:
          return errors;
        case PHASE.auxiliary:
          auxiliary.blocks = blocksOf(context.rows, ROW_BLOCK);
          return auxiliary;
        case PHASE.gather:
          return gather;
        case PHASE.gradients:
          return gradients;
        case PHASE.biasGradient:
          return biasGradient;
        case PHASE.matrices:
          return matrices[control[CONTROL.matrixStage]];
        case PHASE.update:
          return update;
        case PHASE.bias:
          return bias;
        case PHASE.skip:
          return skip;
        case PHASE.skipGradient:
          return skipGradient;
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
  const { control, plan } = arena;
  const { learningRate, kAnneal } = plan.setup.training;
  const overflowed = control[CONTROL.overflow] === 1;
  const tooFew = control[CONTROL.recordsUsed] < context.k * context.rows && arena.floors[0] > 0;
  if (!overflowed && !tooFew) {
    const warm = context.step >= Math.max(learningRate.warmupSteps, kAnneal?.steps ?? 0);
    findThreshold(arena, context.k, context.rows, context.train && warm);
    setNextFloor(arena);
    control[CONTROL.phase] = PHASE.decode;
    return;
  }
  if (overflowed) raiseFloor(arena, context.k, context.rows);
  else lowerFloor(arena);
  control[CONTROL.recordsUsed] = 0;
  control[CONTROL.overflow] = 0;
  control[CONTROL.phase] = PHASE.rows;
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
