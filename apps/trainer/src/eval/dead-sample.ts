/** A sample of rows as the encoder sees them, with what a latent had to exceed in each: to ask why some never did. */
import {
  ARCHITECTURES,
  type DeadLatent,
  diagnoseDead,
  type FloatArray,
  type SparseArena,
} from "@sparseloom/core";
import type { TrainingHistory } from "./training-history.ts";

/** Rows that are kept: the first of a shuffled stream. */
const SAMPLE_ROWS = 4096;
/** Multiply-adds of rows with dead latents at most: some seconds. */
const MOST_PRODUCTS = 4e9;

/** The dead latents of a model, each with its cause. */
export interface DeadReport {
  /** Rows that were asked. */
  readonly rows: number;
  readonly latents: readonly DeadLatent[];
}

/** Collects the sample while rows pass. */
export class DeadSample {
  readonly #rows: Float32Array;
  readonly #thresholds: Float32Array = new Float32Array(SAMPLE_ROWS);
  #count = 0;

  constructor(dIn: number) {
    this.#rows = new Float32Array(SAMPLE_ROWS * dIn);
  }

  /** Takes in the mini-batch in `slot`, whose records the arena holds. */
  add(arena: SparseArena, rows: number, slot: number): void {
    const { dIn, k, architecture, applyBDecToInput } = arena.model;
    const byRank = ARCHITECTURES[architecture].selection === "topk";
    const x = arena.slots[slot];
    const taken = Math.min(rows, SAMPLE_ROWS - this.#count);
    for (let row = 0; row < taken; row++, this.#count++) {
      for (let j = 0; j < dIn; j++) {
        const shift = applyBDecToInput ? arena.b_dec.value[j] : 0;
        this.#rows[this.#count * dIn + j] = x[row * dIn + j] - shift;
      }
      this.#thresholds[this.#count] = byRank ? leastSelected(arena, row, k) : 0;
    }
  }

  /**
   * Diagnoses the latents that never fired.
   *
   * @param centre the mean that training took from the rows [dIn], where the exported encoder does it by its bias
   */
  diagnose(
    arena: SparseArena,
    fireCount: ArrayLike<number>,
    history: TrainingHistory | undefined,
    centre: FloatArray | undefined,
  ): DeadReport {
    const { dIn, latents } = arena.model;
    const dead = Array.from({ length: latents }, (_, latent) => latent).filter(
      (latent) => fireCount[latent] === 0,
    );
    const affordable = Math.floor(MOST_PRODUCTS / (Math.max(1, dead.length) * dIn));
    const rows = Math.max(1, Math.min(this.#count, affordable));
    const sample = this.#rows.slice(0, rows * dIn);
    const encoder = arena.W_enc.value;
    const b_enc = Float32Array.from(arena.b_enc.value);
    // What counts is the distance to the threshold: to be active is to exceed 0 then, as with ReLU.
    arena.threshold.value.forEach((threshold, latent) => {
      b_enc[latent] -= threshold;
    });
    if (centre !== undefined) {
      // The same z, told as in training: W·(x − c) + (b + W·c).
      for (let i = 0; i < sample.length; i++) sample[i] -= centre[i % dIn];
      for (let i = 0; i < encoder.length; i++) b_enc[Math.floor(i / dIn)] += encoder[i] * centre[i % dIn];
    }
    return {
      rows,
      latents: diagnoseDead({
        dIn,
        dead,
        encoder,
        b_enc,
        W_dec: arena.W_dec.value,
        dOut: arena.b_dec.value.length,
        rows: sample,
        thresholds: this.#thresholds.subarray(0, rows),
        ...(history === undefined ? {} : { training: history }),
      }),
    };
  }
}

/** With fewer than k positive pre-activations any positive one would have been selected. */
function leastSelected({ rowOffset, rowCount, recordValue }: SparseArena, row: number, k: number): number {
  if (rowCount[row] < k) return 0;
  let least = Number.POSITIVE_INFINITY;
  for (let record = rowOffset[row]; record < rowOffset[row] + k; record++)
    least = Math.min(least, recordValue[record]);
  return least;
}
