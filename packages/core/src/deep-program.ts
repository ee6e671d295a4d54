/** The stages of a deep autoencoder's step: rows → units. */
import type { DeepArena } from "./arena.ts";
import { CONTROL } from "./control.ts";
import type { Kernels } from "./kernels.ts";
import { DEEP_ROW_BLOCK, UNIT_BLOCK } from "./block-sizes.ts";
import { blocksOf, PHASE, type Stage, type StepProgram } from "./stage.ts";
import { emptyContext, setContext, summarise } from "./step-context.ts";

/** The program of one thread for a deep autoencoder. */
export function deepProgram(arena: DeepArena, { deep }: Kernels, rank: number): StepProgram {
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
