/** Adds up over a session what steps report on their screening. */
import { type Arena, SUMMARY, SUMMARY_FIELDS } from "@sparseloom/core";
import type { ScreeningReport } from "./run/result.ts";

export class ScreeningLog {
  #ofSteps = 0;
  #steps = 0;
  #rows = 0;
  #candidates = 0;
  #redone = 0;
  #largestError = 0;
  #audited = 0;
  #missed = 0;
  #active = 0;

  /** Adds a completed step, whose summary is in `slot`. */
  add({ summaries }: Pick<Arena, "summaries">, slot: number): void {
    this.#ofSteps++;
    const field = (index: number): number => summaries[slot * SUMMARY_FIELDS + index] as number;
    if (field(SUMMARY.candidates) === 0 && field(SUMMARY.redone) === 0) return;
    this.#steps++;
    this.#rows += field(SUMMARY.rows);
    this.#candidates += field(SUMMARY.candidates);
    this.#redone += field(SUMMARY.redone);
    this.#largestError = Math.max(this.#largestError, field(SUMMARY.screeningError));
    const audited = field(SUMMARY.audited);
    this.#audited += audited;
    this.#missed += field(SUMMARY.missed);
    this.#active += (audited * field(SUMMARY.active)) / field(SUMMARY.rows);
  }

  /** The report, or undefined when no step was screened. */
  report(): ScreeningReport | undefined {
    if (this.#steps === 0) return undefined;
    return {
      steps: this.#steps,
      ofSteps: this.#ofSteps,
      candidatesPerRow: this.#candidates / this.#rows,
      redoneShare: this.#redone / this.#rows,
      largestError: this.#largestError,
      auditedRows: this.#audited,
      ...(this.#audited > 0 ? { recall: 1 - this.#missed / this.#active } : {}),
    };
  }
}
