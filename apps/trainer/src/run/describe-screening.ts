/** What screening came to, for people. */
import { counted, formatCount } from "../progress.ts";
import type { ScreeningReport } from "./result.ts";

/** A line on the screening of a run, or of several together; none where no step was taken. */
export function describeScreening(reports: readonly ScreeningReport[]): string[] {
  const sum = (of: (report: ScreeningReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  const largest = (of: (report: ScreeningReport) => number): number => Math.max(...reports.map(of));
  const [steps, ofSteps] = [sum((report) => report.steps), sum((report) => report.ofSteps)];
  if (ofSteps === 0) return [];
  if (steps === 0)
    return ["screened encoder: in no step, as too many latents came into question; no row was audited"];
  const mean = (of: (report: ScreeningReport) => number): number =>
    sum((report) => report.steps * of(report)) / steps;
  const audited = reports.filter(({ recall }) => recall !== undefined);
  const audit =
    audited.length === 0
      ? ""
      : `; recall ${Math.min(...audited.map(({ recall = 1 }) => recall))} on ${counted(
          sum((report) => report.auditedRows),
          "audited row",
        )}`;
  return [
    `screened encoder${steps < ofSteps ? `, in ${formatCount(steps)} of ${counted(ofSteps, "step")}` : ""}: ` +
      `${mean((report) => report.candidatesPerRow).toFixed(1)} exact values per row, ` +
      `${(100 * mean((report) => report.redoneShare)).toFixed(2)} % of rows redone, ` +
      `largest error ${largest((report) => report.largestError).toFixed(2)} of 7 standard deviations${audit}`,
  ];
}
