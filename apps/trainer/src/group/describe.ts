/** A group's models as a table and a chart over L0, for people. */
import { shellQuoted } from "../errors.ts";
import { formatCount } from "../progress.ts";
import { formatTable } from "../table.ts";
import { type GroupModel, type GroupResult, l0Of } from "./summary.ts";

const BAR = 12;

/** A measure's bar, `value` of `largest`, and its number. */
function bar(value: number | null, largest: number, text: (value: number) => string): string {
  if (value === null || !Number.isFinite(value)) return "–";
  const length = largest > 0 ? Math.round((BAR * value) / largest) : 0;
  return `${text(value)} ${"█".repeat(length)}${"·".repeat(BAR - length)}`;
}

/** The result of `train` with lists, as text. */
export function describeGroup(result: GroupResult): string {
  const { models, diverged, directory, complete } = result;
  const measures = (model: GroupModel): (number | null)[] => [
    model.heldOut?.fvu ?? model.fvu,
    // In fewer examples than that, none can be.
    model.examples < model.deadWindow ? null : model.dead,
    model.stability,
    model.meanAbsoluteCosine,
  ];
  const largest = [0, 1, 2, 3].map((at) => Math.max(0, ...models.map((model) => measures(model)[at] ?? 0)));
  // Shares of all: their bars are long where all is shared, not where most is.
  largest[2] = 1;
  const formats = [
    (fvu: number) => fvu.toFixed(3),
    (dead: number) => formatCount(dead).padStart(formatCount(largest[1]).length),
    (share: number) => `${(100 * share).toFixed(1).padStart(5)} %`,
    (cosine: number) => cosine.toFixed(3),
  ];
  const [first] = models;
  const rows = first?.heldOut === undefined ? "training" : "held-out";
  return [
    ...(first === undefined
      ? []
      : [
          formatTable(
            ["L0", "FVU", "dead", "stability", "|cosine|", "model"],
            models.map((model) => [
              l0Of(model).toFixed(1),
              ...measures(model).map((value, at) => bar(value, largest[at], formats[at])),
              model.name,
            ]),
          ),
          `L0 and FVU on ${rows} rows; dead: without activation in the last ${formatCount(first.deadWindow)} examples; stability: share of the`,
          "latents that the models of the other seeds have, too (–: no other seeds); |cosine|: mean between decoder rows.",
          "FVU alone is no reason to choose a model: it falls as L0 rises and as latents mix features (high |cosine|).",
        ]),
    ...diverged.map(({ name, reason }) => `${name} was given up: ${reason}`),
    complete
      ? `run directories: ${directory}`
      : `continue with: sparseloom train --resume ${shellQuoted(directory)}`,
  ].join("\n");
}
