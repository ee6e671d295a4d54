/**
 * What main thread and workers say to each other: the task that starts a worker, and the words of the arena's
 * `team` region. Each word has a cache line (16 Int32) of its own, so that spinning on one does not slow another.
 */
import type { KernelVariant, Plan, WasmMemory } from "@sparseloom/core";

/** Starts one worker; it stays for the whole run. */
export interface JoinTask {
  readonly rank: number;
  readonly plan: Plan;
  /** The shared memory laid out by `plan`. */
  readonly memory: WasmMemory;
  readonly kernels: KernelVariant;
  /** Tile for 256-bit vectors, see KernelOptions. */
  readonly wideSimd: boolean;
  /** Whether a waiting worker spins before it sleeps; only right while workers have cores of their own. */
  readonly spin: boolean;
}

/** Offsets of the words in the `team` region. */
export const TEAM = {
  /** Mini-batches published by the main thread; job j may begin when it exceeds j. {@link STOPPED} ends the team. */
  published: 0,
  /** Jobs whose steps are complete; written by rank 0, awaited by the main thread. */
  completed: 16,
  /** Workers that have arrived at the barrier. */
  arrived: 32,
  /** Barriers passed; waiting workers sleep on it. */
  generation: 48,
  /** Next block of work of the current stage. */
  ticket: 64,
  /** Set to 1 when a worker was lost: everyone leaves at the next look. */
  aborted: 80,
  /** Blocks done, one word per rank from here on; that none of them moves means stuck. */
  progress: 256,
} as const;

/** Words between two ranks' progress words. */
export const PROGRESS_STRIDE = 16;

/** Value of `published` that tells workers to go home once all jobs are done. */
export const STOPPED = -1;
