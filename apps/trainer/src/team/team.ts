/**
 * The worker team as the main thread sees it: for each model a ring of mini-batch slots going in, completed steps
 * coming out. All workers are at one model's step at a time, in the order in which steps were published.
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
import { hintOfWorker, RunError } from "../errors.ts";
import { adviseHugePages } from "./huge-pages.ts";
import {
  JOB_RING,
  type JoinTask,
  MOST_MODELS,
  type PlannedMemory,
  PROGRESS_STRIDE,
  STOPPED,
  TEAM,
} from "./protocol.ts";
// What workers load is compiled, and its types stripped, once for all of them: see program.ts.
import "./worker.ts";

/** A mini-batch's description, written into the arena for the workers. */
export interface Job {
  /** 0-based training step, for schedules. */
  readonly step: number;
  readonly rows: number;
  readonly examplesBefore: number;
  /** Train, or only encode, decode and measure. */
  readonly train: boolean;
  /** BatchTopK: select by the moving threshold, not over the mini-batch. Default false. */
  readonly byThreshold?: boolean;
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
  /** Ask the system for large pages, see huge-pages.ts. Default false. */
  readonly hugePages?: boolean;
}

const DEFAULT_STUCK_TIMEOUT_MS = 30_000;

/** The worker's file: source when run from source, its compiled sibling in a published package. */
const WORKER = new URL(`./worker${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url).href;

/** One model at work in a team. Jobs are counted per model. */
export interface ModelAtWork {
  readonly arena: Arena;
  /** Jobs published so far. */
  readonly published: number;
  /** Jobs whose steps are complete. */
  readonly completed: number;
  /** The slot that the next job uses, once the job that used it before is complete. */
  freeSlot(): Promise<number>;
  /** Hands the mini-batch in {@link freeSlot}'s slot to the workers. */
  publish(job: Job): void;
  /** Waits until at least `jobs` jobs are complete. Rejects with a RunError when the team is lost. */
  waitFor(jobs: number): Promise<void>;
}

/** A team; used as a {@link ModelAtWork} it is its first model, which is right where that is the only one. */
export class Team implements AsyncDisposable, ModelAtWork {
  /** All models, in the order of their plans. */
  readonly models: readonly ModelAtWork[];
  readonly arena: Arena;
  readonly #pool: Piscina;
  readonly #team: Int32Array;
  readonly #threads: number;
  readonly #stuckTimeoutMs: number;
  readonly #watch: NodeJS.Timeout;
  /** Why the team was lost; every wait looks at it. */
  #failure: Error | undefined;
  #published = 0;
  #leaving = false;
  readonly #workers: Promise<void>[];

  /**
   * Allocates memory for each plan and starts the workers. Initialise the arenas before the first {@link publish}.
   *
   * @param plans one model's, or those of at most MOST_MODELS models, all of one number of workers
   * @throws RunError when the machine does not give the memory
   * @throws RequestError where large pages are asked for and cannot be had
   */
  constructor(plans: Plan | readonly Plan[], options: TeamOptions = {}) {
    const all: readonly Plan[] = Array.isArray(plans) ? plans : [plans as Plan];
    const [plan] = all;
    if (all.length > MOST_MODELS || all.some(({ workers }) => workers !== plan.workers))
      throw new Error("internal: too many models for a team, or of different numbers of workers");
    const planned = allocate(all);
    if (options.hugePages === true) adviseHugePages(planned.map(({ memory }) => memory.buffer));
    const arenas = planned.map((one) => openArena(one.plan, one.memory.buffer));
    this.arena = arenas[0];
    this.#team = this.arena.team;
    this.#threads = plan.workers;
    this.models = arenas.map((arena, model) => new QueueOfModel(arena, this, () => this.#hand(model)));
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
      this.#start({ rank, workers: plan.workers, models: planned, kernels, wideSimd, spin }),
    );
    this.#stuckTimeoutMs = options.stuckTimeoutMs ?? DEFAULT_STUCK_TIMEOUT_MS;
    this.#watch = this.#watchProgress(this.#stuckTimeoutMs);
  }

  /** Jobs published so far, of all models. */
  get published(): number {
    return this.#published;
  }

  /** Jobs whose steps are complete, of all models. */
  get completed(): number {
    return Atomics.load(this.#team, TEAM.completed);
  }

  async freeSlot(): Promise<number> {
    return await this.models[0].freeSlot();
  }

  publish(job: Job): void {
    this.models[0].publish(job);
  }

  /** Publishes a job whose mini-batch and description are in the model's arena. Returns its number. */
  #hand(model: number): number {
    const number = this.#published++;
    Atomics.store(this.#team, TEAM.models + (number % JOB_RING), model);
    // Stored after the mini-batch and its description: a worker that sees it sees them.
    Atomics.store(this.#team, TEAM.published, this.#published);
    Atomics.notify(this.#team, TEAM.published);
    return number;
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

  /** Bytes of used heap of each worker after a forced collection. For checks of leaks: it stops them for a moment. */
  async usedHeaps(): Promise<number[]> {
    return await Promise.all(
      this.#pool.threads.map(async (thread) => {
        // Collects all garbage first; the snapshot itself is of no interest.
        for await (const _ of await thread.getHeapSnapshot());
        return (await thread.getHeapStatistics()).used_heap_size;
      }),
    );
  }

  async #start(task: JoinTask): Promise<void> {
    try {
      await this.#pool.run(task);
      if (!this.#leaving) throw new Error("it left before the run was over");
    } catch (error) {
      if (this.#leaving) return;
      const reason = error instanceof Error ? error.message + hintOfWorker(error.message) : String(error);
      this.#fail(
        new RunError(`worker ${task.rank} of ${task.workers} was lost: ${reason}`, { cause: error }),
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
      for (let rank = 0; rank < this.#threads; rank++) {
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

/** A model's jobs among those of the team. */
class QueueOfModel implements ModelAtWork {
  readonly arena: Arena;
  readonly #team: Pick<Team, "completed" | "waitFor">;
  readonly #hand: () => number;
  /** The team's numbers of this model's jobs that were not complete when last looked at. */
  readonly #open: number[] = [];
  #published = 0;

  /** @param hand publishes a job that is in the arena, and returns the team's number of it */
  constructor(arena: Arena, team: Pick<Team, "completed" | "waitFor">, hand: () => number) {
    this.arena = arena;
    this.#team = team;
    this.#hand = hand;
  }

  get published(): number {
    return this.#published;
  }

  get completed(): number {
    const { completed } = this.#team;
    while (this.#open.length > 0 && this.#open[0] < completed) this.#open.shift();
    return this.#published - this.#open.length;
  }

  async freeSlot(): Promise<number> {
    const { slots } = this.arena.plan;
    await this.waitFor(this.#published + 1 - slots);
    return this.#published % slots;
  }

  publish(job: Job): void {
    const { batches, plan } = this.arena;
    const at = (this.#published % plan.slots) * BATCH_FIELDS;
    batches[at + BATCH.step] = job.step;
    batches[at + BATCH.rows] = job.rows;
    batches[at + BATCH.examplesBefore] = job.examplesBefore;
    batches[at + BATCH.train] = job.train ? 1 : 0;
    batches[at + BATCH.byThreshold] = job.byThreshold === true ? 1 : 0;
    this.#published++;
    this.#open.push(this.#hand());
  }

  async waitFor(jobs: number): Promise<void> {
    const ahead = jobs - this.completed;
    // Also where there is nothing to wait for: a lost team is noticed.
    await this.#team.waitFor(ahead > 0 ? this.#open[ahead - 1] + 1 : 0);
  }
}

function allocate(plans: readonly Plan[]): PlannedMemory[] {
  try {
    return plans.map((plan) => ({ plan, memory: allocateMemory(plan, { shared: true }) }));
  } catch (error) {
    const bytes = plans.reduce((sum, plan) => sum + plan.byteLength, 0);
    const megabytes = Math.ceil(bytes / 2 ** 20).toLocaleString("en-US");
    const fewer = plans.length > 1 ? "fewer models at a time, " : "";
    throw new RunError(
      `the machine does not give the ${megabytes} MiB that the plan needs: take ${fewer}fewer --latents or a smaller --batch`,
      { cause: error },
    );
  }
}
