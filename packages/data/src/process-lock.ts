/**
 * A file that names the process that works on something, so that a second one keeps off. The lock of a process that is gone
 * is taken over; that of another machine, whose processes cannot be seen from here, only where the caller says so. Who has
 * lost a lock finds out by asking.
 */
import { readFileSync } from "node:fs";
import { link, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout } from "node:timers/promises";
import { isMissing } from "./file-errors.ts";

/** Milliseconds after which it is looked again for a lock that another process is about to remove. */
const REMOVAL_MS = 5;

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
  /** The error to throw while a living process of this machine holds it, or, without `onTakenOver`, one of another. */
  readonly refuse: (holder: LockHolder) => Error;
  /** Hears of a lock of another machine that is taken over. Absent: it is not. */
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
    // Each turn removes one abandoned lock.
    while (!(await create(path, token, text))) {
      const holder = await readHolder(path);
      const isForeign = holder !== undefined && holder.host !== hostname();
      if (holder !== undefined && (isForeign ? onTakenOver === undefined : isAlive(holder)))
        throw refuse(holder);
      if ((await removeAbandoned(path, holder, token, text)) && isForeign) onTakenOver?.(holder);
    }
    return new ProcessLock(path, token);
  }

  /** Whether no other process has taken it over. */
  async isOurs(): Promise<boolean> {
    return (await readHolder(this.path))?.token === this.#token;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (await this.isOurs()) await rm(this.path, { force: true });
  }
}

/** Makes the file with its content at once: nobody finds it empty. Returns false where there is one. */
async function create(path: string, token: string, text: string): Promise<boolean> {
  const beside = `${path}.${token}`;
  await writeFile(beside, text);
  try {
    await link(beside, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  } finally {
    await rm(beside, { force: true });
  }
}

/**
 * Removes an abandoned lock, unless another process has done so: one at a time, by a lock for that, so that nobody removes the one
 * that has come in its place. Returns whether it was removed.
 */
async function removeAbandoned(
  path: string,
  holder: LockHolder | undefined,
  token: string,
  text: string,
): Promise<boolean> {
  const guard = `${path}.removal`;
  if (!(await create(guard, token, text))) {
    const other = await readHolder(guard);
    // Who is at it takes no longer than this, unless it died meanwhile.
    if (other !== undefined && other.host === hostname() && !isAlive(other)) await rm(guard, { force: true });
    await setTimeout(REMOVAL_MS);
    return false;
  }
  try {
    if ((await readHolder(path))?.token !== holder?.token) return false;
    await rm(path, { force: true });
    return true;
  } finally {
    await rm(guard, { force: true });
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
