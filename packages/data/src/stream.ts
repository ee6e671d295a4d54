/**
 * The stream of training rows: shuffled over the whole corpus without reading the whole corpus, transformed, and
 * restorable from three numbers. Knows nothing of models; starts no threads.
 *
 * Two windows of rows (see shuffle.ts) are held: one is delivered while the next is read.
 */
import { setImmediate } from "node:timers/promises";
import PQueue from "p-queue";
import type { Corpus } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { isRemote as isRemotePath } from "./remote/address.ts";
import { planWindows, WindowPlanner } from "./shuffle.ts";
import type { WindowOptions, WindowPlan } from "./shuffle.ts";
import { resolveSplit } from "./split.ts";
import type { SplitOptions } from "./split.ts";
import { wholeTransform } from "./transform.ts";
import type { RowTransform } from "./transform.ts";
import { Window } from "./window.ts";

/** A place in a stream: with the same corpus and options it restores the rest exactly. Plain JSON. */
export interface StreamPosition {
  /** Epochs completed. */
  readonly epoch: number;
  /** Windows of the epoch completed. */
  readonly window: number;
  /** Rows of the window delivered. */
  readonly offset: number;
}

/** Options of a `RowStream`. */
export interface RowStreamOptions extends SplitOptions, WindowOptions {
  /** How often to run through the corpus; `Infinity` never ends. Default: 1. */
  readonly epochs?: number | undefined;
  /** Where to continue. Default: the start. */
  readonly from?: StreamPosition | undefined;
  /** What to do to each row. Default: nothing. */
  readonly transform?: RowTransform | undefined;
}

/** Local files are read by the 4 threads of libuv; remote ones take longer to answer than to send. */
const LOCAL_READS_IN_FLIGHT = 4;
const REMOTE_READS_IN_FLIGHT = 8;

/** Delivered between two turns of the event loop, 0.2 ms: it is what starts the next reads. */
const BYTES_AT_A_TIME = 1024 * 1024;

/** A window being read, or read. */
interface Loading {
  readonly memory: Window;
  /** Settles when the window is filled, or could not be; its error is reported by the next `fill`. */
  readonly done: Promise<void>;
  /** What came of it; undefined while it is read. */
  outcome: "filled" | { readonly error: unknown } | undefined;
}

/** Delivers rows. Close it before closing its corpus. */
export class RowStream implements AsyncDisposable {
  readonly #corpus: Corpus;
  readonly #planner: WindowPlanner;
  readonly #epochs: number;
  readonly #rowsAtATime: number;
  readonly #queue: PQueue;
  readonly #abort: AbortController = new AbortController();
  readonly #memories: readonly [Window, Window];
  #epoch: number;
  #window: number;
  #offset: number;
  #current: Loading | undefined;
  #next: Loading | undefined;
  #failure: { readonly error: unknown } | undefined;
  /** Rows delivered since the last time that an epoch began, to notice a split without rows. */
  #rowsInEpoch = 0;
  #sawWholeEpoch: boolean;
  /** Whose filtered rows have been counted. */
  #counted: Loading | undefined;
  #filteredRows = 0;
  #busy = false;
  #closed = false;

  /**
   * Prepares a stream; the first reads start with the first `fill`.
   * @throws CorpusError invalid-option, no-label-column, unsupported; RangeError for a mean of another dimension.
   */
  constructor(corpus: Corpus, options: RowStreamOptions) {
    const { epochs = 1 } = options;
    const plan = planWindows(corpus, options);
    if (epochs !== Infinity && !(Number.isInteger(epochs) && epochs >= 0)) {
      throw new CorpusError("invalid-option", `epochs must be a whole number or Infinity, got ${epochs}`);
    }
    this.#corpus = corpus;
    this.#planner = new WindowPlanner(corpus, plan, resolveSplit(corpus, options), options.seed);
    const isRemote = corpus.files.some(({ path }) => isRemotePath(path));
    this.#queue = new PQueue({ concurrency: isRemote ? REMOTE_READS_IN_FLIGHT : LOCAL_READS_IN_FLIGHT });
    this.#epochs = epochs;
    this.#rowsAtATime = Math.max(1, Math.floor(BYTES_AT_A_TIME / (4 * corpus.dIn)));
    this.#memories = allocateWindows(corpus, plan, options.transform);
    const from = checkPosition(options.from ?? { epoch: 0, window: 0, offset: 0 }, plan.windowsPerEpoch);
    this.#epoch = from.epoch;
    this.#window = from.window;
    this.#offset = from.offset;
    this.#sawWholeEpoch = from.window === 0 && from.offset === 0;
  }

