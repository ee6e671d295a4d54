/** The thread of checks/fuzz.ts that reads: whatever a file does to it, the main thread can end it. */
import { parentPort } from "node:worker_threads";
import { readEverything } from "../test/read-everything.ts";
import type { Outcome } from "../test/read-everything.ts";

/** What came of one file. */
export interface Report {
  readonly kind: "read" | "refused" | "fault";
  readonly message: string;
  readonly milliseconds: number;
  /** Bytes of buffers and heap in use more than before: all that was allocated, unless garbage was collected. */
  readonly allocated: number;
}

function inUse(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

parentPort?.on("message", ({ path, blockBytes }: { path: string; blockBytes: number }) => {
  void reportOn(path, blockBytes);
});

async function reportOn(path: string, blockBytes: number): Promise<void> {
  const before = inUse();
  const start = performance.now();
  const outcome = await readEverything(path, blockBytes);
  const report: Report = {
    kind: outcome.kind,
    message: messageOf(outcome),
    milliseconds: performance.now() - start,
    allocated: Math.max(0, inUse() - before),
  };
  parentPort?.postMessage(report);
}

function messageOf(outcome: Outcome): string {
  if (outcome.kind === "read") return "";
  if (outcome.kind === "refused") return outcome.message;
  const { error } = outcome;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
