/** The table of bench:science, and the claims below it. */
import { alignTable, digits } from "../src/table.ts";
import type { Claim } from "./claims.ts";
import { type ModelLine, over, type Spread } from "./measures.ts";

const spread = ({ mean, sd }: Spread, places: number): string =>
  `${mean.toFixed(places)} ± ${sd.toFixed(places)}`;

/** One line for each model of each system: mean ± standard deviation over the seeds. */
export function formatLines(lines: readonly ModelLine[]): string {
  return alignTable(
    [
      "data",
      "model",
      "by",
      "seeds",
      "L0",
      "MCC",
      "F1",
      "precision",
      "recall",
      "uniqueness",
      "expl. var.",
      "dead",
      "s",
    ],
    lines.map((line) => [
      line.study,
      line.l1 === undefined ? line.model : `${line.model}, λ = ${digits(line.l1)}`,
      line.system,
      String(line.runs.length),
      spread(over(line, "l0"), 2),
      spread(over(line, "mcc"), 4),
      spread(over(line, "f1"), 3),
      spread(over(line, "precision"), 3),
      spread(over(line, "recall"), 3),
      spread(over(line, "uniqueness"), 3),
      spread(over(line, "explainedVariance"), 3),
      spread(over(line, "dead"), 1),
      line.seconds === undefined ? "" : digits(line.seconds),
    ]),
    3,
  );
}

/** A line for each claim, and one that counts them. */
export function formatClaims(claims: readonly Claim[]): string {
  const verdict = ({ holds }: Claim): string =>
    holds === undefined ? "not measured" : holds ? "holds" : "DOES NOT HOLD";
  const table = alignTable(
    ["claim", "verdict", "measured"],
    claims.map((claim) => [claim.claim, verdict(claim), claim.holds === undefined ? "" : claim.measured]),
    3,
  );
  const decided = claims.filter(({ holds }) => holds !== undefined);
  const held = decided.filter(({ holds }) => holds === true).length;
  const failed = decided.filter(({ holds }) => holds === false).map(({ claim }) => claim);
  const left = claims.length - decided.length;
  const rest = left === 0 ? "" : `, ${left} not measured`;
  return [
    table,
    "",
    `${held} of ${decided.length} claims hold${rest}`,
    ...failed.map((claim) => `does not hold: ${claim}`),
  ].join("\n");
}
