/** One run in the training loop: its steps going out to the team, what comes back, its log and its checkpoints. */
import { basename } from "node:path";
import { type KernelVariant, SUMMARY, SUMMARY_FIELDS } from "@sparseloom/core";
import type { Corpus, StreamPosition } from "@sparseloom/data";
import { DivergedError } from "./errors.ts";
import { type HeldOutSample, measureHeldOut } from "./held-out-sample.ts";
import type { TrainOptions } from "./options.ts";
import { type RunState, saveCheckpoint, variantsOf } from "./run/checkpoint.ts";
import type { RunConfig } from "./run/config.ts";
import type { RunLock } from "./run/lock.ts";
import { isEvaluatedAt } from "./run/evaluation-steps.ts";
import { type HeldOutMetrics, MetricsLog, type StepMetrics } from "./run/metrics-log.ts";
import type { ScreeningReport } from "./run/result.ts";
import { ScreeningLog } from "./screening-log.ts";
import type { ModelAtWork } from "./team/team.ts";

/** A run that a session goes on with. The model's arena holds the parameters of `start`. */
export interface Run {
  readonly runDirectory: string;
  readonly config: RunConfig;
  readonly model: ModelAtWork;
  readonly start: RunState;
  readonly lock: RunLock;
}

/** What a trainee shares with the others of its session. */
export interface Surroundings {
  readonly options: TrainOptions;
  readonly corpus: Corpus;
  readonly kernels: KernelVariant;
  /** Called for each line of the log. */
  readonly onMetrics: ((metrics: StepMetrics, config: RunConfig) => void) | undefined;
}

export class Trainee implements AsyncDisposable {
  readonly run: Run;
  readonly log: MetricsLog;
  /** Steps that were handed to the team, over all sessions. */
  step: number;
  /** Examples of these steps. */
  examples: number;
  readonly #around: Surroundings;
  readonly #screening: ScreeningLog;
  /** Global index of the first row of the mini-batch in each slot, to name its source. */
  readonly #firstRowIds: Float64Array;
  /** Steps whose summaries have been taken in. */
  #seen: number;
  /** Jobs of the model in this session that were no training steps. */
  #otherJobs = 0;
  #began: number | undefined;
  /** Seconds of training in this session when all steps were last complete. */
  #settledAt = 0;

  private constructor(run: Run, log: MetricsLog, around: Surroundings) {
    this.run = run;
    this.log = log;
    this.step = run.start.step;
    this.examples = run.start.examples;
    this.#seen = run.start.step;
    this.#screening = new ScreeningLog(run.start.screening);
    this.#around = around;
    this.#firstRowIds = new Float64Array(run.model.arena.plan.slots);
  }

  /** Opens the run's log; the rest is there. */
  static async open(run: Run, around: Surroundings): Promise<Trainee> {
    const log = await MetricsLog.open(run.runDirectory, run.config, run.start);
    return new Trainee(run, log, around);
  }

  /** Seconds of training in this session. */
  get seconds(): number {
    return this.#began === undefined ? 0 : (performance.now() - this.#began) / 1000;
  }

  get screening(): ScreeningReport | undefined {
    return this.run.model.arena.plan.encoder === "screened" ? this.#screening.report() : undefined;
  }

