/** Measurements as tables of text. */
import type { Measurement } from "./measure.ts";
import type { CorpusMeasurement } from "./suites/corpus.ts";
import type { ScalingMeasurement } from "./suites/scaling.ts";
import type { SyntheticMeasurement } from "./suites/synthetic.ts";

/** Three significant digits, without exponents; whole numbers from 1,000 on with separators. */
export function digits(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.max(value, 1e-3))));
  return value.toFixed(places);
}

/** Lines under headings, columns aligned: the first `textColumns` to the left, numbers to the right. */
export function alignTable(
  headings: readonly string[],
  lines: readonly (readonly string[])[],
  textColumns: number,
): string {
  const all = [headings, ...lines];
  const widths = headings.map((_, column) => Math.max(...all.map((line) => line[column]!.length)));
  const rule = widths.map((width) => "-".repeat(width));
  return [headings, rule, ...lines]
    .map((line) =>
      line
        .map((cell, column) =>
          column < textColumns ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;

const times = ({ timesFaster }: Measurement): string => (timesFaster === 0 ? "" : digits(timesFaster));

/** Stages with their milliseconds, and in brackets what they are made of. */
function formatParts(parts: Readonly<Record<string, number>>): string {
  const entries = Object.entries(parts);
  const within = (stage: string): string => {
    const inner = entries
      .filter(([name, ms]) => name.startsWith(`${stage}/`) && ms > 0)
      .map(([name, ms]) => `${name.slice(stage.length + 1)} ${digits(ms)}`);
    return inner.length === 0 ? "" : ` (${inner.join(", ")})`;
  };
  return entries
    .filter(([name]) => !name.includes("/"))
    .map(([stage, ms]) => `${stage} ${digits(ms)}${within(stage)}`)
    .join(", ");
}

/** Variants side by side: kernels by share of the limit, steps by multiple of it and by stage. */
export function formatTable(measurements: readonly Measurement[]): string {
  const kernels = measurements.filter(({ unit }) => unit === "GFLOP/s");
  const steps = measurements.filter(({ unit }) => unit === "activations/s");
  const common = ({ name, shape, variant, rows, medianMs, minMs, maxMs, rate }: Measurement): string[] => [
    name,
    shape,
    variant,
    String(rows),
    digits(medianMs),
    `${digits(minMs)} – ${digits(maxMs)}`,
    digits(rate),
  ];
  const headings = ["shape", "variant", "rows", "median ms", "min – max ms"];
  const tables = [];
  if (kernels.length > 0) {
    tables.push(
      alignTable(
        ["kernel", ...headings, "GFLOP/s", "FMA limit", "of the limit", "× exact"],
        kernels.map((line) => [...common(line), digits(line.limit), percent(line.share), times(line)]),
        3,
      ),
    );
  }
  if (steps.length > 0) {
    tables.push(
      alignTable(
        [
          "step, one thread",
          ...headings,
          "activations/s",
          "FMA limit",
          "× the limit",
          "× exact",
          "stages, ms",
        ],
        steps.map((line) => [
          ...common(line),
          digits(line.limit),
          digits(line.share),
          times(line),
          formatParts(line.parts),
        ]),
        3,
      ),
    );
  }
  return tables.join("\n\n");
}

/** Rates over workers. */
export function formatScaling(measurements: readonly ScalingMeasurement[]): string {
  return alignTable(
    ["step, by the trainer", "shape", "rows", "workers", "activations/s", "× one worker"],
    measurements.map(({ name, shape, rows, workers, activationsPerSecond, speedup }) => [
      name,
      shape,
      String(rows),
      String(workers),
      digits(activationsPerSecond),
      speedup.toFixed(2),
    ]),
    2,
  );
}

/** Passes over a corpus. */
export function formatCorpus(measurements: readonly CorpusMeasurement[]): string {
  return alignTable(
    [
      "corpus to slots",
      "shape",
      "GB",
      "GB/s",
      "min – max",
      "rows",
      "ms per mini-batch",
      "ms of a step",
      "share",
    ],
    measurements.map((line) => [
      line.name,
      line.shape,
      digits(line.gigabytes),
      digits(line.rate),
      `${digits(line.minRate)} – ${digits(line.maxRate)}`,
      String(line.rows),
      digits(line.batchMs),
      digits(line.stepMs),
      `${(100 * line.share).toFixed(2)} %`,
    ]),
    2,
  );
}

/** Steps on rows that are made meanwhile. */
export function formatSynthetic(measurements: readonly SyntheticMeasurement[]): string {
  return alignTable(
    ["rows made on threads", "shape", "rows", "workers", "ms of a step", "on a file", "share"],
    measurements.map((line) => [
      line.name,
      line.shape,
      String(line.rows),
      String(line.workers),
      digits(line.madeMs),
      digits(line.fileMs),
      `${(100 * line.share).toFixed(1)} %`,
    ]),
    2,
  );
}
