/** The workers' meeting point and the counter from which they take work. Runs on worker threads only. */
import type { Stage } from "@sparseloom/core";
import { TEAM } from "./protocol.ts";

/** Looks at the word before sleeping. A barrier between two spinning workers took 0.75 µs, a sleeping one 2 to 12. */
const SPINS = 2000;

/** Longest sleep before looking at the abort word again: the bound on noticing a lost colleague. */
const LOOK_EVERY_MS = 200;

/** Thrown to leave the job when another worker was lost; the main thread knows and reports the cause. */
export class AbortedError extends Error {
  override readonly name = "AbortedError";
}

/** Waits until `word` is no longer `value`. Blocks this thread's event loop. Throws {@link AbortedError}. */
export function waitWhile(team: Int32Array, word: number, value: number, spin: boolean): void {
  for (let spins = spin ? SPINS : 0; spins > 0; spins--) {
    if (Atomics.load(team, word) !== value) return;
  }
  while (Atomics.load(team, word) === value) {
    if (Atomics.load(team, TEAM.aborted) === 1) throw new AbortedError("the team was aborted");
    Atomics.wait(team, word, value, LOOK_EVERY_MS);
  }
}

/**
 * Waits until all workers have come here. The last to arrive finishes the stage, sees everyone's writes and
 * has its own seen by everyone, and puts the ticket counter back.
 */
export function meet(team: Int32Array, workers: number, spin: boolean, stage: Pick<Stage, "finish">): void {
  // Read before arriving: the last arrival moves it on.
  const generation = Atomics.load(team, TEAM.generation);
  if (Atomics.add(team, TEAM.arrived, 1) === workers - 1) {
    stage.finish();
    Atomics.store(team, TEAM.arrived, 0);
    Atomics.store(team, TEAM.ticket, 0);
    Atomics.add(team, TEAM.generation, 1);
    Atomics.notify(team, TEAM.generation);
  } else {
    waitWhile(team, TEAM.generation, generation, spin);
  }
}
