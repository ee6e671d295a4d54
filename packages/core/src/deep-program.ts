/**
 * The stages of a deep autoencoder's step: rows → units, or rows → gradients → units where gradients are clipped
 * by their norm, with Muon's stages before the last.
 */
import type { DeepArena } from "./arena-deep.ts";
import { CONTROL } from "./control.ts";
import { measureGradients } from "./gradient-norm.ts";
import type { Kernels } from "./kernels.ts";
import { muonStages } from "./optimizers/muon.ts";
import { hasMuon } from "./plan-parts.ts";
import { DEEP_ROW_BLOCK, UNIT_BLOCK } from "./block-sizes.ts";
import { blocksOf, PHASE, type Stage, type StepProgram } from "./stage.ts";
import { emptyContext, setContext, summarise } from "./step-context.ts";

/** The program of one thread for a deep autoencoder. */
export function deepProgram(arena: DeepArena, { deep, updates }: Kernels, rank: number): StepProgram {
  const { control } = arena;
  const context = emptyContext(rank, arena.plan.setup);
  const gradientsFirst = arena.gradientNorm.length > 0;
  const matrices = hasMuon(arena.plan) ? muonStages(arena, updates, context) : [];
  let started = false;
  const rows: Stage = {
    name: "rows",
    blocks: 0,
    run(block) {
      const first = block * DEEP_ROW_BLOCK;
      deep.propagateRows(arena, context, first, Math.min(first + DEEP_ROW_BLOCK, context.rows));
    },
    finish() {
      if (!gradientsFirst || !context.train) summarise(arena, context);
      const next = gradientsFirst ? PHASE.gradients : PHASE.update;
      control[CONTROL.phase] = context.train ? next : PHASE.done;
    },
  };
  // Blocks of all layers' output units, one after the other.
  const starts = [0];
  for (const layer of arena.layers)
    starts.push((starts.at(-1) as number) + blocksOf(layer.outputs, UNIT_BLOCK));
  type Work = (layer: number, first: number, last: number) => void;
  const unitRange = (block: number, work: Work): void => {
    let layer = 0;
    while (block >= starts[layer + 1]) layer++;
    const first = (block - starts[layer]) * UNIT_BLOCK;
    work(layer, first, Math.min(first + UNIT_BLOCK, arena.layers[layer].outputs));
  };
  const gather: Work = (layer, first, last) => deep.gatherUnits(arena, context, layer, first, last);
  const gradients: Stage = {
    name: "gradients",
    blocks: starts.at(-1) as number,
    run: (block) => unitRange(block, gather),
    finish() {
      measureGradients(arena);
      summarise(arena, context);
      control[CONTROL.phase] = matrices.length > 0 ? PHASE.matrices : PHASE.update;
    },
  };
  const update: Work = (layer, first, last) => {
    if (!gradientsFirst) gather(layer, first, last);
    deep.updateUnits(arena, context, layer, first, last);
  };
  const units: Stage = {
    name: "units",
    blocks: gradients.blocks,
    run: (block) => unitRange(block, update),
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
      if (control[CONTROL.phase] === PHASE.gradients) return gradients;
      if (control[CONTROL.phase] === PHASE.matrices) return matrices[control[CONTROL.matrixStage]];
      return control[CONTROL.phase] === PHASE.update ? units : undefined;
    },
  };
}
