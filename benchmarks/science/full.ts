/**
 * The published run of SynthSAEBench at its full size (arXiv 2602.14687): the commands that make it, how long each would
 * take on this machine by a short run of it, and running them.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { alignTable, digits } from "../src/table.ts";
import { COMMAND, type StepLine, Trainer } from "../src/trainer.ts";
import { MODELS } from "./claims.ts";
import { measuredOf, type ModelLine, spreadOf } from "./measures.ts";
import type { Recipe } from "./studies.ts";

/** A run's size. */
export interface FullSize {
  /** Preset and scale, as in `synth:` paths. */
  readonly preset: string;
  readonly latents: number;
  readonly k: number;
  readonly batch: number;
  readonly examples: number;
  readonly lr: number;
  readonly recipes: readonly Recipe[];
  /** Steps by which the time is predicted, after as many that are not counted as V8 needs. */
  readonly steps: number;
}

/** Share of rows that are held out. */
const HELD_OUT = 0.0005;
const UNCOUNTED_STEPS = 20;
/**
 * ReLU begins with half of all latents active, at which a step takes many times what it does later. The short run gets
 * there by a rate and a λ that leave a few active after its uncounted steps.
 */
const SPARSE_AT_ONCE = { "--lr": "0.01", "--l1": "8" } as const;

/** The published size; λ is the one that the study at scale 1/16 finds, where magnitudes are the same. */
export const FULL_SIZE: FullSize = {
  preset: "synthsaebench-16k",
  latents: 4096,
  k: 25,
  batch: 1024,
  examples: 200_000_000,
  lr: 3e-4,
  recipes: [
    { name: MODELS.l1, arch: "relu", l1: 1.9 },
    { name: MODELS.batchTopK, arch: "batch-topk" },
    { name: MODELS.matryoshka, arch: "matryoshka" },
  ],
  steps: 40,
};

/** The same commands at a size of seconds. */
export const QUICK_SIZE: FullSize = {
  ...FULL_SIZE,
  preset: "synthsaebench-16k:1/256",
  latents: 16,
  k: 2,
  batch: 128,
  examples: 5000,
  recipes: FULL_SIZE.recipes.slice(0, 2),
  steps: 4,
};

/** A model of the full run. */
export interface FullRun {
  readonly recipe: Recipe;
  readonly corpus: string;
  readonly out: string;
  /** What follows `sparseloom`. */
  readonly words: readonly string[];
}

/** The runs of a size, in folders under `folder`. */
export function fullRuns(size: FullSize, folder: string): FullRun[] {
  const rows = Math.ceil(1.0005 * (size.examples / (1 - HELD_OUT))) + 100;
  const corpus = `synth:${size.preset}@${rows}`;
  return size.recipes.map((recipe) => {
    const out = join(folder, recipe.arch);
    const options = {
      arch: recipe.arch,
      latents: size.latents,
      ...(recipe.l1 === undefined ? { k: size.k } : { l1: recipe.l1 }),
      batch: size.batch,
      examples: size.examples,
      lr: size.lr,
      normalize: "none",
      // Rows are independent of each other.
      shuffle: "none",
      "held-out": HELD_OUT,
      out,
    };
    const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    return { recipe, corpus, out, words: ["train", corpus, "--no-center", ...words] };
  });
}

/** How long a run would take. */
export interface Prediction {
  readonly run: FullRun;
  /** Of the short run, making the rows included. */
  readonly activationsPerSecond: number;
  /** Mean L0 of its counted steps. */
  readonly l0: number;
  readonly seconds: number;
}

/** Takes the first steps of each run, in a temporary folder. */
export async function predict(
  size: FullSize,
  runs: readonly FullRun[],
  workers: number,
  progress: (line: string) => void,
): Promise<Prediction[]> {
  await using trainer = await Trainer.open();
  const predictions: Prediction[] = [];
  for (const run of runs) {
    progress(`${run.recipe.name}: ${UNCOUNTED_STEPS + size.steps} steps of the full size`);
    const out = join(trainer.folder, run.recipe.arch);
    const changes: Record<string, string> = {
      "--out": out,
      "--examples": String(size.batch * (UNCOUNTED_STEPS + size.steps)),
      ...(run.recipe.l1 === undefined ? {} : SPARSE_AT_ONCE),
    };
    const words = run.words.map((word, i) => changes[run.words[i - 1] ?? ""] ?? word);
    const others = run.recipe.l1 === undefined ? ["--threshold", "ema"] : ["--l1-warmup", "0"];
    const short = ["--log-every", "1", "--eval-rows", "1", "--workers", String(workers)];
    await trainer.command(...words, ...short, ...others);
    const lines = (await readFile(join(out, "metrics.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as StepLine);
    const [first, end] = [lines[UNCOUNTED_STEPS - 1], lines.at(-1)];
    if (first === undefined || end === undefined)
      throw new Error("internal: the short run logged too little");
    const activationsPerSecond = (1000 * size.steps * size.batch) / (end.elapsedMs - first.elapsedMs);
    const l0 = spreadOf(lines.slice(UNCOUNTED_STEPS).map((line) => line.l0)).mean;
    predictions.push({ run, activationsPerSecond, l0, seconds: size.examples / activationsPerSecond });
  }
  return predictions;
}

/** The table of predictions, and the commands. */
export function formatPredictions(size: FullSize, predictions: readonly Prediction[]): string {
  const { examples, latents, batch, lr, preset } = size;
  const count = (value: number): string => value.toLocaleString("en-US");
  const table = alignTable(
    ["model", "activations/s", "at L0", "predicted"],
    predictions.map(({ run, activationsPerSecond, l0, seconds }) => [
      run.recipe.name,
      digits(activationsPerSecond),
      digits(l0),
      seconds >= 7200 ? `${digits(seconds / 3600)} h` : `${digits(seconds)} s`,
    ]),
    1,
  );
  return [
    `${preset}: ${count(examples)} rows, ${count(latents)} latents, mini-batches of ${count(batch)}, learning rate ${lr}`,
    "",
    table,
    "",
    ...predictions.map(({ run }) => `pnpm sparseloom ${run.words.join(" ")}`),
  ].join("\n");
}

/** Runs the commands one after the other, or goes on with those that were stopped, and measures what they made. */
export async function runFull(
  size: FullSize,
  runs: readonly FullRun[],
  workers: number,
): Promise<ModelLine[]> {
  await using trainer = await Trainer.open();
  const lines: ModelLine[] = [];
  for (const { recipe, corpus, out, words } of runs) {
    const begun = existsSync(join(out, "config.json"));
    await inTheForeground(begun ? ["train", "--resume", out] : words, workers);
    const which = ["--split", "held-out", "--workers", String(workers), "--json"];
    const run = measuredOf(await trainer.command("eval", out, corpus, ...which));
    const line = { study: size.preset, model: recipe.name, system: "Sparseloom", runs: [run] } as const;
    lines.push(recipe.l1 === undefined ? line : { ...line, l1: recipe.l1 });
  }
  return lines;
}

/** Shows the command's own progress; an interruption reaches it, and it saves a checkpoint. */
async function inTheForeground(words: readonly string[], workers: number): Promise<void> {
  const all = [COMMAND, ...words, "--workers", String(workers)];
  const child = spawn(process.execPath, all, { stdio: ["ignore", "ignore", "inherit"] });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.once("error", reject);
  child.once("close", (code, signal) => {
    if (code === 0) resolve();
    else reject(new Error(`sparseloom train ended with ${signal ?? `status ${code}`}`));
  });
  await promise;
}