  /** How the corpus is cut into windows. */
  get windows(): WindowPlan {
    return this.#planner.plan;
  }

  /** The place after the last row that `fill` delivered. */
  get position(): StreamPosition {
    return { epoch: this.#epoch, window: this.#window, offset: this.#offset };
  }

  /** Rows that filters left out of the windows that rows were delivered from so far, by this stream. */
  get filteredRows(): number {
    return this.#filteredRows;
  }

  /**
   * Writes the next rows, running on across windows and epochs.
   * @param into receives `[rows, dIn]`; any memory, also shared.
   * @param rows how many.
   * @param rowIds receives the global index of each row.
   * @param signal ends the wait for rows that are still being read.
   * @returns how many were written: fewer than asked only at the end of the last epoch, then 0.
   * @throws CorpusError non-finite, with file, batch and row; read errors; the signal's reason. A stream that threw is
   * at its end, and its position is that after the last `fill` that did not throw.
   */
  async fill(into: Float32Array, rows: number, rowIds?: Float64Array, signal?: AbortSignal): Promise<number> {
    if (!Number.isInteger(rows) || rows < 0 || into.length < rows * this.#corpus.dIn) {
      const what = `${rows} rows of ${this.#corpus.dIn} numbers do not fit an array of ${into.length}`;
      throw new RangeError(what);
    }
    if (rowIds !== undefined && rowIds.length < rows) {
      throw new RangeError(`${rows} row indices do not fit an array of ${rowIds.length}`);
    }
    if (this.#busy) throw new Error("RowStream.fill was called while another fill was running");
    if (this.#closed) throw new Error("RowStream.fill was called after close");
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#busy = true;
    const { epoch, window, offset } = this.position;
    try {
      signal?.throwIfAborted();
      return await this.#fill(into, rows, rowIds, signal);
    } catch (error) {
      this.#failure = { error };
      this.#epoch = epoch;
      this.#window = window;
      this.#offset = offset;
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  /** Stops reading ahead and waits until no read is running. Safe to call twice. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#abort.abort(new Error("the row stream was closed"));
    await Promise.all([this.#current?.done, this.#next?.done]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #fill(
    into: Float32Array,
    rows: number,
    rowIds: Float64Array | undefined,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    let written = 0;
    while (written < rows && this.#epoch < this.#epochs) {
      const window = await this.#load(signal);
      if (this.#offset > window.rows) {
        const what = `the position names row ${this.#offset} of a window that has ${window.rows}; it belongs to other options or another corpus`;
        throw new CorpusError("invalid-option", what);
      }
      const take = Math.min(rows - written, window.rows - this.#offset, this.#rowsAtATime);
      this.#deliver(window, take, into, written, rowIds);
      written += take;
      this.#rowsInEpoch += take;
      this.#offset += take;
      if (this.#offset === window.rows) this.#advance();
      // Else no read that has ended is followed by another before this window is delivered.
      await setImmediate();
    }
    return written;
  }

  /** Copies `take` rows from the window's place on. */
  #deliver(
    window: Window,
    take: number,
    into: Float32Array,
    written: number,
    rowIds: Float64Array | undefined,
  ): void {
    const { dIn } = this.#corpus;
    const finite = window.gather(this.#offset, take, into, written * dIn);
    if (finite < take) {
      const to = (written + finite) * dIn;
      throw nonFinite(this.#corpus, window.rowId(this.#offset + finite), into.subarray(to, to + dIn));
    }
    if (rowIds === undefined) return;
    for (let i = 0; i < take; i++) rowIds[written + i] = window.rowId(this.#offset + i);
  }

  /** The window of the current place, and the next one under way. */
  async #load(signal: AbortSignal | undefined): Promise<Window> {
    if (this.#current === undefined) {
      const ahead = this.#next;
      this.#next = undefined;
      this.#current = ahead ?? this.#start(this.#epoch, this.#window, this.#memories[0]);
    }
    if (this.#current.outcome === undefined) await settled(this.#current.done, signal);
    const { outcome } = this.#current;
    if (typeof outcome === "object") throw outcome.error;
    if (this.#counted !== this.#current) {
      this.#counted = this.#current;
      this.#filteredRows += this.#current.memory.filteredRows;
    }
    if (this.#next === undefined) {
      const place = this.#following(this.#epoch, this.#window);
      const free = this.#memories[this.#current.memory === this.#memories[0] ? 1 : 0];
      if (place.epoch < this.#epochs) this.#next = this.#start(place.epoch, place.window, free);
    }
    return this.#current.memory;
  }

  #start(epoch: number, window: number, memory: Window): Loading {
    const filling = memory.fill(this.#corpus, this.#planner, epoch, window, this.#queue, this.#abort.signal);
    const loading: { -readonly [Key in keyof Loading]: Loading[Key] } = {
      memory,
      done: Promise.resolve(),
      outcome: undefined,
    };
    loading.done = filling.then(
      () => {
        loading.outcome = "filled";
      },
      (error: unknown) => {
        loading.outcome = { error };
      },
    );
    return loading;
  }

  #advance(): void {
    const place = this.#following(this.#epoch, this.#window);
    if (place.epoch > this.#epoch) {
      if (this.#sawWholeEpoch && this.#rowsInEpoch === 0 && place.epoch < this.#epochs) {
        const { split, fraction, filters } = this.#planner.split;
        const left = filters === undefined ? "" : " that the filters leave";
        const what = `the split "${split}" has no rows${left} at a held-out fraction of ${fraction}`;
        throw new CorpusError("empty", what);
      }
      this.#sawWholeEpoch = true;
      this.#rowsInEpoch = 0;
    }
    this.#epoch = place.epoch;
    this.#window = place.window;
    this.#offset = 0;
    this.#current = undefined;
  }

  #following(epoch: number, window: number): { epoch: number; window: number } {
    return window + 1 < this.windows.windowsPerEpoch
      ? { epoch, window: window + 1 }
      : { epoch: epoch + 1, window: 0 };
  }
}

/** Waits for a promise that never rejects. @throws the signal's reason when that comes first. */
async function settled(done: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return await done;
  const { promise: aborted, resolve: stop } = Promise.withResolvers<void>();
  const onAbort = (): void => stop();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([done, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  signal.throwIfAborted();
}

function allocateWindows(
  corpus: Corpus,
  { rowsPerWindow, bytesPerWindow }: WindowPlan,
  transform: RowTransform | undefined,
): readonly [Window, Window] {
  // Said here, because a RangeError below is one of memory.
  wholeTransform(corpus.dIn, transform);
  try {
    return [new Window(corpus, rowsPerWindow, transform), new Window(corpus, rowsPerWindow, transform)];
  } catch (cause) {
    const what = `two windows of ${bytesPerWindow} bytes cannot be allocated; lower windowBytes`;
    throw new CorpusError("invalid-option", what, { cause });
  }
}

/** The error for a row with a number that is not finite. `row` holds it as it was delivered. */
export function nonFinite(corpus: Corpus, rowId: number, row: Float32Array): CorpusError {
  const bad = row.findIndex((value) => !Number.isFinite(value));
  const [first, ...others] = corpus.columns;
  let column = first!;
  let number = bad;
  for (const next of others) {
    if (number < column.dIn) break;
    number -= column.dIn;
    column = next;
  }
  const what = `number ${number} of ${column.dIn} is ${row[bad]}; remove the row, or find out what produced it`;
  return new CorpusError("non-finite", what, { ...corpus.locate(rowId), column: column.name });
}

function checkPosition(position: StreamPosition, windows: number): StreamPosition {
  const { epoch, window, offset } = position;
  const fits = [epoch, window, offset].every((value) => Number.isSafeInteger(value) && value >= 0);
  if (!fits || window >= windows) {
    const what = `the position ${JSON.stringify(position)} is not one of a stream of ${windows} windows per epoch; it belongs to other options or another corpus`;
    throw new CorpusError("invalid-option", what);
  }
  return position;
}
