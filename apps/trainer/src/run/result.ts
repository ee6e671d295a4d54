/** What a training run came to. */
import type { Encoder, Metrics } from "@sparseloom/core";
import type { HeldOutMetrics } from "./metrics-log.ts";

/** How the screened encoder did, over all sessions of the run. */
export interface ScreeningReport {
  /** Steps with rows that were screened, which all else is about, and all steps. */
  readonly steps: number;
  readonly ofSteps: number;
  /** Latents per row whose pre-activation was computed exactly. */
  readonly candidatesPerRow: number;
  /** Share of rows that were encoded by the exact product after all. */
  readonly redoneShare: number;
  /** Largest error of a screened pre-activation, in standard deviations of the error model; the margin is 7. */
  readonly largestError: number;
  /** Rows checked against the exact product (`--audit`). */
  readonly auditedRows: number;
  /** Share of their active latents that screening had found; absent when none were checked. */
  readonly recall?: number;
}

/** How a BatchTopK autoencoder's one threshold was found. */
export interface ThresholdReport {
  /** `calibrated`: so that mean L0 is k on held-out rows; `ema`: the moving average of training. */
  readonly mode: "calibrated" | "ema";
  /** θ, in scaled units. */
  readonly value: number;
  /** Rows that it was calibrated on; 0: none. */
  readonly rows: number;
}

/** What a run came to; `train --json` prints it. */
export interface TrainResult {
  readonly runDirectory: string;
  /** Whether all steps were taken; else the run was interrupted after a checkpoint. */
  readonly complete: boolean;
  readonly steps: number;
  readonly examples: number;
  /** Rows of the training split that the row filters left out of every epoch. */
  readonly filteredRows: number;
  /** Seconds of training, over all sessions of the run. */
  readonly seconds: number;
  /** Over all sessions, too. */
  readonly activationsPerSecond: number;
  /** Loss of the last logged steps. */
  readonly loss: number;
  /**
   * On training rows, with the final parameters, in the run's scaled units; of an interrupted run: over its last
   * logged steps.
   */
  readonly mse: number;
  readonly fvu: number;
  readonly l0: number;
  /** Latents without activation in the last `deadWindow` examples. */
  readonly dead: number;
  readonly deadWindow: number;
  /** The same on held-out rows; absent when none are held out, and of an interrupted run. */
  readonly heldOut?: Metrics & { readonly rows: number };
  /**
   * The last measurement of `--eval-every` and the step after which it was made; absent before the first. Of the run's
   * end it may differ from `heldOut` in its rows, and for BatchTopK in the threshold, which is training's moving one.
   */
  readonly lastEvaluation?: HeldOutMetrics & { readonly step: number };
  /** BatchTopK: mse, fvu and l0 are of the model with this threshold. */
  readonly threshold?: ThresholdReport;
  /** BatchTopK: training and held-out rows again, with latents selected over mini-batches as in training. */
  readonly overBatch?: { readonly training: Metrics; readonly heldOut?: Metrics };
  /** Of this session, as the encoder, 256-bit vectors and large pages. */
  readonly workers: number;
  /** Whether kernels had 256-bit vectors, by an experimental flag of V8. */
  readonly wideSimd: boolean;
  /** Whether large pages were asked for, by Node's experimental FFI. */
  readonly hugePages: boolean;
  /** How pre-activations were found. */
  readonly encoder: Encoder;
  /** Absent where this session's encoder is the exact one, and before the first step. */
  readonly screening?: ScreeningReport;
  /** Kernel variants that the steps were taken with, over all sessions, in order. */
  readonly kernelVariants: readonly string[];
}
