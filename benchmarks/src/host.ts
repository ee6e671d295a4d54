/** The process in which one variant is measured: opens the benchmarks of a suite at a shape, then times them when asked. */
import { answerLines } from "./line-process.ts";
import { type Benchmark, type Description, type Sample, timeRuns } from "./measure.ts";
import type { Shape } from "./shapes.ts";
import { kernelBenchmarks, limitMeter } from "./suites/kernels.ts";
import { stepBenchmarks } from "./suites/step.ts";
import type { Variant } from "./variants.ts";

/** What a host is asked. */
export type Question =
  | {
      readonly open: { readonly suite: "kernels" | "step"; readonly shape: Shape; readonly variant: Variant };
    }
  /** Time runs of the benchmark of this index for so many milliseconds, one at least. */
  | { readonly run: number; readonly atLeastMs: number }
  /** Let go of the memory of the benchmark of this index. */
  | { readonly release: number }
  /** Measure the FMA limit. */
  | { readonly limit: true };

/** What it answers, in the same order. */
export interface Opened {
  readonly benchmarks: readonly Description[];
}
export type Timed = Sample;
export interface Limit {
  /** GFLOP/s. */
  readonly limit: number;
}
export type Released = Record<string, never>;

/** A host's answers. Keeps the benchmarks that were opened last. */
export function createHost(): (question: Question) => Promise<Opened | Timed | Limit | Released> {
  let benchmarks: readonly Benchmark[] = [];
  let meter: (() => number) | undefined;
  const benchmarkOf = (index: number): Benchmark => {
    const benchmark = benchmarks[index];
    if (benchmark === undefined) throw new Error(`internal: there is no benchmark ${index}`);
    return benchmark;
  };
  return async (question) => {
    if ("limit" in question) {
      meter ??= limitMeter();
      return { limit: meter() };
    }
    if ("run" in question) return timeRuns(benchmarkOf(question.run), question.atLeastMs);
    if ("release" in question) {
      benchmarkOf(question.release).release?.();
      return {};
    }
    const { suite, shape, variant } = question.open;
    // Dropped first: two shapes' memories at once are not needed.
    benchmarks = [];
    benchmarks = suite === "kernels" ? kernelBenchmarks(shape, variant) : stepBenchmarks(shape, variant);
    // Functions do not go into JSON: the descriptions are left.
    return { benchmarks };
  };
}

if (import.meta.main) {
  const answer = createHost();
  await answerLines((question) => answer(question as unknown as Question));
}
