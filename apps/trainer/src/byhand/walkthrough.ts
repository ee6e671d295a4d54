/** A worked example as data: numbered sections of named matrices. `layout.ts` prints it, `--json` writes it as it is. */
import type { TracedMatrix } from "@sparseloom/core";

/** A matrix as on paper: columns are examples, or what a weight matrix reads. */
export interface NamedMatrix {
  readonly name: string;
  /** Empty where rows need no names. */
  readonly rowNames: readonly string[];
  /** Empty where columns need no names. */
  readonly columnNames: readonly string[];
  /** values[row][column]: the shortest decimals that stand for the float32 numbers. */
  readonly values: readonly (readonly number[])[];
  /** Printed below what came before, even where there is room beside it. */
  readonly startsLine?: true;
}

/** One step of the walk. */
export interface Section {
  /** Without its number. */
  readonly title: string;
  /** What is done, as formulas and sentences; one paragraph per entry. */
  readonly text: readonly string[];
  readonly matrices: readonly NamedMatrix[];
}

/** A whole worked example: what `byhand --json` prints. */
export interface Walkthrough {
  readonly example: "autoencoder" | "sparse";
  readonly options: Readonly<Record<string, unknown>>;
  /** Names of the examples X1, X2, …; empty where they have none. */
  readonly labels: readonly string[];
  readonly sections: readonly Section[];
  /** Loss before each update, then after the last: steps + 1 numbers. */
  readonly losses: readonly number[];
}

/** The shortest decimal number that rounds to the float32 `value`. */
export function shortest(value: number): number {
  if (value === 0) return 0;
  for (let digits = 1; digits <= 8; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return Number(value.toPrecision(9));
}

/** A number within a sentence. */
export function plain(value: number): string {
  return String(Number(value.toPrecision(6))).replace("-", "−");
}

/** A traced matrix [rows, columns] as it lies. */
export function asStored(
  name: string,
  { rows, columns, values }: TracedMatrix,
  rowNames: readonly string[] = [],
  columnNames: readonly string[] = [],
): NamedMatrix {
  const row = (at: number) => Array.from({ length: columns }, (_, column) => at * columns + column);
  return {
    name,
    rowNames,
    columnNames,
    values: Array.from({ length: rows }, (_, at) => row(at).map((index) => shortest(values[index]))),
  };
}

/** A traced matrix [rows, columns] turned over: an example, or a latent's decoder vector, becomes a column. */
export function transposed(
  name: string,
  { rows, columns, values }: TracedMatrix,
  rowNames: readonly string[] = [],
  columnNames: readonly string[] = [],
): NamedMatrix {
  const column = (at: number) => Array.from({ length: rows }, (_, row) => row * columns + at);
  return {
    name,
    rowNames,
    columnNames,
    values: Array.from({ length: columns }, (_, at) => column(at).map((index) => shortest(values[index]))),
  };
}

/** `prefix`1, `prefix`2, …: on paper one counts from 1. */
export function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`);
}
