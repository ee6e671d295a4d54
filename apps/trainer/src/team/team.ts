/**
 * The worker team as the main thread sees it: a ring of mini-batch slots going in, completed steps coming out.
 * A dead, throwing or stuck worker aborts the whole team with an error; nobody hangs.
 */
import { availableParallelism } from "node:os";
import { setFlagsFromString } from "node:v8";
import {
  allocateMemory,
  type Arena,
  BATCH,
  BATCH_FIELDS,
  bestKernelVariant,
  type KernelVariant,
  openArena,
  type Plan,
} from "@sparseloom/core";
import { Piscina } from "piscina";
import { RunError } from "../errors.ts";
import { type JoinTask, PROGRESS_STRIDE, STOPPED, TEAM } from "./protocol.ts";

/** A mini-batch's description, written into the arena for the workers. */
export interface Job {
  /** 0-based training step, for schedules. */
  readonly step: number;
  readonly rows: number;
  readonly examplesBefore: number;
  /** Train, or only encode, decode and measure. */
  readonly train: boolean;
}

export interface TeamOptions {
  /** Milliseconds without progress of any worker after which the team counts as stuck. Default 30,000. */
  readonly stuckTimeoutMs?: number;
  /** Default: the fastest that this machine runs. */
  readonly kernels?: KernelVariant;
  /**
   * Let V8 join 128-bit operations into 256-bit ones (an experiment of V8's; the bits are the same). Sets a flag of
   * the whole process. Default false.
   */
  readonly wideSimd?: boolean;
}

const DEFAULT_STUCK_TIMEOUT_MS = 30_000;

