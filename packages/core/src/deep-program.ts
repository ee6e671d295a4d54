/**
 * The stages of a deep autoencoder's step: (weights →) rows → units, or (weights →) rows → gradients → units where gradients
 * are clipped by their norm, with Muon's stages before the last.
 */
import type { DeepArena } from "./arena-deep.ts";
import { CONTROL } from "./control.ts";
import { measureGradients } from "./gradient-norm.ts";
import type { Kernels } from "./kernels.ts";
import { muonStages } from "./optimizers/muon.ts";
import { hasMuon } from "./plan-parts.ts";
import { UNIT_BLOCK } from "./block-sizes.ts";
import { blockCount, blockStart, DEEP_ROWS } from "./row-blocks.ts";
import { blocksOf, PHASE, type Stage, type StepProgram } from "./stage.ts";
import { emptyContext, setContext, summarise } from "./step-context.ts";

/** Output units [first, last) of a layer. */
interface UnitBlock {
  readonly layer: number;
  readonly first: number;
  readonly last: number;
}

/** All layers' output units in blocks; those of most weights first, so that small ones fill the gaps at the end. */
function unitBlocks({ layers }: DeepArena): UnitBlock[] {
  const blocks = layers.flatMap(({ outputs }, layer) =>
    Array.from({ length: blocksOf(outputs, UNIT_BLOCK) }, (_, block): UnitBlock => {
      const first = block * UNIT_BLOCK;
      return { layer, first, last: Math.min(first + UNIT_BLOCK, outputs) };
    }),
  );
  const weightsOf = ({ layer, first, last }: UnitBlock): number => (last - first) * layers[layer].inputs;
  return blocks.sort((a, b) => weightsOf(b) - weightsOf(a));
}

/** The program of one thread for a deep autoencoder. */
export function deepProgram(arena: DeepArena, { deep, updates }: Kernels, rank: number): StepProgram {
  const { control } = arena;
  const { workers } = arena.plan;
  const context = emptyContext(rank, arena.plan.setup);
  const gradientsFirst = arena.gradientNorm.length > 0;
  const matrices = hasMuon(arena.plan) ? muonStages(arena, updates, context) : [];
  let started = false;
  const rows: Stage = {
    name: "rows",
    blocks: 0,
    run(block) {
      const start = (index: number): number => blockStart(index, context.rows, workers, DEEP_ROWS);
      deep.propagateRows(arena, context, start(block), start(block + 1));
    },
    finish() {
      if (!gradientsFirst || !context.train) summarise(arena, context);
      const next = gradientsFirst ? PHASE.gradients : PHASE.update;
      control[CONTROL.phase] = context.train ? next : PHASE.done;
    },
  };
  const blocks = unitBlocks(arena);
  // Nothing flows back through the first layer.
  const packed = deep.packUnits === undefined ? [] : blocks.filter(({ layer }) => layer > 0);
  const weights: Stage = {
    name: "weights",
    blocks: packed.length,
    run(block) {
      const { layer, first, last } = packed[block];
      deep.packUnits?.(arena, layer, first, last);
    },
    finish() {
      control[CONTROL.phase] = PHASE.rows;
    },
  };
  const gather = ({ layer, first, last }: UnitBlock): void =>
    deep.gatherUnits(arena, context, layer, first, last);
  const gradients: Stage = {
    name: "gradients",
    blocks: blocks.length,
    run: (block) => gather(blocks[block]),
    finish() {
      measureGradients(arena);
      summarise(arena, context);
      control[CONTROL.phase] = matrices.length > 0 ? PHASE.matrices : PHASE.update;
    },
  };
  const units: Stage = {
    name: "units",
    blocks: blocks.length,
    run(block) {
      if (!gradientsFirst) gather(blocks[block]);
      const { layer, first, last } = blocks[block];
      deep.updateUnits(arena, context, layer, first, last);
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
        rows.blocks = blockCount(context.rows, workers, DEEP_ROWS);
        return context.train && packed.length > 0 ? weights : rows;
      }
      if (control[CONTROL.phase] === PHASE.rows) return rows;
      if (control[CONTROL.phase] === PHASE.gradients) return gradients;
      if (control[CONTROL.phase] === PHASE.matrices) return matrices[control[CONTROL.matrixStage]];
      return control[CONTROL.phase] === PHASE.update ? units : undefined;
    },
  };
}
