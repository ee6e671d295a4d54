/** Runs suites at shapes and gathers a report; knows nothing of the command line. */
import { type Environment, readEnvironment } from "./environment.ts";
import { type Benchmark, measure, type Measurement } from "./measure.ts";
import type { Shape } from "./shapes.ts";
import { kernelBenchmarks } from "./suites/kernels.ts";
import { stepBenchmarks } from "./suites/step.ts";

export type SuiteName = "kernels" | "step";

/** The suites by name: what is measured at a shape. */
export const SUITES: Readonly<Record<SuiteName, (shape: Shape) => Iterable<Benchmark>>> = {
  kernels: kernelBenchmarks,
  step: stepBenchmarks,
};

/** What `--json` writes. */
export interface Report {
  readonly environment: Environment;
  readonly measurements: readonly Measurement[];
}

/** Measures `suites` at `shapes`, one after the other; `progress` hears of each benchmark before it starts. */
export function runSuites(
  suites: readonly SuiteName[],
  shapes: readonly Shape[],
  progress: (benchmark: Benchmark) => void,
): Report {
  const measurements: Measurement[] = [];
  for (const suite of suites) {
    for (const shape of shapes) {
      for (const benchmark of SUITES[suite](shape)) {
        progress(benchmark);
        measurements.push(measure(benchmark));
      }
    }
  }
  return { environment: readEnvironment(), measurements };
}
