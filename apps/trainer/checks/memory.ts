/**
 * Trains TopK latents on a large synthetic corpus and holds the process's memory to its bounds, however large the corpus:
 * the median of what is resident to the plan's arena, the two windows of shuffled rows and 200 MB; the peak to the arena
 * and 250 MB. Of these, 50 MB are for the pages of Node's own program, which are not counted: they are the page cache's, and how
 * many of them are mapped is the kernel's choice (82 MB at the start and 112 at the end on one machine). Linux only: reads /proc.
 *
 *   node apps/trainer/checks/memory.ts [--gb 2] [--d 768] [--latents 64] [--k 8]
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chooseEncoder, type KernelVariant, planRun } from "@sparseloom/core";
import { createSynthetic, type RowsToWrite, writeCorpus } from "@sparseloom/data";
import { readRunConfig } from "../src/run/config.ts";

const RESIDENT_MB = 200;
const PEAK_MB = 250;
const PROGRAM_MB = 50;
const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));

const { values: flags } = parseArgs({
  options: {
    gb: { type: "string", default: "2" },
    d: { type: "string", default: "768" },
    latents: { type: "string", default: "64" },
    k: { type: "string", default: "8" },
  },
});
const dIn = Number(flags.d);
const rows = Math.ceil((Number(flags.gb) * 1e9) / (4 * dIn));

/**
 * The first run from source strips types, which costs some 30 MB, and what V8's heap keeps of the start differs by 20 MB
 * from run to run: the least of so many runs counts.
 */
const MOST_RUNS = 3;

const folder = mkdtempSync(join(tmpdir(), "sparseloom-memory-"));
try {
  const corpus = join(folder, "corpus.arrow");
  const { bytes } = await writeCorpus(corpus, { dIn, type: "float32" }, syntheticRows());
  for (let run = 1; run <= MOST_RUNS; run++) {
    if (await isWithinBounds(corpus, bytes, join(folder, `run-${run}`))) break;
    if (run === MOST_RUNS) process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}

/** Trains once and prints how much memory that took. */
async function isWithinBounds(corpus: string, bytes: number, out: string): Promise<boolean> {
  const { status, residentMb, peakMb, seconds } = await measure([
    "train",
    corpus,
    "--latents",
    flags.latents,
    "--k",
    flags.k,
    "--out",
    out,
  ]);
  if (status !== 0) throw new Error(`the run ended with status ${status}`);
  const config = await readRunConfig(out);
  const { setup, options } = config;
  const encoder = chooseEncoder(options.encoder, setup.model, config.kernelVariant as KernelVariant);
  const arenaMb = planRun({ setup, workers: options.workers, encoder }).byteLength / 1e6;
  const bounds = {
    resident: RESIDENT_MB - PROGRAM_MB + 2 * options.windowMb + arenaMb,
    peak: PEAK_MB - PROGRAM_MB + arenaMb,
  };
  const ok = residentMb <= bounds.resident && peakMb <= bounds.peak;
  process.stdout.write(
    `corpus ${(bytes / 1e9).toFixed(2)} GB, arena ${arenaMb.toFixed(0)} MB (${encoder}): resident ${residentMb.toFixed(0)} MB, ` +
      `bound ${bounds.resident.toFixed(0)} MB; peak ${peakMb.toFixed(0)} MB, bound ${bounds.peak.toFixed(0)} MB, ` +
      `${seconds.toFixed(0)} s: ${ok ? "ok" : "TOO MUCH"}\n`,
  );
  return ok;
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

/** What was seen of a run of the command. */
interface Seen {
  readonly status: number | null;
  /** Resident memory but for mapped files: the median over the time that it ran, and the most. */
  readonly residentMb: number;
  readonly peakMb: number;
  readonly seconds: number;
}

/** Runs the command and watches its resident memory. */
async function measure(args: readonly string[]): Promise<Seen> {
  const began = performance.now();
  const child = spawn(process.execPath, [CLI, ...args], { stdio: "inherit" });
  const resident: number[] = [];
  const poll = setInterval(() => {
    try {
      const text = readFileSync(`/proc/${child.pid}/status`, "utf8");
      const field = (name: string) =>
        (Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(text)?.[1] ?? 0) * 1024) / 1e6;
      const own = field("RssAnon") + field("RssShmem");
      // A process that has just ended has none.
      if (own > 0) resident.push(own);
    } catch (error) {
      // The process has just ended; its exit is about to be reported.
      if (!["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }, 20);
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearInterval(poll);
  resident.sort((a, b) => a - b);
  const residentMb = resident[Math.floor(resident.length / 2)] ?? 0;
  return { status, residentMb, peakMb: resident.at(-1) ?? 0, seconds: (performance.now() - began) / 1000 };
}
