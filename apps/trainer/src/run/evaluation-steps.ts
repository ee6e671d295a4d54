/** When a run's model is measured on held-out rows while it trains, and on how many. */
import { rowDimension, type Setup } from "@sparseloom/core";
import type { TrainOptions } from "../options.ts";
import type { RunConfig } from "./config.ts";

/** Held-out rows that are measured each time: two mini-batches at L, for a standard error of FVU of some 3 % (decision 029). */
const SAMPLE_ROWS = 8192;

/** Whether the model is measured after so many steps: at multiples of `--eval-every`, and at the end. */
export function isEvaluatedAt({ options: { evalEvery }, totalSteps }: RunConfig, step: number): boolean {
  return evalEvery !== undefined && step > 0 && (step % evalEvery === 0 || step === totalSteps);
}

/** Held-out rows that are measured at most; 0 without `--eval-every`. By default whole mini-batches, where one is not too many. */
export function mostSampleRows({ evalEvery, evalSample }: TrainOptions, { training }: Setup): number {
  if (evalEvery === undefined) return 0;
  const { batchRows } = training;
  return evalSample ?? (batchRows > SAMPLE_ROWS ? SAMPLE_ROWS : SAMPLE_ROWS - (SAMPLE_ROWS % batchRows));
}

/** Bytes of these rows at most, which are held beside a run's memory, or that of runs which are trained together. */
export function sampleBytes(options: TrainOptions, setup: Setup): number {
  return mostSampleRows(options, setup) * rowDimension(setup.model) * Float32Array.BYTES_PER_ELEMENT;
}
