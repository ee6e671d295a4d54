import { SUMMARY, SUMMARY_FIELDS } from "@sparseloom/core";
import { describe, expect, it } from "vitest";
import { ScreeningLog } from "./screening-log.ts";

/** Adds steps, of which each has these fields of a summary, to a log. */
function logOf(...steps: readonly Partial<Record<keyof typeof SUMMARY, number>>[]): ScreeningLog {
  const log = new ScreeningLog();
  for (const step of steps) {
    const summaries = new Float64Array(2 * SUMMARY_FIELDS);
    for (const [name, value] of Object.entries(step))
      summaries[SUMMARY_FIELDS + SUMMARY[name as keyof typeof SUMMARY]] = value;
    log.add({ summaries }, 1);
  }
  return log;
}

describe("the report on a session's screening", () => {
  it("is of the steps that were screened, and tells of how many steps these are", () => {
    const screened = { rows: 100, candidates: 5000, redone: 4, screeningError: 4.5 };
    const report = logOf(
      screened,
      { rows: 100 },
      { ...screened, redone: 0, screeningError: 5.25 },
      { rows: 50 },
    );
    expect(report.report()).toEqual({
      steps: 2,
      ofSteps: 4,
      candidatesPerRow: 50,
      redoneShare: 0.02,
      largestError: 5.25,
      auditedRows: 0,
    });
  });

  it("has the share of audited rows' active latents that were found", () => {
    const step = { rows: 100, active: 800, candidates: 5000 };
    const log = logOf({ ...step, audited: 10, missed: 1 }, { ...step, audited: 15, missed: 0 }, step);
    expect(log.report()).toMatchObject({ auditedRows: 25, recall: 1 - 1 / 200 });
  });

  it("is none where no step was screened", () => {
    expect(logOf({ rows: 100 }, { rows: 100 }).report()).toBeUndefined();
  });
});
