/** A comparison of models as tables for people. */
import { formatCount, formatShare } from "../progress.ts";
import { formatTable } from "../table.ts";
import type { Comparison, ModelPair } from "./compare-models.ts";

const BAR = 30;

/** The result of `sparseloom compare` as text. */
export function describeComparison({ sharedCosine, over, models, pairs }: Comparison): string {
  const mean = (value: number | null): string => (value === null ? "–" : value.toFixed(3));
  const cut = Math.max(0, ...pairs.map(({ floor }) => floor));
  const what = over === "seeds" ? "the models that differ in the seed alone" : "all other models";
  return [
    `shared: matched one to one by decoder cosine, with encoder and decoder cosine at least ${sharedCosine}` +
      (cut > 0 ? `; large dictionaries: pairs above a decoder cosine of ${cut} only` : ""),
    "",
    formatTable(
      ["models", "shared", "of first", "of second", "matched", "decoder cosine", "encoder cosine"],
      pairs.map((pair) => [
        `${pair.a} ~ ${pair.b}`,
        formatCount(pair.shared),
        formatShare(pair.shareOfA),
        formatShare(pair.shareOfB),
        formatCount(pair.matched),
        mean(pair.decoderCosine),
        mean(pair.encoderCosine),
      ]),
    ),
    ...pairs
      .filter(beganAlike)
      .map(
        ({ a, b, shared, sharedAtSameIndex }) =>
          `${a} ~ ${b}: ${formatCount(sharedAtSameIndex)} of ${formatCount(shared)} shared latents have one index in both: models of one seed begin alike, and what training hardly moved is shared without meaning`,
      ),
    "",
    `stability of a latent: the share of ${what} that have it, too`,
    formatTable(
      ["model", "latents", "stability", "in all", "in none"],
      models.map(({ name, latents, stability, latentStability }) => [
        name,
        formatCount(latents),
        stability === null ? "–" : formatShare(stability),
        formatCount(latentStability.filter((share) => share === 1).length),
        formatCount(latentStability.filter((share) => share === 0).length),
      ]),
    ),
    ...histogram(models.flatMap(({ latentStability }) => latentStability)),
  ].join("\n");
}

/** Whether so many shared latents have one index in both models that they did not come by chance. */
function beganAlike({ shared, sharedAtSameIndex }: ModelPair): boolean {
  return sharedAtSameIndex >= 5 && sharedAtSameIndex > 0.1 * shared;
}

/** Latents of all models by their stability. */
function histogram(shares: readonly number[]): string[] {
  const counts = new Map<number, number>();
  for (const share of shares) counts.set(share, (counts.get(share) ?? 0) + 1);
  // Two models: the table has said it all.
  if (counts.size < 3) return [];
  const widest = Math.max(...counts.values());
  return [
    "",
    "latents by stability:",
    ...[...counts]
      .sort(([a], [b]) => a - b)
      .map(([share, count]) =>
        `  ${`${(100 * share).toFixed(0)} %`.padStart(5)}  ${formatCount(count).padStart(7)}  ${"█".repeat(Math.round((BAR * count) / widest))}`.trimEnd(),
      ),
  ];
}
