/**
 * The training step as a short list of named stages. Every thread walks the same list: it runs blocks of the
 * current stage, meets the others at a barrier, and asks for the next stage. Which stage comes next depends only
 * on what all threads see after the barrier. Stages never wait and never allocate. Their order is in
 * sparse-program.ts and deep-program.ts.
 */
import type { Arena } from "./arena.ts";
import { deepProgram } from "./deep-program.ts";
import type { Kernels } from "./kernels.ts";
import { sparseProgram } from "./sparse-program.ts";
import type { StepProgram } from "./stage.ts";

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
