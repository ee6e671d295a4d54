/** An evaluation as tables for people. */
import { counted, formatCount } from "../progress.ts";
import { describeFiltered } from "../row-filters.ts";
import { formatTable } from "../table.ts";
import { describeDead } from "./describe-dead.ts";
import type { EvalResult } from "./evaluate-model.ts";

/** The result of `sparseloom eval` as text. */
export function describeEvaluation(result: EvalResult): string {
  return [
    `${result.model} on ${counted(result.rows, "row")} (${result.split})${describeFiltered(result.filteredRows)}`,
    formatTable(["measure", "value", "meaning"], measures(result)),
    ...columnLines(result),
    ...truthLines(result),
    ...histogramLines(result),
    ...(result.deadLatents === null ? [] : ["", describeDead(result.deadLatents)]),
  ].join("\n");
}

/** The results of models that were trained together, side by side. */
export function describeEvaluations(results: readonly EvalResult[], names: readonly string[]): string {
  const [first] = results;
  const sparse = first.latents > 0;
  const known = results.every(({ truth }) => truth !== null);
  const head = `${counted(results.length, "model")} on ${counted(first.rows, "row")} (${first.split})${describeFiltered(first.filteredRows)}`;
  const table = formatTable(
    [
      ...(sparse ? ["L0"] : []),
      "FVU",
      "MSE",
      "cosine",
      ...(sparse ? ["dead", "|cosine|"] : []),
      ...(known ? ["MCC", "MMCS"] : []),
      "model",
    ],
    results.map(({ l0, fvu, mse, cosineSimilarity, dead, decoder, truth }, i) => [
      ...(sparse ? [l0.toFixed(2)] : []),
      fvu.toFixed(4),
      mse.toPrecision(5),
      cosineSimilarity.toFixed(4),
      ...(sparse ? [formatCount(dead), decoder?.meanAbsolute.toFixed(4) ?? "–"] : []),
      ...(known && truth !== null
        ? [truth.meanCorrelation.toFixed(4), truth.meanMaximumCosine.toFixed(4)]
        : []),
      names[i],
    ]),
  );
  return `${head}\n${table}`;
}

type Row = readonly [measure: string, value: string, meaning: string];

function measures(result: EvalResult): Row[] {
  const { mse, fvu, cosineSimilarity, shrinkage, relativeBias, l0, l1, dead, latents, decoder } = result;
  const units = result.units === "raw" ? "raw units" : "rows as LayerNorm leaves them";
  const rows: Row[] = [
    ["MSE", mse.toPrecision(5), `squared error per row, summed over dimensions, ${units}`],
    Number.isFinite(fvu)
      ? ["FVU", fvu.toFixed(4), `share of variance unexplained (explained ${(1 - fvu).toFixed(4)})`]
      : ["FVU", "–", "share of variance unexplained; these rows have no variance"],
    ["cosine", cosineSimilarity.toFixed(4), "row with reconstruction, about zero, mean over rows"],
    ["shrinkage", shrinkage.toFixed(4), "length of reconstruction / row, mean over rows; 1: none"],
    ["bias γ", relativeBias.toFixed(4), "mean ‖x̂‖² / mean x·x̂; 1: none"],
  ];
  if (l1 === null || decoder === null) return rows;
  const { meanAbsolute, compared, duplicates } = decoder;
  const sample = compared < latents ? ` of ${formatCount(compared)} compared` : "";
  return [
    ...rows,
    ["L0", l0.toFixed(2), "active latents per row"],
    ["L1", l1.toPrecision(4), "Σ f·‖W_dec‖ per row"],
    ["dead", formatCount(dead), `of ${counted(latents, "latent")}, never active on these rows`],
    ["|cosine|", meanAbsolute.toFixed(4), "between decoder rows, mean over pairs"],
    ["duplicates", formatCount(duplicates), `latents with another at cosine > 0.95${sample}`],
  ];
}

function columnLines({ columns }: EvalResult): string[] {
  if (columns === null) return [];
  const rows = columns.map(({ name, fvu, mse }) => [name, fvu.toFixed(4), mse.toPrecision(5)] as const);
  return ["", formatTable(["column", "FVU", "MSE"], rows)];
}

function truthLines({ truth }: EvalResult): string[] {
  if (truth === null) return [];
  const { path, features, meanMaximumCosine, meanCorrelation, uniqueness, detection } = truth;
  const rows: Row[] = [
    ["MMCS", meanMaximumCosine.toFixed(4), "largest cosine with any latent, mean over true features"],
    ["MCC", meanCorrelation.toFixed(4), "|cosine| of the best one-to-one matching, mean over pairs"],
    ["uniqueness", uniqueness.toFixed(4), "different features among the latents' best matches"],
  ];
  if (detection !== null) {
    const { trueL0, precision, recall, f1 } = detection;
    rows.push(
      ["precision", precision.toFixed(4), "of each latent for its best match, mean over latents"],
      ["recall", recall.toFixed(4), "likewise"],
      ["F1", f1.toFixed(4), "likewise"],
      ["true L0", trueL0.toFixed(2), "true features per row"],
    );
  }
  return [
    "",
    `${counted(features, "true feature")} (${path})`,
    formatTable(["measure", "value", "meaning"], rows),
  ];
}

const BAR = 30;

function histogramLines({ density, decoder, latents }: EvalResult): string[] {
  if (latents === 0 || decoder === null) return [];
  const bars = (counts: readonly number[], label: (bin: number) => string): string[] => {
    const widest = Math.max(1, ...counts);
    return counts.map((count, bin) =>
      `  ${label(bin)}  ${formatCount(count).padStart(7)}  ${"█".repeat(Math.round((BAR * count) / widest))}`.trimEnd(),
    );
  };
  const first = decoder.nearest.findIndex((count) => count > 0);
  const nearest = first < 0 ? [] : decoder.nearest.slice(first);
  return [
    "",
    "activation density of latents:",
    ...bars(density.counts, (bin) => `10^${density.log10Edges[bin].toFixed(1).padStart(4)}`),
    "",
    "cosine of a decoder row with its nearest:",
    ...bars(nearest, (bin) => `${decoder.edges[first + bin].toFixed(1).padStart(4)} …  `),
  ];
}
