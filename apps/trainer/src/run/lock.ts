/**
 * One process at a time writes a run directory: the file `lock` names it. Who has lost it to a process of another machine
 * finds out before the next checkpoint is written.
 */
import { join } from "node:path";
import { ProcessLock } from "@sparseloom/data";
import { RequestError, RunError } from "../errors.ts";

/** Name of the lock in a run directory. */
export const LOCK_FILE = "lock";

/** The lock of a run directory, while this process writes it. */
export class RunLock implements AsyncDisposable {
  readonly #lock: ProcessLock;

  private constructor(lock: ProcessLock) {
    this.#lock = lock;
  }

  /**
   * Takes the lock of an existing run directory. `onNotice` is told where it was held on another machine.
   *
   * @throws RequestError while a living process of this machine holds it
   */
  static async acquire(runDirectory: string, onNotice?: (line: string) => void): Promise<RunLock> {
    const lock = await ProcessLock.acquire(join(runDirectory, LOCK_FILE), {
      refuse: ({ pid }) =>
        new RequestError(
          `${runDirectory} is being written by process ${pid}: wait for it to end, or give another directory`,
        ),
      onTakenOver: ({ pid, host }) =>
        onNotice?.(
          `${runDirectory} was left by, or is being written by, process ${pid} on ${host}, which cannot be seen from here: taken over`,
        ),
    });
    return new RunLock(lock);
  }

  /** Throws a RunError if another process has taken the lock over. */
  async check(): Promise<void> {
    if (await this.#lock.isOurs()) return;
    throw new RunError(
      `another process has taken over the run directory: its ${this.#lock.path} is not ours`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock[Symbol.asyncDispose]();
  }
}
