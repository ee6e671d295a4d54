/** Runs suites at shapes and gathers a report; knows nothing of the command line. */
import { join } from "node:path";
import { type Environment, readEnvironment } from "./environment.ts";
import type { Limit, Opened, Question, Timed } from "./host.ts";
import { LineProcess } from "./line-process.ts";
import { type Description, type Measurement, type RoundSample, summarise } from "./measure.ts";
import type { Shape } from "./shapes.ts";
import { type CorpusMeasurement, measureCorpus } from "./suites/corpus.ts";
import { type ScalingMeasurement, measureScaling } from "./suites/scaling.ts";
import { measureSynthetic, type SyntheticMeasurement } from "./suites/synthetic.ts";
import { NODE_FLAGS, type Variant } from "./variants.ts";

/** Names of the suites, in the order in which they run. */
export const SUITES = ["kernels", "step", "scaling", "corpus", "synthetic"] as const;
export type SuiteName = (typeof SUITES)[number];

/** What `--json` writes. */
export interface Report {
  readonly environment: Environment;
  readonly measurements: readonly Measurement[];
  readonly scaling: readonly ScalingMeasurement[];
  readonly corpus: readonly CorpusMeasurement[];
  readonly synthetic: readonly SyntheticMeasurement[];
}

export interface RunOptions {
  readonly suites: readonly SuiteName[];
  readonly shapes: readonly Shape[];
  readonly variants: readonly Variant[];
  /** 10⁹ bytes of float32 values in the corpus that is read. Default: 2. */
  readonly corpusGigabytes?: number;
  /** Hears what is measured next, one line each. */
  readonly progress: (line: string) => void;
}

/** More than processors cache, less than a small machine's page cache holds. */
const DEFAULT_CORPUS_GIGABYTES = 2;

/** Measures suites at shapes, one after the other. Throws what a benchmark throws. */
export async function runSuites(options: RunOptions): Promise<Report> {
  const { suites, shapes, variants, corpusGigabytes = DEFAULT_CORPUS_GIGABYTES, progress } = options;
  const measurements: Measurement[] = [];
  const scaling: ScalingMeasurement[] = [];
  const corpus: CorpusMeasurement[] = [];
  const synthetic: SyntheticMeasurement[] = [];
  for (const suite of suites) {
    for (const shape of shapes) {
      if (suite === "scaling") scaling.push(...(await measureScaling(shape, progress)));
      else if (suite === "corpus") corpus.push(...(await measureCorpus(shape, corpusGigabytes, progress)));
      else if (suite === "synthetic") synthetic.push(...(await measureSynthetic(shape, progress)));
      else measurements.push(...(await measureVariants(suite, shape, variants, progress)));
    }
  }
  return { environment: readEnvironment(), measurements, scaling, corpus, synthetic };
}

/** Uncounted runs of each benchmark, at least, unless they are as long as this: of thousands of calls of each kernel. */
const WARMUP_RUNS = 2;
const LONG_RUN_MS = 1000;

/** One process per variant; round by round, each variant takes its turn, and before and after each the limit is measured. */
async function measureVariants(
  suite: "kernels" | "step",
  shape: Shape,
  variants: readonly Variant[],
  progress: (line: string) => void,
): Promise<Measurement[]> {
  await using stack = new AsyncDisposableStack();
  const ask = async <Answer extends object>(host: LineProcess, question: Question): Promise<Answer> =>
    await host.ask<Answer>(question);
  const start = (variant: Variant): LineProcess =>
    stack.use(
      new LineProcess({
        name: `${variant} kernels`,
        command: process.execPath,
        arguments: [...NODE_FLAGS[variant], join(import.meta.dirname, "host.ts")],
      }),
    );
  // The limit is that of 128-bit vectors for all variants: measured where the flag for wider ones is not set.
  const meter = start("wasm");
  await ask<Limit>(meter, { limit: true });
  const hosts: Host[] = [];
  for (const variant of variants) {
    const host = start(variant);
    const { benchmarks } = await ask<Opened>(host, { open: { suite, shape, variant } });
    hosts.push({ host, benchmarks });
  }

  const measurements: Measurement[] = [];
  for (const name of groupNames(hosts)) {
    progress(`${suite}: ${name} at ${shape.name}`);
    const contenders = hosts.flatMap(({ host, benchmarks }) =>
      benchmarks.flatMap((description, index) =>
        groupOf(description) === name ? [{ host, index, description, samples: [] as RoundSample[] }] : [],
      ),
    );
    for (const { host, index } of contenders) {
      let spent = 0;
      for (let run = 0; run < WARMUP_RUNS || spent < shape.warmupMs; run++) {
        const { ms } = await ask<Timed>(host, { run: index, atLeastMs: 0 });
        spent += ms;
        if (ms > LONG_RUN_MS) break;
      }
    }
    let { limit: before } = await ask<Limit>(meter, { limit: true });
    for (let round = 0; round < shape.rounds; round++) {
      for (const { host, index, samples } of contenders) {
        const sample = await ask<Timed>(host, { run: index, atLeastMs: shape.sampleMs });
        const { limit: after } = await ask<Limit>(meter, { limit: true });
        samples.push({ ...sample, limit: (before + after) / 2 });
        before = after;
      }
    }
    for (const { host, index, description, samples } of contenders) {
      const { insteadOf } = description;
      const other = contenders.find((one) => one.host === host && one.description.name === insteadOf);
      measurements.push(summarise(description, samples, other?.samples));
      await ask(host, { release: index });
    }
  }
  return measurements;
}

/** A variant's process and what it has opened. */
interface Host {
  readonly host: LineProcess;
  readonly benchmarks: Opened["benchmarks"];
}

/** Benchmarks that take turns: those of one name, and those instead of it. */
function groupOf({ name, insteadOf }: Description): string {
  return insteadOf ?? name;
}

/** All groups, in the order in which they must first run: the longest list has them all, the reference has fewer. */
function groupNames(hosts: readonly Host[]): Set<string> {
  const lists = hosts.map(({ benchmarks }) => benchmarks).toSorted((a, b) => b.length - a.length);
  return new Set(lists.flatMap((benchmarks) => benchmarks.map(groupOf)));
}
