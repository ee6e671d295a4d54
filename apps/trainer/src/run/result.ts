/** What a training run came to. */
import type { Metrics } from "@sparseloom/core";

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
  readonly workers: number;
  /** How the encoder's product was computed. */
  readonly encoder: "exact";
  readonly kernelVariant: string;
}
