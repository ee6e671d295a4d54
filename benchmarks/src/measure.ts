/** Timing by tinybench: a fixed number of runs each, so that two reports never differ in how long they looked. */
import { Bench } from "tinybench";

/** Something to time. */
export interface Benchmark {
  readonly suite: string;
  readonly name: string;
  /** Name of the shape. */
  readonly shape: string;
  /** Rows worked on in one run. */
  readonly rows: number;
  readonly iterations: number;
  /** What one run does, counted in `unit`. */
  readonly work: number;
  readonly unit: RateUnit;
  /** Makes ready what a run uses up; not timed. */
  readonly prepare?: () => void;
  readonly run: () => void;
}

/** How rates are given: 10⁹ floating-point operations per second, or activations per second. */
export type RateUnit = "GFLOP/s" | "activations/s";

/** What was measured. */
export interface Measurement {
  readonly suite: string;
  readonly name: string;
  readonly shape: string;
  readonly rows: number;
  readonly iterations: number;
  /** Milliseconds of the median, the fastest and the slowest run. */
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** Work per second of the median run. */
  readonly rate: number;
  readonly unit: RateUnit;
}

/**
 * Runs `benchmark.iterations` times after one run that is not counted.
 *
 * @throws what the benchmark throws
 */
export function measure(benchmark: Benchmark): Measurement {
  const { suite, name, shape, rows, iterations, work, unit, prepare, run } = benchmark;
  const bench = new Bench({ iterations, time: 0, warmupIterations: 1, warmupTime: 0, throws: true });
  bench.add(name, run, { async: false, ...(prepare === undefined ? {} : { beforeEach: prepare }) });
  const [task] = bench.runSync();
  if (task?.result.state !== "completed") throw new Error(`${name} at ${shape} did not complete`);
  const { p50, min, max } = task.result.latency;
  const perSecond = work / (p50 / 1000);
  const rate = unit === "GFLOP/s" ? perSecond / 1e9 : perSecond;
  return { suite, name, shape, rows, iterations, medianMs: p50, minMs: min, maxMs: max, rate, unit };
}
