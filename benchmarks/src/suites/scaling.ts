/** What a second worker brings, through the trainer itself: the same run with 1, 2, 4, … workers, in turn. */
import { availableParallelism } from "node:os";
import { median } from "../measure.ts";
import type { Shape } from "../shapes.ts";
import { Trainer, type TrainerModel } from "../trainer.ts";
import { withDeep } from "./kernels.ts";

/** Steps of one number of workers. */
export interface ScalingMeasurement {
  readonly suite: "scaling";
  readonly name: string;
  readonly shape: string;
  readonly rows: number;
  readonly workers: number;
  /** Turns that were taken, and timed steps of each. */
  readonly rounds: number;
  readonly steps: number;
  /** Of the median step of the median turn. */
  readonly activationsPerSecond: number;
  /** Median over turns of this rate by that of one worker in the same turn. */
  readonly speedup: number;
}

const ROUNDS = 3;

/** 1, 2, 4, … and the number of cores. */
export function workerCounts(cores: number): number[] {
  const counts = [];
  for (let workers = 1; workers < cores; workers *= 2) counts.push(workers);
  return [...counts, cores];
}

/** Measures the steps of a shape with all numbers of workers. */
export async function measureScaling(
  shape: Shape,
  progress: (line: string) => void,
): Promise<ScalingMeasurement[]> {
  await using trainer = await Trainer.open();
  const models: readonly TrainerModel[] = withDeep(shape) ? ["topk", "deep"] : ["topk"];
  const counts = workerCounts(availableParallelism());
  const { timed: steps, warmup: warmupSteps } = shape.trainerSteps;
  const measurements: ScalingMeasurement[] = [];
  for (const model of models) {
    const rates = counts.map((): number[] => []);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, workers] of counts.entries()) {
        progress(`scaling: ${model} at ${shape.name}, ${workers} workers, turn ${round + 1} of ${ROUNDS}`);
        const run = { shape, model, workers, wide: false, steps, warmupSteps };
        rates[index]!.push(await trainer.rate(run));
      }
    }
    counts.forEach((workers, index) =>
      measurements.push({
        suite: "scaling",
        name: model === "deep" ? "deep autoencoder" : `TopK, k = ${shape.k}`,
        shape: shape.name,
        rows: shape.rows,
        workers,
        rounds: ROUNDS,
        steps,
        activationsPerSecond: median(rates[index]!),
        speedup: median(rates[index]!.map((rate, round) => rate / rates[0]![round]!)),
      }),
    );
  }
  return measurements;
}
