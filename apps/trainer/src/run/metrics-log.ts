/** `metrics.jsonl`: one JSON object per logged step, with means over the steps since the line before. */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  addSums,
  ARCHITECTURES,
  type Arena,
  emptySums,
  type Metrics,
  metricsOf,
  type RowSums,
  type Setup,
  SUMMARY,
  SUMMARY_FIELDS,
} from "@sparseloom/core";
import type { RunConfig } from "./config.ts";
import { isEvaluatedAt } from "./evaluation-steps.ts";
import { writeFileWhole } from "./write-folder.ts";

/** What was measured on held-out rows, in the run's scaled units. */
export interface HeldOutMetrics extends Metrics {
  readonly rows: number;
  /** mse plus the weighted penalty; of Matryoshka the mean of its prefixes' mse. Without auxiliary losses of training. */
  readonly loss: number;
  /**
   * BatchTopK: the same rows with latents selected over mini-batches, as of the training rows. All else is by the moving
   * threshold, once there is one.
   */
  readonly overBatch?: Metrics;
}

/** A line of `metrics.jsonl`. Numbers that do not exist yet are NaN, and null in JSON. */
export interface StepMetrics extends Metrics {
  /** Steps taken. */
  readonly step: number;
  /** Examples trained on. */
  readonly examples: number;
  readonly loss: number;
  /** Latents without activation in the dead window. */
  readonly dead: number;
  readonly learningRate: number;
  /** λ of the L1 penalty as warmed up and adapted; absent where there is no such penalty. */
  readonly l1?: number;
  /** Power of the activations in the penalty; absent without p-annealing. */
  readonly p?: number;
  /** Latents selected per row; absent without k-annealing. */
  readonly k?: number;
  /** The largest norm of a step's gradients since the line before, before they were clipped; absent where they are not. */
  readonly gradientNorm?: number;
  /** Of the model after this very step; absent where it was not measured then. */
  readonly heldOut?: HeldOutMetrics;
  /** Since the line before. */
  readonly activationsPerSecond: number;
  /** Milliseconds of training since the run began, over all sessions. */
  readonly elapsedMs: number;
}

/**
 * Steps that are not in a line yet. A checkpoint keeps them, so that the line after a resume has the same means
 * as that of a run that never stopped.
 */
export interface PendingMetrics {
  readonly steps: number;
  /** Sum of the steps' losses. */
  readonly loss: number;
  readonly sums: Readonly<RowSums>;
  /** Of the last step, as all to `k`. */
  readonly dead: number;
  readonly learningRate: number;
  readonly l1: number;
  readonly p: number;
  readonly k: number;
  /** The largest so far; 0 where gradients are not clipped. */
  readonly gradientNorm: number;
}

type LatestMetrics = Pick<PendingMetrics, "dead" | "learningRate" | "l1" | "p" | "k">;

/** Where a log goes on. */
export interface LogStart {
  /** Steps taken. */
  readonly step: number;
  /** Examples trained on. */
  readonly examples: number;
  readonly pending: PendingMetrics;
}

/** Nothing pending: a run's beginning. */
export const NOTHING_PENDING: PendingMetrics = {
  steps: 0,
  loss: 0,
  sums: emptySums(),
  dead: 0,
  learningRate: 0,
  l1: 0,
  p: 1,
  k: 0,
  gradientNorm: 0,
};

/** Whether a run's lines have the field. */
interface Shown {
  readonly l1: boolean;
  readonly p: boolean;
  readonly k: boolean;
}

function shownOf({ model, training }: Setup): Shown {
  const penalty = model.kind === "deep" ? "l1" : ARCHITECTURES[model.architecture].penalty;
  return {
    l1: penalty === "l1" && training.l1Coefficient.peak > 0,
    p: training.pAnneal !== undefined,
    k: training.kAnneal !== undefined,
  };
}

/** What pending steps have of the last one alone. */
function latestOf({ dead, learningRate, l1, p, k }: PendingMetrics): LatestMetrics {
  return { dead, learningRate, l1, p, k };
}

