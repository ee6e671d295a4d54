/**
 * Holds the screened encoder to its word, on data that are hard on small integers: every active latent of at least
 * --audited rows found, and the same bytes after --steps steps as with the exact encoder, with 1 to 4 workers and
 * 256-bit vectors. Corpora: the bundled one (from a random start, and on to a trained model), and one with outlier dimensions, massive
 * entries in 2 % of rows, and a large mean.
 *
 *   node apps/trainer/checks/screening.ts [--audited 100000] [--steps 200] [--d 512] [--latents 4096]
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { DEMO_CORPUS } from "../src/commands/demo.ts";
import type { TrainResult } from "../src/run/result.ts";
import { writeOutlierCorpus } from "../test/outlier-corpus.ts";

const { values: flags } = parseArgs({
  options: {
    audited: { type: "string", default: "100000" },
    steps: { type: "string", default: "200" },
    d: { type: "string", default: "512" },
    latents: { type: "string", default: "4096" },
  },
});
const audited = Number(flags.audited);
const steps = Number(flags.steps);
const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "sparseloom-screening-"));
const outliers = join(folder, "outliers.arrow");

const BATCH = 512;
/** As in the bundled corpus's demo, but for the number of steps. */
const CASES = [
  {
    name: "bundled corpus, topk",
    corpus: DEMO_CORPUS,
    args: ["--latents", "2048", "--k", "16", "--lr", "1e-3"],
  },
  {
    name: "bundled corpus, relu",
    corpus: DEMO_CORPUS,
    args: ["--arch", "relu", "--latents", "2048", "--l1", "5", "--l1-warmup", "1", "--lr", "3e-3"],
  },
  { name: "outliers, topk", corpus: outliers, args: ["--latents", flags.latents, "--k", "32"] },
];

let number = 0;
function run(corpus: string, ...args: string[]): TrainResult {
  const out = join(folder, String(number++));
  const command = [
    CLI,
    "train",
    corpus,
    "--batch",
    String(BATCH),
    "--eval-rows",
    "1",
    "--out",
    out,
    "--json",
  ];
  const text = execFileSync(process.execPath, [...command, ...args], { stdio: ["ignore", "pipe", "ignore"] });
  return JSON.parse(text.toString()) as TrainResult;
}
function bytesOf({ runDirectory }: TrainResult): string {
  const state = readFileSync(join(runDirectory, "checkpoints", String(steps), "state.safetensors"));
  return createHash("sha256").update(state).digest("hex");
}
function report(name: string, ok: boolean, detail: string): void {
  process.stdout.write(`${name}: ${detail}: ${ok ? "ok" : "MISSED"}\n`);
  if (!ok) process.exitCode = 1;
}

try {
  await writeOutlierCorpus(outliers, { dIn: Number(flags.d), rows: 20_000, seed: 1 });
  for (const { name, corpus, args } of CASES) {
    // Trained for as long as rows are audited: at the end the model is a trained one.
    // Some rows cannot be audited: those of a dense start, and those encoded exactly.
    const examples = String(Math.ceil(1.1 * audited) + 40_000);
    const { screening, fvu } = run(
      corpus,
      ...args,
      "--encoder",
      "screened",
      "--audit",
      "1",
      "--examples",
      examples,
    );
    const {
      auditedRows = 0,
      recall,
      largestError = 0,
      candidatesPerRow = 0,
      redoneShare = 0,
    } = screening ?? {};
    report(
      `${name}, recall`,
      recall === 1 && auditedRows >= audited,
      `${recall} on ${auditedRows} audited rows (FVU at the end ${fvu.toFixed(3)}, ${candidatesPerRow.toFixed(0)} candidates per row, ` +
        `${(100 * redoneShare).toFixed(2)} % redone, largest error ${largestError.toFixed(2)} σ)`,
    );
    const fixed = [...args, "--examples", String(steps * BATCH)];
    const expected = bytesOf(run(corpus, ...fixed, "--encoder", "exact"));
    for (const more of [
      ["--workers", "1"],
      ["--workers", "2"],
      ["--workers", "3"],
      ["--workers", "4"],
      ["--experimental-wide-simd"],
    ]) {
      const found = bytesOf(run(corpus, ...fixed, "--encoder", "screened", ...more));
      report(`${name}, bytes after ${steps} steps`, found === expected, more.join(" "));
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
