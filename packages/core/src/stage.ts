/** What a step is made of: stages of blocks, and one thread's walk through them. */
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

/** Values of CONTROL.phase: what follows the stage that has just finished. */
export const PHASE = {
  done: 0,
  rows: 1,
  gather: 2,
  update: 3,
  bias: 4,
  quantise: 5,
  decode: 6,
  errors: 7,
  auxiliary: 8,
  gradients: 9,
  biasGradient: 10,
  matrices: 11,
  skip: 12,
  skipGradient: 13,
} as const;

/** Blocks of `block` elements that cover `length`. */
export function blocksOf(length: number, block: number): number {
  return Math.ceil(length / block);
}
