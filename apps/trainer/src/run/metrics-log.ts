/** `metrics.jsonl`: one JSON object per logged step, with means over the steps since the line before. */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  addSums,
  type Arena,
  emptySums,
  type Metrics,
  metricsOf,
  type RowSums,
  SUMMARY,
  SUMMARY_FIELDS,
} from "@sparseloom/core";
import { writeFileWhole } from "./write-folder.ts";

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
  /** Since the line before. */
  readonly activationsPerSecond: number;
  /** Milliseconds of training since the run began, over all sessions. */
  readonly elapsedMs: number;
}

export class MetricsLog implements AsyncDisposable {
  readonly #file: FileHandle;
  #sums: RowSums = emptySums();
  #loss = 0;
  #steps = 0;
  #examples = 0;
  #dead = 0;
  #learningRate = 0;
  #lastSeconds = 0;

  /** The last line written, by this session or an earlier one. */
  last: StepMetrics | undefined;

  private constructor(file: FileHandle, examples: number, last: StepMetrics | undefined) {
    this.#file = file;
    this.#examples = examples;
    this.last = last;
  }

  /** Opens the log; lines after `step`, from a session that got further than its last checkpoint, are removed. */
  static async open(runDirectory: string, step: number, examples: number): Promise<MetricsLog> {
    const path = join(runDirectory, "metrics.jsonl");
    let last: StepMetrics | undefined;
    if (step > 0) {
      const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return "";
        throw error;
      });
      const kept = text.split("\n").filter((line) => {
        // The last line may have been cut off by a crash.
        const found = /^\{"step":(\d+),.*\}$/.exec(line);
        return found !== null && Number(found[1]) <= step;
      });
      const newest = kept.at(-1);
      if (newest !== undefined) last = JSON.parse(newest) as StepMetrics;
      await writeFileWhole(path, [new TextEncoder().encode(kept.map((line) => `${line}\n`).join(""))]);
    }
    return new MetricsLog(await open(path, "a"), examples, last);
  }

  /** Adds a completed step, whose summary is in `slot`. */
  add(arena: Arena, slot: number): void {
    const at = slot * SUMMARY_FIELDS;
    const field = (index: number): number => arena.summaries[at + index] as number;
    addSums(this.#sums, arena, slot);
    this.#loss += field(SUMMARY.loss);
    this.#steps++;
    this.#examples += field(SUMMARY.rows);
    this.#dead = field(SUMMARY.dead);
    this.#learningRate = field(SUMMARY.learningRate);
  }

  /** Writes the line for the steps added since the last one. `seconds`: of this session; `before`: of earlier ones. */
  async write(step: number, seconds: number, before: number): Promise<StepMetrics> {
    const metrics: StepMetrics = {
      step,
      examples: this.#examples,
      loss: this.#loss / this.#steps,
      ...metricsOf(this.#sums),
      dead: this.#dead,
      learningRate: this.#learningRate,
      activationsPerSecond: Math.round(this.#sums.rows / (seconds - this.#lastSeconds)),
      elapsedMs: Math.round(1000 * (before + seconds)),
    };
    await this.#file.write(`${JSON.stringify(metrics)}\n`);
    this.#sums = emptySums();
    this.#loss = 0;
    this.#steps = 0;
    this.#lastSeconds = seconds;
    this.last = metrics;
    return metrics;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
