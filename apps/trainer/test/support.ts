/** What the trainer's tests share: temporary folders, small corpora, the command as a process. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createSynthetic, type SyntheticOptions, writeCorpus } from "@sparseloom/data";
import { afterAll } from "vitest";

export const CLI: string = fileURLToPath(new URL("../src/cli.ts", import.meta.url));

/** A file of another writer. */
export function foreign(name: string): string {
  return fileURLToPath(new URL(`../../../packages/data/test/fixtures/${name}`, import.meta.url));
}

/** A folder that goes when the test file is done. */
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), "sparseloom-test-"));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/**
 * Writes a synthetic corpus and returns its true features [features, dIn]. With `rowsPerDocument` rows have a label
 * `document`.
 */
export async function writeSynthetic(
  path: string,
  rows: number,
  options: SyntheticOptions,
  rowsPerDocument?: number,
): Promise<Float32Array> {
  const synthetic = createSynthetic(options);
  const values = new Float32Array(rows * options.dIn);
  synthetic.fill(values, 0, rows);
  const document = Array.from({ length: rows }, (_, row) => Math.floor(row / (rowsPerDocument ?? 1)));
  const labelled = rowsPerDocument !== undefined;
  await writeCorpus(
    path,
    { dIn: options.dIn, type: "float32", ...(labelled ? { labels: { document: "int32" } } : {}) },
    [{ values, ...(labelled ? { labels: { document } } : {}) }],
  );
  return synthetic.directions;
}

/** A small corpus of 12 dimensions for tests that do not care what it holds. */
export async function writeSmallCorpus(path: string, rows = 3000, rowsPerDocument?: number): Promise<void> {
  const options: SyntheticOptions = {
    dIn: 12,
    features: 24,
    seed: 5,
    active: { kind: "bernoulli", probability: 0.15 },
    magnitude: { kind: "normal", mean: 1, sd: 0.3 },
    noise: 0.05,
  };
  await writeSynthetic(path, rows, options, rowsPerDocument);
}

export interface CliResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command as a process of its own. `onStderr` sees its stderr as it grows, e.g. to send a signal. */
export async function runCli(
  args: readonly string[],
  onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<CliResult> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    onStderr?.(stderr, (signal) => child.kill(signal));
  });
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { status, stdout, stderr };
}

/** The bytes of a run's checkpointed state after `step` steps. */
export async function stateBytes(runDirectory: string, step: number): Promise<Buffer> {
  return await readFile(join(runDirectory, "checkpoints", String(step), "state.safetensors"));
}