/** The worker's file: source when run from source, its compiled sibling in a published package. */
const WORKER = new URL(`./worker${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url).href;

export class Team implements AsyncDisposable {
  readonly arena: Arena;
  readonly #pool: Piscina;
  readonly #team: Int32Array;
  readonly #stuckTimeoutMs: number;
  readonly #watch: NodeJS.Timeout;
  /** Why the team was lost; every wait looks at it. */
  #failure: Error | undefined;
  #published = 0;
  #leaving = false;
  readonly #workers: Promise<void>[];

  /**
   * Allocates the plan's memory and starts its workers. Initialise the arena before the first {@link publish}.
   *
   * @throws RunError when the machine does not give the memory
   */
  constructor(plan: Plan, options: TeamOptions = {}) {
    const memory = allocate(plan);
    this.arena = openArena(plan, memory.buffer);
    this.#team = this.arena.team;
    this.#pool = new Piscina({
      filename: WORKER,
      name: "join",
      minThreads: plan.workers,
      maxThreads: plan.workers,
      concurrentTasksPerWorker: 1,
      // Workers sleep on our own words, not on piscina's.
      atomics: "disabled",
      // Steps allocate next to nothing: a small young generation keeps a thread small.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    const kernels = options.kernels ?? bestKernelVariant();
    const wideSimd = options.wideSimd ?? false;
    // Before any worker compiles the kernels; threads share V8's flags.
    if (wideSimd) setFlagsFromString("--experimental-wasm-revectorize");
    const spin = plan.workers < availableParallelism();
    this.#workers = Array.from({ length: plan.workers }, (_, rank) =>
      this.#start({ rank, plan, memory, kernels, wideSimd, spin }),
    );
    this.#stuckTimeoutMs = options.stuckTimeoutMs ?? DEFAULT_STUCK_TIMEOUT_MS;
    this.#watch = this.#watchProgress(this.#stuckTimeoutMs);
  }

  /** Jobs published so far. */
  get published(): number {
    return this.#published;
  }

  /** Jobs whose steps are complete. */
  get completed(): number {
    return Atomics.load(this.#team, TEAM.completed);
  }

  /** The slot that the next job uses, once the job that used it before is complete. */
  async freeSlot(): Promise<number> {
    await this.waitFor(this.#published + 1 - this.arena.plan.slots);
    return this.#published % this.arena.plan.slots;
  }

  /** Hands the mini-batch in {@link freeSlot}'s slot to the workers. */
  publish(job: Job): void {
    const { batches, plan } = this.arena;
    const at = (this.#published % plan.slots) * BATCH_FIELDS;
    batches[at + BATCH.step] = job.step;
    batches[at + BATCH.rows] = job.rows;
    batches[at + BATCH.examplesBefore] = job.examplesBefore;
    batches[at + BATCH.train] = job.train ? 1 : 0;
    // Stored after the mini-batch and its description: a worker that sees it sees them.
    Atomics.store(this.#team, TEAM.published, ++this.#published);
    Atomics.notify(this.#team, TEAM.published);
  }

  /** Waits until at least `jobs` jobs are complete. Rejects with a {@link RunError} when the team is lost. */
  async waitFor(jobs: number): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const { completed } = this;
      if (completed >= jobs) return;
      // A lost team notifies this word, too, without changing it.
      const wait = Atomics.waitAsync(this.#team, TEAM.completed, completed);
      if (wait.async) await wait.value;
    }
  }

  /**
   * Stops the workers when all published jobs are complete, and waits for them to leave.
   *
   * @throws RunError when the team is lost, or a worker does not leave within the stuck timeout
   */
  async stop(): Promise<void> {
    await this.waitFor(this.#published);
    this.#leaving = true;
    clearInterval(this.#watch);
    Atomics.store(this.#team, TEAM.published, STOPPED);
    Atomics.notify(this.#team, TEAM.published);
    const seconds = this.#stuckTimeoutMs / 1000;
    const patience = setTimeout(() => {
      this.#fail(
        new RunError(`the workers are stuck: not all have left after ${seconds} s (--stuck-timeout)`),
      );
    }, this.#stuckTimeoutMs);
    await Promise.all(this.#workers);
    clearTimeout(patience);
    if (this.#failure !== undefined) throw this.#failure;
    await this.#pool.destroy();
  }

  /** Ends the workers at once, whatever they are doing. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort();
    await this.#pool.destroy();
  }

  /** Kills a worker thread, as the operating system might. For tests of what happens then. */
  async killWorker(rank: number): Promise<void> {
    await this.#pool.threads[rank]?.terminate();
  }

  async #start(task: JoinTask): Promise<void> {
    try {
      await this.#pool.run(task);
      if (!this.#leaving) throw new Error("it left before the run was over");
    } catch (error) {
      if (this.#leaving) return;
      const reason = error instanceof Error ? error.message : String(error);
      this.#fail(
        new RunError(`worker ${task.rank} of ${task.plan.workers} was lost: ${reason}`, { cause: error }),
      );
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#abort();
  }

  #abort(): void {
    this.#leaving = true;
    clearInterval(this.#watch);
    Atomics.store(this.#team, TEAM.aborted, 1);
    for (const word of [TEAM.published, TEAM.generation, TEAM.completed]) Atomics.notify(this.#team, word);
  }

  /** Stuck means that work is published and no rank finishes a block for the whole timeout, however long a step is. */
  #watchProgress(timeoutMs: number): NodeJS.Timeout {
    const every = Math.min(1000, timeoutMs / 4);
    let seen = -1;
    let idle = 0;
    let looked = performance.now();
    return setInterval(() => {
      // A process that was suspended (Ctrl-Z, a paused machine) finds the clock far on and its workers innocent.
      const now = performance.now();
      const passed = Math.min(now - looked, 2 * every);
      looked = now;
      let progress = this.completed;
      for (let rank = 0; rank < this.arena.plan.workers; rank++) {
        progress += Atomics.load(this.#team, TEAM.progress + PROGRESS_STRIDE * rank);
      }
      if (progress !== seen || this.completed === this.#published) {
        seen = progress;
        idle = 0;
      } else if ((idle += passed) > timeoutMs) {
        this.#fail(
          new RunError(
            `the workers are stuck: none has made progress for ${timeoutMs / 1000} s (--stuck-timeout)`,
          ),
        );
      }
    }, every);
  }
}

function allocate(plan: Plan): ReturnType<typeof allocateMemory> {
  try {
    return allocateMemory(plan, { shared: true });
  } catch (error) {
    const megabytes = Math.ceil(plan.byteLength / 2 ** 20).toLocaleString("en-US");
    throw new RunError(
      `the machine does not give the ${megabytes} MiB that the plan needs: take fewer --latents or a smaller --batch`,
      { cause: error },
    );
  }
}
