/**
 * A file that names the process that works on something, so that a second one keeps off. The lock of a process that is gone,
 * or of another machine, whose processes cannot be seen from here, is taken over; who has lost it finds out by asking.
 */
import { readFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { isMissing } from "./file-errors.ts";

/** Who holds a lock. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
  /** When the process started, in the system's own terms; "" where unknown. */
  readonly started: string;
  readonly token: string;
}

/** What is to happen where a lock is not free. */
export interface LockedOptions {
  /** The error to throw while a living process of this machine holds it. */
  readonly refuse: (holder: LockHolder) => Error;
  /** Hears of a lock of another machine that is taken over. */
  readonly onTakenOver?: ((holder: LockHolder) => void) | undefined;
}

/** A lock that this process took. Disposing of it gives it back. */
export class ProcessLock implements AsyncDisposable {
  readonly path: string;
  readonly #token: string;

  private constructor(path: string, token: string) {
    this.path = path;
    this.#token = token;
  }

  /** Takes the lock, a file in an existing folder. Throws what `refuse` gives, and what the system refuses. */
  static async acquire(path: string, { refuse, onTakenOver }: LockedOptions): Promise<ProcessLock> {
    const token = crypto.randomUUID();
    const text = JSON.stringify({ pid: process.pid, host: hostname(), started: startOf(process.pid), token });
    // Each turn removes one abandoned lock; several processes doing so at once find out by `isOurs`.
    for (;;) {
      try {
        await writeFile(path, text, { flag: "wx" });
        return new ProcessLock(path, token);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const holder = await readHolder(path);
      if (holder !== undefined && isAlive(holder)) throw refuse(holder);
      if (holder !== undefined && holder.host !== hostname()) onTakenOver?.(holder);
      await rm(path, { force: true });
    }
  }

  /** Whether no other process has taken it over. */
  async isOurs(): Promise<boolean> {
    return (await readHolder(this.path))?.token === this.#token;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (await this.isOurs()) await rm(this.path, { force: true });
  }
}

/** Who holds the lock; undefined when nobody does, or the file was never finished. */
async function readHolder(path: string): Promise<LockHolder | undefined> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (isMissing(error)) return "";
    throw error;
  });
  let value: Partial<Record<keyof LockHolder, unknown>> | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    // Cut off by a crash, or not there: nobody's.
    return undefined;
  }
  const { pid, host, started, token } = value ?? {};
  return typeof pid === "number" &&
    typeof host === "string" &&
    typeof started === "string" &&
    typeof token === "string"
    ? { pid, host, started, token }
    : undefined;
}

function isAlive({ pid, host, started }: LockHolder): boolean {
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
