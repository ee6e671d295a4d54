/**
 * What rows of known features cost that are made while the workers train on those before: steps on `synth:…` by steps on
 * a file, through the trainer with all cores, in turns.
 */
import { availableParallelism } from "node:os";
import { FEATURE_MODEL_PRESETS } from "@sparseloom/data";
import { median } from "../measure.ts";
import type { Shape } from "../shapes.ts";
import { Trainer } from "../trainer.ts";

/** Steps on made rows and on read ones. */
export interface SyntheticMeasurement {
  readonly suite: "synthetic";
  /** The corpus without its number of rows. */
  readonly name: string;
  readonly shape: string;
  readonly rows: number;
  readonly workers: number;
  /** Turns that were taken, and timed steps of each. */
  readonly rounds: number;
  readonly steps: number;
  /** Milliseconds of the mean step of the median turn, on a file and on made rows. */
  readonly fileMs: number;
  readonly madeMs: number;
  /** What made rows add to a step, by the step on a file: median over turns. */
  readonly share: number;
}

const PRESET = "synthsaebench-16k";
const ROUNDS = 3;
const LEAST_STEPS = 5;
/** The trainer's shuffle window. Rows are made a window at a time, so both ways are timed over several of them. */
const WINDOW_BYTES = 12e6;
const TIMED_WINDOWS = 6;
/** Two are filled before the first step: they are trained on before the timing begins. */
const FILLED_WINDOWS = 2;
/** Further steps before it: V8 compiles. */
const WARMUP_STEPS = 3;

/** SynthSAEBench scaled to a shape's dimension: dimensions go with the root of the scale. */
export function syntheticCorpus({ dIn }: Pick<Shape, "dIn">): string {
  const whole = FEATURE_MODEL_PRESETS[PRESET]?.options.dIn ?? 0;
  const divisor = greatestDivisor(dIn, whole) ** 2;
  const [part, of] = [dIn ** 2 / divisor, whole ** 2 / divisor];
  return `synth:${PRESET}${of === 1 ? "" : `:${part}/${of}`}`;
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** Measures a shape's TopK step both ways. The first use of a corpus pushes its directions apart, before any timing. */
export async function measureSynthetic(
  shape: Shape,
  progress: (line: string) => void,
): Promise<SyntheticMeasurement[]> {
  await using trainer = await Trainer.open();
  const workers = availableParallelism();
  const stepsOfWindow = WINDOW_BYTES / (4 * shape.dIn * shape.rows);
  const steps = Math.max(LEAST_STEPS, Math.ceil(TIMED_WINDOWS * stepsOfWindow));
  const warmupSteps = WARMUP_STEPS + Math.ceil(FILLED_WINDOWS * stepsOfWindow);
  const name = syntheticCorpus(shape);
  const rowsInAll = shape.rows * (steps + warmupSteps);
  progress(`synthetic: directions of ${name}`);
  await trainer.command("corpus", "info", `${name}@1`);
  const run = { shape, model: "topk", workers, wide: false, steps, warmupSteps } as const;
  const times: { readonly file: number; readonly made: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    progress(`synthetic: ${name} and a file at ${shape.name}, turn ${round + 1} of ${ROUNDS}`);
    const file = mean(await trainer.stepTimes(run));
    const made = mean(await trainer.stepTimes({ ...run, corpus: `${name}@${rowsInAll}` }));
    times.push({ file, made });
  }
  return [
    {
      suite: "synthetic",
      name,
      shape: shape.name,
      rows: shape.rows,
      workers,
      rounds: ROUNDS,
      steps,
      fileMs: median(times.map(({ file }) => file)),
      madeMs: median(times.map(({ made }) => made)),
      share: median(times.map(({ file, made }) => made / file - 1)),
    },
  ];
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}
