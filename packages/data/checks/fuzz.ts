/**
 * Reads damaged files by the thousand, each with a time limit, and measures what they make the reader allocate.
 *
 *   node packages/data/checks/fuzz.ts --files 10000 [--seed 1] [--first 0]
 *
 * Ends with status 1 when a file is read beyond its end, hangs, takes memory that it does not justify, or is refused
 * by anything but a CorpusError that names it. A finding is repeated with --seed S --first I --files 1.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { readSpecimens, writeDamaged } from "../test/mutations.ts";
import type { Report } from "./fuzz-reader.ts";

const TIME_LIMIT_MS = 10_000;
/** Blocks with their guards, first reads of headers, JavaScript's own objects: what a file of any size may take. */
const BASE_BYTES = 48 * 1024 * 1024;
/** Numbers become labels of JavaScript, and packed bytes become more. */
const BYTES_PER_BYTE = 64;

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
    first: { type: "string", default: "0" },
  },
});
const seed = Number(values.seed);
const first = Number(values.first);
const end = first + Number(values.files);
const folder = await mkdtemp(join(tmpdir(), "sparseloom-fuzz-"));
const specimens = await readSpecimens();
const counts = { read: 0, refused: 0, fault: 0 };
const refusals = new Map<string, number>();
let slowest = 0;
let largest = 0;
let worker = startReader();
try {
  for (let index = first; index < end; index++) {
    const { path, what, bytes } = await writeDamaged(specimens, seed, index, join(folder, "corpus"));
    const report = await read(path, index);
    const fault = faultOf(report, bytes);
    counts[fault === undefined ? report.kind : "fault"]++;
    slowest = Math.max(slowest, report.milliseconds);
    largest = Math.max(largest, report.allocated);
    if (fault !== undefined) process.stdout.write(`FAULT ${what}: ${fault}\n`);
    if (report.kind === "refused") {
      const shape = report.message
        .replaceAll(path, "<file>")
        .replaceAll(/"[^"]*"|[\d.]+/g, "…")
        .slice(0, 150);
      refusals.set(shape, (refusals.get(shape) ?? 0) + 1);
    }
    if ((index + 1 - first) % 1000 === 0)
      process.stdout.write(`${index + 1 - first} ${JSON.stringify(counts)}\n`);
  }
} finally {
  await worker.terminate();
  await rm(folder, { recursive: true, force: true });
}
const kinds = [...refusals].sort((a, b) => b[1] - a[1]).map(([shape, count]) => `  ${count}  ${shape}`);
const peak = process.resourceUsage().maxRSS / 1024;
process.stdout.write(
  `${kinds.join("\n")}\n${end - first} files of seed ${seed}: ${JSON.stringify(counts)}; slowest ${slowest.toFixed(0)} ms, ` +
    `largest allocation ${(largest / 2 ** 20).toFixed(0)} MiB, peak resident memory ${peak.toFixed(0)} MiB\n`,
);
process.exitCode = counts.fault > 0 ? 1 : 0;

function faultOf(report: Report, bytes: number): string | undefined {
  if (report.kind === "fault") return report.message;
  const justified = BASE_BYTES + bytes * BYTES_PER_BYTE;
  if (report.allocated > justified) return `it allocated ${report.allocated} bytes for a file of ${bytes}`;
  return undefined;
}

function startReader(): Worker {
  return new Worker(new URL("fuzz-reader.ts", import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: 512 },
  });
}

/** Reads a file on the worker; one that takes too long is a fault, and the worker is replaced. */
async function read(path: string, index: number): Promise<Report> {
  const { promise, resolve } = Promise.withResolvers<Report>();
  const failed = (message: string): void =>
    resolve({ kind: "fault", message, milliseconds: TIME_LIMIT_MS, allocated: 0 });
  const timer = setTimeout(() => failed(`it took more than ${TIME_LIMIT_MS / 1000} s`), TIME_LIMIT_MS);
  const onError = (error: unknown): void => failed(String(error));
  worker.on("message", resolve);
  worker.on("error", onError);
  worker.postMessage({ path, blockBytes: [16, 1000, 2 ** 20][index % 3] });
  const report = await promise;
  clearTimeout(timer);
  worker.off("message", resolve);
  worker.off("error", onError);
  if (report.milliseconds === TIME_LIMIT_MS) {
    await worker.terminate();
    worker = startReader();
  }
  return report;
}
