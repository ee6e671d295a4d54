/** Progress of a task that is no training run, on stderr: redrawn on a terminal, a line every few seconds elsewhere. */

/** Redrawing more often than this would only flicker. */
const REDRAW_EVERY_MS = 100;
const LINE_EVERY_MS = 5000;

export class TaskProgress implements Disposable {
  readonly #what: string;
  readonly #stream: NodeJS.WriteStream;
  readonly #began: number = performance.now();
  #last: number = performance.now();
  #drawn = false;

  /** @param what what is being done, such as "packing" */
  constructor(what: string, stream: NodeJS.WriteStream = process.stderr) {
    this.#what = what;
    this.#stream = stream;
  }

  /** Shows that `done` of `total` is done, now and then. A task that is over within a moment shows nothing. */
  update(done: number, total: number): void {
    const now = performance.now();
    if (now - this.#last < (this.#stream.isTTY ? REDRAW_EVERY_MS : LINE_EVERY_MS)) return;
    this.#last = now;
    const share = total > 0 ? done / total : 1;
    const left = share > 0 ? ((now - this.#began) / 1000) * (1 / share - 1) : Number.NaN;
    const rest = Number.isFinite(left) ? `, ${Math.ceil(left)} s left` : "";
    const text = `${this.#what}: ${Math.floor(100 * share)} %${rest}`;
    if (this.#stream.isTTY) {
      this.#stream.write(`\r\x1b[K${text.slice(0, this.#stream.columns - 1)}`);
      this.#drawn = true;
    } else {
      this.#stream.write(`${text}\n`);
    }
  }

  /** Wipes the line, so that what comes next stands where it was. */
  [Symbol.dispose](): void {
    if (this.#drawn) this.#stream.write("\r\x1b[K");
  }
}
