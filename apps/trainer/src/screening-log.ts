/** Adds up what steps report on their screening, over all sessions of a run. */
import { type Arena, SUMMARY, SUMMARY_FIELDS } from "@sparseloom/core";
import type { ScreeningReport } from "./run/result.ts";

/** Sums over the steps so far, which a checkpoint keeps. */
export interface ScreeningSums {
  /** All steps, and those with screened rows, which all that follows is about. */
  readonly ofSteps: number;
  readonly steps: number;
  readonly rows: number;
  readonly candidates: number;
  readonly redone: number;
  readonly largestError: number;
  readonly audited: number;
  /** Active latents of audited rows that were missing, and about how many these rows have. */
  readonly missed: number;
  readonly active: number;
}

/** A run's beginning. */
export const NOTHING_SCREENED: ScreeningSums = {
  ofSteps: 0,
  steps: 0,
  rows: 0,
  candidates: 0,
  redone: 0,
  largestError: 0,
  audited: 0,
  missed: 0,
  active: 0,
};

export class ScreeningLog {
  #sums: ScreeningSums;

  constructor(sums: ScreeningSums) {
    this.#sums = sums;
  }

  get sums(): ScreeningSums {
    return this.#sums;
  }

  /** Adds a completed step, whose summary is in `slot`. */
  add({ summaries }: Pick<Arena, "summaries">, slot: number): void {
    const field = (index: number): number => summaries[slot * SUMMARY_FIELDS + index] as number;
    const sums = { ...this.#sums, ofSteps: this.#sums.ofSteps + 1 };
    const [rows, audited] = [field(SUMMARY.rows), field(SUMMARY.audited)];
    this.#sums =
      field(SUMMARY.screened) === 0
        ? sums
        : {
            ...sums,
            steps: sums.steps + 1,
            rows: sums.rows + rows,
            candidates: sums.candidates + field(SUMMARY.candidates),
            redone: sums.redone + field(SUMMARY.redone),
            largestError: Math.max(sums.largestError, field(SUMMARY.screeningError)),
            audited: sums.audited + audited,
            missed: sums.missed + field(SUMMARY.missed),
            active: sums.active + (audited * field(SUMMARY.active)) / rows,
          };
  }

  /** The report, or undefined before the first step. */
  report(): ScreeningReport | undefined {
    const { ofSteps, steps, rows, candidates, redone, largestError, audited, missed, active } = this.#sums;
    if (ofSteps === 0) return undefined;
    return {
      steps,
      ofSteps,
      candidatesPerRow: steps > 0 ? candidates / rows : 0,
      redoneShare: steps > 0 ? redone / rows : 0,
      largestError,
      auditedRows: audited,
      ...(audited > 0 ? { recall: active > 0 ? 1 - missed / active : 1 } : {}),
    };
  }
}