/** A line of the log; undefined where it was cut off by a crash. */
function metricsOfLine(line: string): StepMetrics | undefined {
  if (!/^\{"step":\d+,.*\}$/.test(line)) return undefined;
  try {
    return JSON.parse(line) as StepMetrics;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

export class MetricsLog implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #shown: Shown;
  #sums: RowSums;
  #loss: number;
  #steps: number;
  #examples: number;
  /** Of the last step. */
  #latest: LatestMetrics;
  #gradientNorm: number;
  #lastSeconds = 0;
  /** Rows trained on in this session since the last line: what the speed is measured by. */
  #timedRows = 0;

  /** The last line written, by this session or an earlier one. */
  last: StepMetrics | undefined;
  /** The last of them that has held-out rows measured. */
  #lastEvaluated: StepMetrics | undefined;

  private constructor(file: FileHandle, shown: Shown, start: LogStart, lines: readonly StepMetrics[]) {
    const last = lines.at(-1);
    this.#file = file;
    this.#shown = shown;
    this.#examples = start.examples;
    const { pending } = start;
    // A checkpoint may be of before the line of its step, if what that was to measure was interrupted.
    const written = last?.step === start.step;
    const { steps, loss, sums, gradientNorm, ...latest } = written
      ? { ...NOTHING_PENDING, ...latestOf(pending) }
      : pending;
    this.#steps = steps;
    this.#loss = loss;
    this.#sums = { ...sums };
    this.#latest = latest;
    this.#gradientNorm = gradientNorm;
    this.last = last;
    this.#lastEvaluated = lines.findLast(({ heldOut }) => heldOut !== undefined);
  }

  /**
   * Opens the log of a run that stands at `start`. Lines that a run without stops would not have are removed: those
   * after `start.step`, from a session that got further than its last checkpoint, and the last line of a session
   * that stopped between two multiples of `--log-every`, or before held-out rows were measured, whose steps are pending
   * again.
   */
  static async open(runDirectory: string, config: RunConfig, start: LogStart): Promise<MetricsLog> {
    const { logEvery } = config.options;
    const path = join(runDirectory, "metrics.jsonl");
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return "";
      throw error;
    });
    const kept = text.split("\n").flatMap((line) => {
      const metrics = metricsOfLine(line);
      if (metrics === undefined || metrics.step > start.step) return [];
      const whole = isEvaluatedAt(config, metrics.step)
        ? metrics.heldOut !== undefined
        : metrics.step % logEvery === 0;
      return whole ? [{ line, metrics }] : [];
    });
    await writeFileWhole(path, [new TextEncoder().encode(kept.map(({ line }) => `${line}\n`).join(""))]);
    const lines = kept.map(({ metrics }) => metrics);
    return new MetricsLog(await open(path, "a"), shownOf(config.setup), start, lines);
  }

  /** The steps added since the last line. */
  get pending(): PendingMetrics {
    return {
      steps: this.#steps,
      loss: this.#loss,
      sums: { ...this.#sums },
      ...this.#latest,
      gradientNorm: this.#gradientNorm,
    };
  }

  /** Makes all lines durable. */
  async flush(): Promise<void> {
    await this.#file.sync();
  }

  /** Adds a completed step, whose summary is in `slot`. */
  add(arena: Arena, slot: number): void {
    const at = slot * SUMMARY_FIELDS;
    const field = (index: number): number => arena.summaries[at + index] as number;
    addSums(this.#sums, arena, slot);
    this.#loss += field(SUMMARY.loss);
    this.#steps++;
    this.#examples += field(SUMMARY.rows);
    this.#timedRows += field(SUMMARY.rows);
    this.#latest = {
      dead: field(SUMMARY.dead),
      learningRate: field(SUMMARY.learningRate),
      l1: field(SUMMARY.penalty),
      p: field(SUMMARY.power),
      k: field(SUMMARY.k),
    };
    this.#gradientNorm = Math.max(this.#gradientNorm, field(SUMMARY.gradientNorm));
  }

  /** The last measurement on held-out rows, and the step after which it was made. */
  get lastEvaluation(): (HeldOutMetrics & { readonly step: number }) | undefined {
    const { step, heldOut } = this.#lastEvaluated ?? {};
    return step === undefined || heldOut === undefined ? undefined : { step, ...heldOut };
  }

  /** The next line's speed is measured from `seconds` of this session on; no step was taken since the last one. */
  skipTime(seconds: number): void {
    this.#lastSeconds = seconds;
  }

  /**
   * Writes the line for the steps added since the last one.
   *
   * @param seconds of this session
   * @param before seconds of earlier ones
   * @param heldOut measured after `step`
   */
  async write(step: number, seconds: number, before: number, heldOut?: HeldOutMetrics): Promise<StepMetrics> {
    const { dead, learningRate, l1, p, k } = this.#latest;
    const metrics: StepMetrics = {
      step,
      examples: this.#examples,
      loss: this.#loss / this.#steps,
      ...metricsOf(this.#sums),
      dead,
      learningRate,
      ...(this.#shown.l1 ? { l1 } : {}),
      ...(this.#shown.p ? { p } : {}),
      ...(this.#shown.k ? { k } : {}),
      ...(this.#gradientNorm > 0 ? { gradientNorm: this.#gradientNorm } : {}),
      ...(heldOut === undefined ? {} : { heldOut }),
      activationsPerSecond:
        this.#timedRows === 0 ? 0 : Math.round(this.#timedRows / (seconds - this.#lastSeconds)),
      elapsedMs: Math.round(1000 * (before + seconds)),
    };
    await this.#file.write(`${JSON.stringify(metrics)}\n`);
    this.#sums = emptySums();
    this.#loss = 0;
    this.#steps = 0;
    this.#gradientNorm = 0;
    this.#timedRows = 0;
    this.#lastSeconds = seconds;
    this.last = metrics;
    if (heldOut !== undefined) this.#lastEvaluated = metrics;
    return metrics;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
