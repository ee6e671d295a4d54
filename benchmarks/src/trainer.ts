/**
 * Our training step as users get it: the `sparseloom` command on a generated corpus, all workers, reading included.
 * Each run is a process of its own; the time of a step is the time between two lines of its metrics.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { lastWords } from "./line-process.ts";
import { median } from "./measure.ts";
import { deepWidths, type Shape } from "./shapes.ts";

/** The command, from source. */
export const COMMAND: string = fileURLToPath(new URL("../../apps/trainer/src/cli.ts", import.meta.url));

/** What to train. */
export type TrainerModel = "topk" | "relu" | "deep";

export interface TrainerRun {
  readonly shape: Shape;
  readonly model: TrainerModel;
  readonly workers: number;
  /** 256-bit vectors by V8's experimental flag. */
  readonly wide: boolean;
  /** Steps that are timed. */
  readonly steps: number;
  /** Steps before them that are not. */
  readonly warmupSteps: number;
  /** What to train on. Default: a generated file of the shape's dimension. */
  readonly corpus?: string;
  /** Further options of `sparseloom train`. */
  readonly options?: readonly string[];
}

/** Mini-batches in the corpus; training passes over it as often as it must. */
const CORPUS_BATCHES = 4;

/** Runs of the command on corpora in a temporary folder, which is removed at the end. */
export class Trainer implements AsyncDisposable {
  /** Temporary, removed at the end. */
  readonly folder: string;
  readonly #corpora = new Set<string>();
  #runs = 0;
  #child: ChildProcess | undefined;

  private constructor(folder: string) {
    this.folder = folder;
    process.once("SIGINT", this.#interrupted).once("SIGTERM", this.#interrupted);
  }

  /** Leaves nothing behind, then dies of the signal as it would have without this handler. */
  readonly #interrupted = (signal: NodeJS.Signals): void => {
    this.#child?.kill("SIGKILL");
    rmSync(this.folder, { recursive: true });
    process.kill(process.pid, signal);
  };

  static async open(): Promise<Trainer> {
    return new Trainer(await mkdtemp(join(tmpdir(), "sparseloom-bench-")));
  }

  /**
   * Milliseconds of each timed step.
   *
   * @throws Error with the command's own message when it fails
   */
  async stepTimes(run: TrainerRun): Promise<number[]> {
    const { shape, model, workers, wide, steps, warmupSteps, options = [] } = run;
    const corpus = run.corpus ?? (await this.corpusOf(shape));
    const out = join(this.folder, `run-${this.#runs++}`);
    const total = warmupSteps + steps;
    const architecture =
      model === "deep"
        ? ["--arch", "autoencoder", "--widths", deepWidths(shape).join(","), "--output-activation", "linear"]
        : ["--arch", model, "--latents", String(shape.latents)];
    const words = ["--batch", shape.rows, "--examples", shape.rows * total, "--workers", workers];
    await this.command(
      "train",
      corpus,
      "--out",
      out,
      ...architecture,
      ...options,
      ...(model === "topk" ? ["--k", String(shape.k)] : []),
      ...words.map(String),
      ...(wide ? ["--experimental-wide-simd"] : []),
      // A line per step; next to no evaluation at the end.
      "--log-every",
      "1",
      "--held-out",
      "0",
      "--eval-rows",
      "1",
    );
    const lines = (await readFile(join(out, "metrics.jsonl"), "utf8")).trim().split("\n");
    const times = lines.map(
      (line) => (1000 * shape.rows) / (JSON.parse(line) as StepLine).activationsPerSecond,
    );
    await rm(out, { recursive: true });
    if (times.length !== total) throw new Error(`the run logged ${times.length} steps of ${total}`);
    // The last two steps are logged together, when both are done: one has the time of both.
    if (total > 1) times.push(...Array<number>(2).fill(times.splice(-2).reduce((a, b) => a + b) / 2));
    return times.slice(warmupSteps);
  }

  /** Activations per second of the median step. */
  async rate(run: TrainerRun): Promise<number> {
    return (1000 * run.shape.rows) / median(await this.stepTimes(run));
  }

  /** A generated corpus of a shape's dimension, with rows for so many of its mini-batches; made when first asked for. */
  async corpusOf(shape: Shape, batches: number = CORPUS_BATCHES): Promise<string> {
    const path = join(this.folder, `${shape.name}-${batches}.arrow`);
    if (this.#corpora.has(path)) return path;
    const amounts = ["--d", shape.dIn, "--rows", batches * shape.rows];
    const features = ["--features", 4 * shape.dIn, "--active", 16, "--noise", 0.05];
    await this.command("corpus", "generate", path, ...amounts.map(String), ...features.map(String));
    this.#corpora.add(path);
    return path;
  }

  /** Runs `sparseloom` with these words. Returns what it prints; rejects with its last words when it fails. */
  async command(...words: readonly string[]): Promise<string> {
    const child = spawn(process.execPath, [COMMAND, ...words], { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (text: string) => {
      stderr = (stderr + text).slice(-4000);
    });
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === 0) resolve(stdout);
      else {
        const end = signal ?? `status ${code}`;
        reject(new Error(`sparseloom ${words[0]} ended with ${end}: ${lastWords(stderr)}`));
      }
    });
    return await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off("SIGINT", this.#interrupted).off("SIGTERM", this.#interrupted);
    await rm(this.folder, { recursive: true });
  }
}

/** What is read of a line of metrics.jsonl. The rate is that of the one step: lines are logged after each. */
export interface StepLine {
  readonly activationsPerSecond: number;
  /** Milliseconds of training since the run began, over all sessions. */
  readonly elapsedMs: number;
  readonly l0: number;
  readonly loss: number;
}
