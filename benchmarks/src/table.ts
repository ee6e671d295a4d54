/** Measurements as a table of text. */
import type { Measurement } from "./measure.ts";

const HEADINGS = ["suite", "name", "shape", "rows", "runs", "median ms", "min – max ms", "rate"] as const;
/** Columns that are aligned to the left; numbers go to the right. */
const TEXT_COLUMNS = 3;

/** Three significant digits, without exponents. */
function digits(value: number): string {
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.max(value, 1e-3))));
  return value.toFixed(places);
}

function cellsOf(measurement: Measurement): string[] {
  const { suite, name, shape, rows, iterations, medianMs, minMs, maxMs, rate, unit } = measurement;
  return [
    suite,
    name,
    shape,
    String(rows),
    String(iterations),
    digits(medianMs),
    `${digits(minMs)} – ${digits(maxMs)}`,
    `${digits(rate)} ${unit}`,
  ];
}

/** All measurements under one heading, columns aligned. */
export function formatTable(measurements: readonly Measurement[]): string {
  const lines = [[...HEADINGS], ...measurements.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const rule = widths.map((width) => "-".repeat(width));
  return [lines[0]!, rule, ...lines.slice(1)]
    .map((line) =>
      line
        .map((cell, column) =>
          column < TEXT_COLUMNS ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
