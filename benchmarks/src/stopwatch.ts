/** Adds up the time spent in functions that are called often, by name. */

export class Stopwatch {
  readonly #milliseconds = new Map<string, number>();
  #within = "";

  /**
   * The function `run`, whose time counts as `name` from now on, and as `outer/name` while it is called by one that
   * counts as `outer`. For calls that take 10 µs and more.
   */
  time<Values extends readonly unknown[], Result>(
    name: string,
    run: (...values: Values) => Result,
  ): (...values: Values) => Result {
    return (...values) => {
      const outer = this.#within;
      const path = outer === "" ? name : `${outer}/${name}`;
      const began = performance.now();
      this.#within = path;
      try {
        return run(...values);
      } finally {
        this.#within = outer;
        this.#milliseconds.set(path, this.read(path) + performance.now() - began);
      }
    };
  }

  /** Milliseconds counted as `path` since the last reset. */
  read(path: string): number {
    return this.#milliseconds.get(path) ?? 0;
  }

  reset(): void {
    this.#milliseconds.clear();
  }
}