  /** Kernel variants of all sessions of the run that took steps, in order. */
  get kernelVariants(): readonly string[] {
    const { start, config } = this.run;
    const earlier = variantsOf(start, config.kernelVariant);
    return this.step > start.step ? [...new Set([...earlier, this.#around.kernels])] : earlier;
  }

  /** Starts the clock, unless it runs already. */
  begin(): void {
    this.#began ??= performance.now();
  }

  /** Hands the mini-batch in `slot` to the team. */
  publish(slot: number, rows: number, firstRowId: number): void {
    this.#firstRowIds[slot] = firstRowId;
    this.run.model.publish({ step: this.step, rows, examplesBefore: this.examples, train: true });
    this.step++;
    this.examples += rows;
  }

  /**
   * Takes in the summaries of completed steps, in order.
   *
   * @throws DivergedError when a loss is not a number
   */
  async takeIn(): Promise<void> {
    const { model, start } = this.run;
    const { arena } = model;
    const { logEvery } = this.#around.options;
    for (const until = start.step + model.completed - this.#otherJobs; this.#seen < until; this.#seen++) {
      const slot = (this.#seen - start.step + this.#otherJobs) % arena.plan.slots;
      this.#checkLoss(slot);
      this.log.add(arena, slot);
      this.#screening.add(arena, slot);
      const taken = this.#seen + 1;
      // The line of a step after which the model is measured waits for that.
      if (taken % logEvery === 0 && !isEvaluatedAt(this.run.config, taken)) await this.#writeMetrics(taken);
    }
  }

  /** Says that `count` jobs of the settled run's model, all complete, were no training steps. */
  skipJobs(count: number): void {
    this.#otherJobs += count;
  }

  /** Waits for all its steps and takes them in. Then the arena and the step belong together. */
  async settle(): Promise<void> {
    await this.run.model.waitFor(this.run.model.published);
    await this.takeIn();
    this.#settledAt = this.seconds;
  }

  /** Whether the model of the step that the run stands at is to be measured on held-out rows, and has not been. */
  get isToBeEvaluated(): boolean {
    return isEvaluatedAt(this.run.config, this.step) && this.log.lastEvaluation?.step !== this.step;
  }

  /**
   * Measures the settled run on held-out rows, and writes the line of its step. Asked to stop, it leaves the line for
   * another session.
   *
   * @throws DivergedError when the model's output is not a number
   */
  async evaluate(sample: HeldOutSample, signal: AbortSignal | undefined): Promise<void> {
    const { model } = this.run;
    const { published } = model;
    const heldOut = await measureHeldOut(model, sample, this, signal);
    this.skipJobs(model.published - published);
    if (heldOut !== undefined) await this.#writeMetrics(this.step, this.#settledAt, heldOut);
  }

  /** Says that all models of the session are measured: the time since this one's line is none of its next steps'. */
  endEvaluation(): void {
    if (this.log.pending.steps === 0) this.log.skipTime(this.seconds);
  }

  /** Where the run stands, once it is settled. */
  state(position: StreamPosition): RunState {
    return {
      step: this.step,
      examples: this.examples,
      position,
      seconds: this.run.start.seconds + this.seconds,
      pending: this.log.pending,
      screening: this.#screening.sums,
      kernelVariants: this.kernelVariants,
    };
  }

  /**
   * Saves a checkpoint. Needs a settled run.
   *
   * @throws DivergedError when a parameter is not a number
   */
  async save(position: StreamPosition): Promise<void> {
    const { runDirectory, lock, model } = this.run;
    // No checkpoint is ahead of the log.
    await this.log.flush();
    await lock.check();
    const { keepCheckpoints } = this.#around.options;
    await saveCheckpoint(runDirectory, model.arena, this.state(position), keepCheckpoints);
  }

  /** Writes a line for the steps since the last one, if there are any. Needs a settled run; what was saved since takes no time of theirs. */
  async finishLog(): Promise<void> {
    if (this.log.pending.steps > 0) await this.#writeMetrics(this.step, this.#settledAt);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log[Symbol.asyncDispose]();
  }

  async #writeMetrics(
    steps: number,
    seconds: number = this.seconds,
    heldOut?: HeldOutMetrics,
  ): Promise<void> {
    const metrics = await this.log.write(steps, seconds, this.run.start.seconds, heldOut);
    this.#around.onMetrics?.(metrics, this.run.config);
  }

  /** NaN or Infinity in a loss stops the run before anything is saved. */
  #checkLoss(slot: number): void {
    const { summaries } = this.run.model.arena;
    const loss = summaries[slot * SUMMARY_FIELDS + SUMMARY.loss];
    if (Number.isFinite(loss)) return;
    const { path, batch, row, position } = this.#around.corpus.locate(this.#firstRowIds[slot]);
    const from = `batch ${batch}, row ${row}${position === undefined ? "" : `, position ${position}`}`;
    throw new DivergedError(
      `the loss of step ${this.#seen} is ${loss} (mini-batch from ${basename(path)}, ${from} on): ` +
        `try a smaller --lr`,
    );
  }
}
