/**
 * What main thread and workers say to each other: the task that starts a worker, and the words of the arena's
 * `team` region. Each word has a cache line (16 Int32) of its own, so that spinning on one does not slow another.
 */
import type { KernelVariant, Plan, WasmMemory } from "@sparseloom/core";

/** A model that the team trains: its memory map, and the shared memory laid out by it. */
export interface PlannedMemory {
  readonly plan: Plan;
  readonly memory: WasmMemory;
}

/** Starts one worker; it stays for the whole run. */
export interface JoinTask {
  readonly rank: number;
  readonly workers: number;
  /** All models of the run. The team's own words lie in the first one's memory. */
  readonly models: readonly PlannedMemory[];
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
  /** Ring of {@link JOB_RING} words: the model that job j is for, at j modulo the ring's length. */
  models: 96,
  /** Blocks done, one word per rank from here on; that none of them moves means stuck. */
  progress: 256,
} as const;

/** Words between two ranks' progress words. */
export const PROGRESS_STRIDE = 16;

/** Jobs whose model the ring can name at a time: more than all models' slots together. */
export const JOB_RING = 128;

/** Models that one team can train: each has two slots in the ring of jobs. */
export const MOST_MODELS: number = JOB_RING / 2;

/** Value of `published` that tells workers to go home once all jobs are done. */
export const STOPPED = -1;
