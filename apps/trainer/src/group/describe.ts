/** A group's models as a table and a chart over L0, for people. */
import { shellQuoted } from "../errors.ts";
import { counted, formatCount } from "../progress.ts";
import { describeScreening } from "../run/describe-screening.ts";
import { formatTable } from "../table.ts";
import { type GroupModel, type GroupResult, l0Of } from "./summary.ts";

const BAR = 12;

/** A measure's bar, `value` of `largest`, and its number. */
function bar(value: number | null, largest: number, text: (value: number) => string): string {
  if (value === null || !Number.isFinite(value)) return "–";
  const length = largest > 0 ? Math.round((BAR * value) / largest) : 0;
  return `${text(value)} ${"█".repeat(length)}${"·".repeat(BAR - length)}`;
}

/** A column of the table: one measure of all models. */
interface Measure {
  readonly title: string;
  readonly of: (model: GroupModel) => number | null;
  readonly text: (value: number, largest: number) => string;
  /** What the longest bar stands for; absent: the largest value. */
  readonly whole?: number;
}

const FVU: Measure = {
  title: "FVU",
  of: (model) => model.heldOut?.fvu ?? model.fvu,
  text: (fvu) => fvu.toFixed(3),
};

/** What models with latents have, beside L0. */
const OF_LATENTS: readonly Measure[] = [
  {
    title: "dead",
    // In fewer examples than that, none can be.
    of: (model) => (model.examples < model.deadWindow ? null : model.dead),
    text: (dead, largest) => formatCount(dead).padStart(formatCount(largest).length),
  },
  {
    title: "stability",
    of: (model) => model.stability,
    text: (share) => `${(100 * share).toFixed(1).padStart(5)} %`,
    // Shares of all: their bars are long where all is shared, not where most is.
    whole: 1,
  },
  {
    title: "|cosine|",
    of: (model) => model.meanAbsoluteCosine,
    text: (cosine) => cosine.toFixed(3),
  },
];

/** The result of `train` with lists, as text. */
export function describeGroup({ models, sparse, diverged, directory, complete }: GroupResult): string {
  return [
    ...(models.length === 0 ? [] : chart(models, sparse)),
    ...describeScreening(models.flatMap(({ screening }) => screening ?? [])),
    ...diverged.map(({ name, reason }) => `${name} was given up: ${reason}`),
    complete
      ? `run directories: ${directory}`
      : `continue with: sparseloom train --resume ${shellQuoted(directory)}`,
  ].join("\n");
}

function chart(models: readonly GroupModel[], sparse: boolean): string[] {
  const measures = (sparse ? [FVU, ...OF_LATENTS] : [FVU]).map((measure) => ({
    ...measure,
    largest: measure.whole ?? Math.max(0, ...models.map((model) => measure.of(model) ?? 0)),
  }));
  const table = formatTable(
    [...(sparse ? ["L0"] : []), ...measures.map(({ title }) => title), "model"],
    models.map((model) => [
      ...(sparse ? [l0Of(model).toFixed(1)] : []),
      ...measures.map(({ of, largest, text }) => bar(of(model), largest, (value) => text(value, largest))),
      model.name,
    ]),
  );
  const [first] = models;
  const rows = first.heldOut === undefined ? "training" : "held-out";
  if (!sparse) return [table, `FVU on ${rows} rows.`];
  return [
    table,
    `L0 and FVU on ${rows} rows; dead: without activation in the last ${counted(first.deadWindow, "example")}; stability: share of the`,
    "latents that the models of the other seeds have, too (–: no other seeds); |cosine|: mean between decoder rows.",
    "FVU alone is no reason to choose a model: it falls as L0 rises and as latents mix features (high |cosine|).",
  ];
}
