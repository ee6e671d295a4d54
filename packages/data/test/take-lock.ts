/** Takes a lock at a given time, holds it for a while, and says whether it was refused, lost or kept: for tests, as a process. */
import { setTimeout } from "node:timers/promises";
import { ProcessLock } from "../src/process-lock.ts";

const [path = "", at = "0"] = process.argv.slice(2);
while (Date.now() < Number(at));
try {
  await using lock = await ProcessLock.acquire(path, { refuse: () => new Error("refused") });
  await setTimeout(300);
  process.stdout.write((await lock.isOurs()) ? "kept" : "lost");
} catch (error) {
  process.stdout.write((error as Error).message);
}
