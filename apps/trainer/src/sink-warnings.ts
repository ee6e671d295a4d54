/** Attention sinks and other massive rows, told from a corpus's statistics. */
import type { CorpusStatistics } from "@sparseloom/data";
import { formatShare } from "./progress.ts";

/** Share of the total variance, or of the sum of squares, in few rows from which on they spoil training. */
const TOP_SHARE = 0.2;
/** Multiples of the median norm from which on a row may be an attention sink. */
const SINK_MULTIPLES = [10, 5];
/** Rows below which 0.1 % of them are so few that their share says nothing. */
const LEAST_ROWS = 1000;

/**
 * Length of the mean, by what large rows add to the mean norm, from which on a tenth of the rows that is so large is taken
 * for sinks, which point in about one direction: of one direction it is 1, of two at right angles 0.71, of rare features
 * among noise, of 128 random directions, 0.1.
 */
const ALIGNED = 0.8;

/**
 * One line where some rows have most of what is to be explained: by what 0.1 % of them hold, or, where they are more, by
 * their norms. Where they are more than half of the rows, they are the rule, and nothing is said.
 */
export function sinkWarnings(statistics: CorpusStatistics): string[] {
  const { sampledRows, topVarianceShare, normQuantiles, meanSquareNorm } = statistics;
  if (sampledRows < LEAST_ROWS) return [];
  const { p50, p90, p999, greatest } = normQuantiles;
  const multipleBelow = (norm: number): number | undefined =>
    SINK_MULTIPLES.find((one) => p50 > 0 && norm > one * p50);
  // Of the mean square, rows up to the 90 % quantile have at most its square.
  const beyond = 1 - p90 ** 2 / meanSquareNorm;
  const times = (norm: number): string => `${(norm / p50).toPrecision(2)} times the median`;
  if (topVarianceShare > TOP_SHARE)
    return warning(
      `0.1 % of the rows hold ${formatShare(topVarianceShare)} of the total variance`,
      multipleBelow(p999) ?? multipleBelow(greatest),
      statistics,
    );
  if (multipleBelow(greatest) !== undefined && beyond > TOP_SHARE)
    return warning(
      `rows with norms up to ${times(greatest)} hold ${formatShare(beyond)} of the sum of squares, or more`,
      multipleBelow(p999) ?? multipleBelow(greatest),
      statistics,
    );
  // Where a tenth of the rows is large, it hides all others from the quantile; large rows alone are no sinks.
  if (multipleBelow(p90) !== undefined && arePointingOneWay(statistics))
    return warning(
      `a tenth of the rows, with norms from ${times(p90)} on, hold ${formatShare((0.1 * p90 ** 2) / meanSquareNorm)} of the sum of squares, or more`,
      multipleBelow(p90),
      statistics,
    );
  return [];
}

function arePointingOneWay({ mean, meanNorm, normQuantiles }: CorpusStatistics): boolean {
  return Math.hypot(...mean) > ALIGNED * (meanNorm - normQuantiles.p50);
}

/** @param multiple of the median norm, above which such rows have theirs */
function warning(found: string, multiple: number | undefined, { columns }: CorpusStatistics): string[] {
  // Of several columns the option is about the first, and norms here are of all.
  const byNorm =
    multiple === undefined || columns !== undefined ? "" : `--max-norm-multiple ${multiple}, or `;
  return [
    `${found} (attention sinks?): they cost explained variance, spike the loss and kill latents; leave them out with ${byNorm}--exclude-positions 0`,
  ];
}
