/** Threads that make the rows of a synthetic corpus, while the workers train on those made before. */
import type { KnownFeatures, RowMaker } from "@sparseloom/data";
import { Piscina } from "piscina";
import { RunError } from "../errors.ts";
import type { GeneratorData, GeneratorTask } from "./protocol.ts";

/** The thread's file: source when run from source, its compiled sibling in a published package. */
const WORKER = new URL(`./worker${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url).href;

/** Rows of a task: at 30 µs a row a few times the 70 µs that handing over a task takes, and still many to a block. */
const ROWS_OF_TASK = 32;

export class GeneratorThreads implements RowMaker {
  readonly #pool: Piscina;
  readonly #dIn: number;
  #closed = false;

  /** @param known opened with as many `threads` */
  constructor(known: KnownFeatures, threads: number) {
    const data: GeneratorData = {
      model: known.model.options,
      tables: known.tables,
      next: new Int32Array(new SharedArrayBuffer(4)),
    };
    this.#dIn = known.model.options.dIn;
    this.#pool = new Piscina({
      filename: WORKER,
      name: "make",
      workerData: data,
      minThreads: threads,
      maxThreads: threads,
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
  }

  async make(into: Float32Array, firstRow: number, rows: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    // Windows lie in memory of one thread: the rows come by way of memory that both sides see.
    const shared = into.buffer instanceof SharedArrayBuffer;
    const rowBytes = 4 * this.#dIn;
    const slots =
      into.buffer instanceof SharedArrayBuffer ? into.buffer : new SharedArrayBuffer(rows * rowBytes);
    const base = shared ? into.byteOffset : 0;
    const tasks: Promise<void>[] = [];
    for (let row = 0; row < rows; row += ROWS_OF_TASK) {
      const task: GeneratorTask = {
        slots,
        offset: base + row * rowBytes,
        firstRow: firstRow + row,
        rows: Math.min(ROWS_OF_TASK, rows - row),
      };
      tasks.push(this.#pool.run(task) as Promise<void>);
    }
    const failed = (await Promise.allSettled(tasks)).find((task) => task.status === "rejected");
    signal?.throwIfAborted();
    if (failed !== undefined) {
      const reason = failed.reason instanceof Error ? failed.reason.message : String(failed.reason);
      throw new RunError(`a generator thread was lost: ${reason}`, { cause: failed.reason });
    }
    if (!shared) into.set(new Float32Array(slots));
  }

  /** Ends the threads. Safe to call twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#pool.destroy();
  }
}
