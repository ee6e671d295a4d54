/** What a benchmark is, and the figures that come of its rounds. Timing itself is tinybench's. */
import { Bench } from "tinybench";
import type { Variant } from "./variants.ts";

/** What is known of a benchmark without running it. */
export interface Description {
  readonly suite: string;
  readonly name: string;
  /** Name of the shape. */
  readonly shape: string;
  readonly variant: Variant;
  /** Rows worked on in one run. */
  readonly rows: number;
  /** What one run does, counted in `unit`. */
  readonly work: number;
  readonly unit: RateUnit;
  /** Operations to count for a share of the FMA limit, where they are not `work`: 2·d·latents per activation. */
  readonly equivalentFlop?: number;
  /** Name of the benchmark that does the same work in another way: both are timed in the same rounds and compared. */
  readonly insteadOf?: string;
}

/** Something to time. */
export interface Benchmark extends Description {
  /** Makes ready what a run uses up; not timed. */
  readonly prepare?: () => void;
  readonly run: () => void;
  /** Milliseconds of the parts of the last run, by name; a part of a part is called "whole/part". */
  readonly parts?: () => Readonly<Record<string, number>>;
  /** Lets go of what the runs needed; not called where others need it, too. */
  readonly release?: () => void;
}

/** How rates are given: 10⁹ floating-point operations per second, or activations per second. */
export type RateUnit = "GFLOP/s" | "activations/s";

/** What was timed: one run, or as many as fill a while. */
export interface Sample {
  /** Milliseconds of a run, the median of several. */
  readonly ms: number;
  readonly parts: Readonly<Record<string, number>>;
}

/** A sample of a round, with the FMA limit measured right before and after it (their mean), 10⁹ operations per second. */
export interface RoundSample extends Sample {
  readonly limit: number;
}

/** Times runs for `atLeastMs`, one at least. Throws what the benchmark throws. */
export function timeRuns(benchmark: Benchmark, atLeastMs: number): Sample {
  const { name, shape, prepare, run, parts } = benchmark;
  const partsOfRuns: Readonly<Record<string, number>>[] = [];
  const bench = new Bench({ iterations: 1, time: atLeastMs, warmup: false, throws: true });
  bench.add(name, run, {
    async: false,
    ...(prepare === undefined ? {} : { beforeEach: prepare }),
    ...(parts === undefined ? {} : { afterEach: () => void partsOfRuns.push(parts()) }),
  });
  const [task] = bench.runSync();
  if (task?.result.state !== "completed") throw new Error(`${name} at ${shape} did not complete`);
  return { ms: task.result.latency.p50, parts: medianParts(partsOfRuns) };
}

/** Medians of parts by name; one that is missing from some counts as 0 there. */
function medianParts(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const names = new Set(all.flatMap((parts) => Object.keys(parts)));
  return Object.fromEntries([...names].map((name) => [name, median(all.map((parts) => parts[name] ?? 0))]));
}

/** What was measured. */
export interface Measurement extends Description {
  readonly rounds: number;
  /** Milliseconds of the median, the fastest and the slowest run. */
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** Work per second of the median run. */
  readonly rate: number;
  /** Median of the FMA limit measured around the samples, 10⁹ floating-point operations per second. */
  readonly limit: number;
  /** Median over rounds of operations per second as a multiple of the limit around them. */
  readonly share: number;
  /** Median over rounds of the time of the benchmark that this one is instead of, by this one's; 0 where there is none. */
  readonly timesFaster: number;
  /** Median milliseconds of the parts, by name. */
  readonly parts: Readonly<Record<string, number>>;
}

/** The middle value; the mean of the two middle ones of an even number. Throws on an empty list. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error("internal: the median of nothing");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return Number.isInteger(middle) ? (sorted[middle - 1]! + sorted[middle]!) / 2 : sorted[middle - 0.5]!;
}

/** The figures of a benchmark from its samples, and those of the same rounds of what it is instead of. */
export function summarise(
  description: Description,
  samples: readonly RoundSample[],
  others?: readonly Sample[],
): Measurement {
  const times = samples.map(({ ms }) => ms);
  const medianMs = median(times);
  const { work, unit, equivalentFlop } = description;
  const perSecond = work / (medianMs / 1000);
  const flop = equivalentFlop ?? (unit === "GFLOP/s" ? work : 0);
  return {
    ...description,
    rounds: samples.length,
    medianMs,
    minMs: Math.min(...times),
    maxMs: Math.max(...times),
    rate: unit === "GFLOP/s" ? perSecond / 1e9 : perSecond,
    limit: median(samples.map(({ limit }) => limit)),
    share: median(samples.map(({ ms, limit }) => flop / ms / 1e6 / limit)),
    timesFaster: others === undefined ? 0 : median(samples.map(({ ms }, round) => others[round]!.ms / ms)),
    parts: medianParts(samples.map(({ parts }) => parts)),
  };
}
