/** The diagnosis of dead latents as tables: causes with their remedies, then the latents. */
import type { DeadCause, DeadLatent } from "@sparseloom/core";
import { counted, formatCount } from "../progress.ts";
import { formatTable } from "../table.ts";
import type { DeadReport } from "./dead-sample.ts";

/** What to try against each cause. */
const REMEDIES: Readonly<Record<DeadCause, string>> = {
  "loss spike": "lower --lr, or --lr-warmup",
  duplicate: "fewer --latents: it has nothing of its own to say",
  mean: "leave out --no-center; --init-bias median; lower --lr holds b_dec there",
  bias: "lower --lr; with relu lower --l1, or more --l1-warmup",
  "never selected":
    "--aux-k auto with --k, --pre-act-loss with jumprelu, lower --l1 with relu; --init data; larger --k",
};

/** Latents that are shown. */
const SHOWN = 20;

/** The report as text. */
export function describeDead({ rows, latents }: DeadReport): string {
  if (latents.length === 0) return "no dead latents";
  const causes = Object.entries(REMEDIES).flatMap(([cause, remedy]) => {
    const count = latents.filter((found) => found.cause === cause).length;
    return count === 0 ? [] : [[cause, formatCount(count), remedy]];
  });
  const shown = latents.slice(0, SHOWN);
  const more =
    latents.length > SHOWN ? [`… and ${formatCount(latents.length - SHOWN)} more: --json has all`] : [];
  return [
    `causes of dead latents (asked on ${counted(rows, "row")}):`,
    formatTable(["cause", "latents", "what to try"], causes),
    "",
    formatTable(
      ["latent", "cause", "best z", "threshold", "why"],
      shown.map((found) => [
        String(found.latent),
        found.cause,
        number(found.bestZ),
        number(found.threshold),
        why(found),
      ]),
    ),
    ...more,
  ].join("\n");
}

function why({ cause, bias, liveBias, meanPart, nearest, nearestCosine, spikeStep }: DeadLatent): string {
  switch (cause) {
    case "loss spike":
      return `silent since the loss leapt at step ${spikeStep}`;
    case "duplicate":
      return `decoder cosine ${nearestCosine.toFixed(3)} with latent ${nearest}`;
    case "mean":
      return `the mean adds ${number(meanPart)} to z`;
    case "bias":
      return `bias ${number(bias)}, live median ${number(liveBias)}`;
    case "never selected":
      return "";
  }
}

function number(value: number): string {
  return value.toPrecision(3).replace("-", "−");
}
