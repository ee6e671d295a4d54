/**
 * One process at a time writes a run directory: the file `lock` names it. The lock of a process that is gone, or
 * of another machine (whose processes cannot be seen from here), is taken over; who has lost it finds out before
 * the next checkpoint is written.
 */
import { readFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { RequestError, RunError } from "../errors.ts";

const holderSchema = z.object({ pid: z.number(), host: z.string(), started: z.string(), token: z.string() });
type Holder = z.infer<typeof holderSchema>;

/** Name of the lock in a run directory. */
export const LOCK_FILE = "lock";

export class RunLock implements AsyncDisposable {
  readonly #path: string;
  readonly #token: string;

  private constructor(path: string, token: string) {
    this.#path = path;
    this.#token = token;
  }

  /**
   * Takes the lock of an existing run directory. `onNotice` is told where it was held on another machine.
   *
   * @throws RequestError while a living process of this machine holds it
   */
  static async acquire(runDirectory: string, onNotice?: (line: string) => void): Promise<RunLock> {
    const path = join(runDirectory, LOCK_FILE);
    const token = crypto.randomUUID();
    const text = JSON.stringify({ pid: process.pid, host: hostname(), started: startOf(process.pid), token });
    // Each turn removes one abandoned lock; several processes doing so at once find out in `check`.
    for (;;) {
      try {
        await writeFile(path, text, { flag: "wx" });
        return new RunLock(path, token);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const holder = await readHolder(path);
      if (holder !== undefined && isAlive(holder)) {
        throw new RequestError(
          `${runDirectory} is being written by process ${holder.pid}: wait for it to end, or give another directory`,
        );
      }
      if (holder !== undefined && holder.host !== hostname())
        onNotice?.(
          `${runDirectory} was left by, or is being written by, process ${holder.pid} on ${holder.host}, which cannot be seen from here: taken over`,
        );
      await rm(path, { force: true });
    }
  }

  /** Throws a RunError if another process has taken the lock over. */
  async check(): Promise<void> {
    if ((await readHolder(this.#path))?.token === this.#token) return;
    throw new RunError(`another process has taken over the run directory: its ${this.#path} is not ours`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if ((await readHolder(this.#path))?.token === this.#token) await rm(this.#path, { force: true });
  }
}

/** Who holds the lock; undefined when nobody does, or the file was never finished. */
async function readHolder(path: string): Promise<Holder | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Cut off by a crash, or not there: nobody's.
    return undefined;
  }
  return holderSchema.safeParse(value).data;
}

function isAlive({ pid, host, started }: Holder): boolean {
  if (host !== hostname()) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // It lives, but is another user's.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return startOf(pid) === started;
}

/** When a process started, in ticks since the machine did: tells it from a later one of the same number. "" where unknown. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name, in parentheses, may hold spaces; the start is the 20th field after it.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    // Systems without /proc: the number alone decides.
    return "";
  }
}
