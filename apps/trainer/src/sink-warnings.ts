/** Attention sinks and other massive rows, told from a corpus's statistics. */
import type { CorpusStatistics } from "@sparseloom/data";
import { formatShare } from "./progress.ts";

/** Share of the total variance, or of the sum of squares, in few rows from which on they spoil training. */
const TOP_SHARE = 0.2;
/** Multiples of the median norm from which on a row may be an attention sink. */
const SINK_MULTIPLES = [10, 5];
/** Rows below which 0.1 % of them are so few that their share says nothing. */
const LEAST_ROWS = 1000;

/** One line where few rows have most of what is to be explained: by what 0.1 % of them hold, or, where they are more, by their norms. */
export function sinkWarnings(statistics: CorpusStatistics): string[] {
  const { sampledRows, topVarianceShare, normQuantiles, meanSquareNorm } = statistics;
  if (sampledRows < LEAST_ROWS) return [];
  const { p50, p90, p999, greatest } = normQuantiles;
  // Of several columns the option is about the first, and norms here are of all.
  const multiple =
    p50 === 0 || statistics.columns !== undefined
      ? undefined
      : (SINK_MULTIPLES.find((one) => p999 > one * p50) ??
        SINK_MULTIPLES.find((one) => greatest > one * p50));
  const remedy = multiple === undefined ? "" : `--max-norm-multiple ${multiple}, or `;
  // Of the mean square, rows up to the 90 % quantile have at most its square.
  const beyond = 1 - p90 ** 2 / meanSquareNorm;
  const found =
    topVarianceShare > TOP_SHARE
      ? `0.1 % of the rows hold ${formatShare(topVarianceShare)} of the total variance`
      : p50 > 0 && greatest > Math.min(...SINK_MULTIPLES) * p50 && beyond > TOP_SHARE
        ? `rows with norms up to ${(greatest / p50).toPrecision(2)} times the median hold ${formatShare(beyond)} of the sum of squares, or more`
        : undefined;
  return found === undefined
    ? []
    : [
        `${found} (attention sinks?): they cost explained variance, spike the loss and kill latents; leave them out with ${remedy}--exclude-positions 0`,
      ];
}
