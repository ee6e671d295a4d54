import { SUMMARY, SUMMARY_FIELDS } from "@sparseloom/core";
import { describe, expect, it } from "vitest";
import { describeScreening } from "./run/describe-screening.ts";
import { NOTHING_SCREENED, ScreeningLog } from "./screening-log.ts";

type Step = Partial<Record<keyof typeof SUMMARY, number>>;

/** Adds steps, of which each has these fields of a summary, to a log. */
function logOf(steps: readonly Step[], sums = NOTHING_SCREENED): ScreeningLog {
  const log = new ScreeningLog(sums);
  for (const step of steps) {
    const summaries = new Float64Array(2 * SUMMARY_FIELDS);
    for (const [name, value] of Object.entries(step))
      summaries[SUMMARY_FIELDS + SUMMARY[name as keyof typeof SUMMARY]] = value;
    log.add({ summaries }, 1);
  }
  return log;
}

const UNSCREENED: Step = { rows: 100, active: 800 };
const SCREENED: Step = { ...UNSCREENED, screened: 96, candidates: 5000, redone: 4, screeningError: 4.5 };
const report = (...steps: Step[]) => logOf(steps).report();

describe("the report on a run's screening", () => {
  it("is of the steps that were screened, and tells of how many steps these are", () => {
    const worse = { ...SCREENED, redone: 0, screened: 100, screeningError: 5.25 };
    expect(report(SCREENED, UNSCREENED, worse, UNSCREENED)).toEqual({
      steps: 2,
      ofSteps: 4,
      candidatesPerRow: 50,
      redoneShare: 0.02,
      largestError: 5.25,
      auditedRows: 0,
    });
  });

  it("counts a screened step without candidates, and none whose rows were all encoded exactly in the end", () => {
    const empty = { rows: 100, screened: 100, audited: 100 };
    const dense = { ...UNSCREENED, redone: 100 };
    expect(report(empty, dense)).toMatchObject({ steps: 1, ofSteps: 2, auditedRows: 100, recall: 1 });
    expect(report(dense)).toMatchObject({ steps: 0, ofSteps: 1, candidatesPerRow: 0, redoneShare: 0 });
  });

  it("has the share of audited rows' active latents that were found", () => {
    const steps = [{ ...SCREENED, audited: 10, missed: 1 }, { ...SCREENED, audited: 15 }, SCREENED];
    expect(report(...steps)).toMatchObject({ auditedRows: 25, recall: 1 - 1 / 200 });
  });

  it("goes on where a checkpoint left it", () => {
    const steps = [{ ...SCREENED, audited: 10, missed: 1 }, UNSCREENED, SCREENED];
    const half = logOf(steps.slice(0, 2));
    expect(logOf(steps.slice(2), half.sums).report()).toEqual(report(...steps));
  });

  it("is none before the first step", () => {
    expect(report()).toBeUndefined();
  });
});

describe("in words", () => {
  const words = (...steps: Step[]): string[] => describeScreening([report(...steps) ?? []].flat());

  it("a report says in how many steps rows were screened, if not in all", () => {
    const end =
      "50.0 exact values per row, 4.00 % of rows redone, largest error 4.50 of 7 standard deviations";
    expect(words(SCREENED, SCREENED)).toEqual([`screened encoder: ${end}`]);
    expect(words(SCREENED, UNSCREENED)).toEqual([`screened encoder, in 1 of 2 steps: ${end}`]);
    expect(words(UNSCREENED)).toEqual([
      "screened encoder: in no step, as too many latents came into question; no row was audited",
    ]);
    expect(words()).toEqual([]);
  });

  it("several are one: the least recall, the largest error, means over steps", () => {
    const audited = { ...SCREENED, audited: 10 };
    const reports = [
      report({ ...audited, missed: 1 }),
      report(audited, { ...audited, candidates: 8000, screeningError: 4.75 }, UNSCREENED),
    ];
    expect(describeScreening(reports.map((one) => one!))).toEqual([
      "screened encoder, in 3 of 4 steps: 60.0 exact values per row, 4.00 % of rows redone, " +
        "largest error 4.75 of 7 standard deviations; recall 0.9875 on 30 audited rows",
    ]);
  });
});
