/**
 * Trains 64 latents on a large synthetic corpus and compares the process's peak resident memory with its bound:
 * 250 MB plus the plan's arena, however large the corpus. Linux only: reads VmHWM.
 *
 *   node apps/trainer/checks/memory.ts [--gb 2] [--d 768]
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { planRun } from "@sparseloom/core";
import { createSynthetic, type RowsToWrite, writeCorpus } from "@sparseloom/data";
import { readRunConfig } from "../src/run/config.ts";

const BOUND_MB = 250;
const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));

const { values: flags } = parseArgs({
  options: { gb: { type: "string", default: "2" }, d: { type: "string", default: "768" } },
});
const dIn = Number(flags.d);
const rows = Math.ceil((Number(flags.gb) * 1e9) / (4 * dIn));

const folder = mkdtempSync(join(tmpdir(), "sparseloom-memory-"));
try {
  const corpus = join(folder, "corpus.arrow");
  const { bytes } = await writeCorpus(corpus, { dIn, type: "float32" }, syntheticRows());
  const out = join(folder, "run");
  const { status, peakMb, seconds } = await measure([
    "train",
    corpus,
    "--latents",
    "64",
    "--k",
    "8",
    "--out",
    out,
  ]);
  if (status !== 0) throw new Error(`the run ended with status ${status}`);
  const config = await readRunConfig(out);
  const arenaMb = planRun({ setup: config.setup, workers: config.options.workers }).byteLength / 1e6;
  const bound = BOUND_MB + arenaMb;
  const line =
    `corpus ${(bytes / 1e9).toFixed(2)} GB, arena ${arenaMb.toFixed(0)} MB: peak resident memory ${peakMb.toFixed(0)} MB, ` +
    `bound ${bound.toFixed(0)} MB, ${seconds.toFixed(0)} s: ${peakMb <= bound ? "ok" : "TOO MUCH"}`;
  process.stdout.write(`${line}\n`);
  if (peakMb > bound) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}

function* syntheticRows(): Iterable<RowsToWrite> {
  const synthetic = createSynthetic({
    dIn,
    features: 64,
    seed: 1,
    active: { kind: "exactly", count: 8 },
    magnitude: { kind: "uniform", low: 0.5, high: 1.5 },
  });
  const chunk = 4096;
  for (let first = 0; first < rows; first += chunk) {
    const count = Math.min(chunk, rows - first);
    const values = new Float32Array(count * dIn);
    synthetic.fill(values, first, count);
    yield { values };
  }
}

/** Runs the command and watches the high-water mark of its resident memory. */
async function measure(
  args: readonly string[],
): Promise<{ status: number | null; peakMb: number; seconds: number }> {
  const began = performance.now();
  const child = spawn(process.execPath, [CLI, ...args], { stdio: "inherit" });
  let peakMb = 0;
  const poll = setInterval(() => {
    try {
      const found = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"));
      if (found !== null) peakMb = Math.max(peakMb, (Number(found[1]) * 1024) / 1e6);
    } catch (error) {
      // The process has just ended; its exit is about to be reported.
      if (!["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }, 100);
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearInterval(poll);
  return { status, peakMb, seconds: (performance.now() - began) / 1000 };
}
