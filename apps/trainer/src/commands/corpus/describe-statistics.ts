/** A corpus's statistics in words, and what they warn of. */
import { basename } from "node:path";
import type { CorpusStatistics } from "@sparseloom/data";
import { counted, formatCount, formatShare } from "../../progress.ts";
import { sinkWarnings } from "../../sink-warnings.ts";

/** γ above which the mean stands out more than the rows vary. */
const HIGH_GAMMA = 1;

/** The lines of `corpus info` on statistics. */
export function describeStatistics(statistics: CorpusStatistics): string[] {
  const { normQuantiles: norms, meanNorm, meanCentredNorm, totalVariance, gamma } = statistics;
  const { sampledRows, exact } = statistics;
  const read = exact ? `all ${formatCount(sampledRows)} rows` : `a sample of ${counted(sampledRows, "row")}`;
  return [
    `statistics from ${read}:`,
    `  mean norm ${short(meanNorm)}, about the mean ${short(meanCentredNorm)}`,
    `  norm quantiles: least ${short(norms.least)}, 1 % ${short(norms.p1)}, 10 % ${short(norms.p10)}, ` +
      `median ${short(norms.p50)}, 90 % ${short(norms.p90)}, 99 % ${short(norms.p99)}, ` +
      `99.9 % ${short(norms.p999)}, greatest ${short(norms.greatest)}`,
    `  total variance ${short(totalVariance)}, of which the top 0.1 % of rows hold ${formatShare(statistics.topVarianceShare)}`,
    `  γ = ‖mean‖/sd ${short(gamma)}`,
    ...describeOutliers(statistics),
    ...(statistics.filteredRows > 0
      ? [`  rows left out by the row filters: ${formatCount(statistics.filteredRows)}`]
      : []),
    ...(statistics.nonFiniteRows > 0
      ? [`  rows with numbers that are not finite: ${formatCount(statistics.nonFiniteRows)}`]
      : []),
  ];
}

function describeOutliers({ outlierDimensions, mean, variance }: CorpusStatistics): string[] {
  if (outlierDimensions.length === 0) return [];
  const shown = outlierDimensions
    .slice(0, 8)
    .map((i) => `${i} (rms ${short(Math.sqrt((mean[i] ?? 0) ** 2 + (variance[i] ?? 0)))})`);
  const more = outlierDimensions.length > shown.length ? ", …" : "";
  return [`  outlier dimensions, of over 6 times the median size: ${shown.join(", ")}${more}`];
}

/** What a user should know before training on such rows; one line each. */
export function statisticsWarnings(statistics: CorpusStatistics): string[] {
  const { gamma, nonFiniteRows, nonFinitePlaces } = statistics;
  const warnings = sinkWarnings(statistics);
  if (gamma > HIGH_GAMMA) {
    warnings.push(
      `γ = ${short(gamma)} is high: centre the rows (--center, the default of train), or latents will die`,
    );
  }
  if (nonFiniteRows > 0) {
    const places = nonFinitePlaces.map(
      ({ path, batch, row }) => `${basename(path)}, batch ${batch}, row ${row}`,
    );
    const more = nonFiniteRows > places.length ? "; …" : "";
    warnings.push(
      `${formatCount(nonFiniteRows)} ${nonFiniteRows === 1 ? "row has" : "rows have"} numbers that are not finite (${places.join("; ")}${more}): training would stop there`,
    );
  }
  return warnings;
}

function short(value: number): string {
  return Number.isFinite(value) ? value.toPrecision(5) : String(value);
}
