/** What the turns came to: rates, and our rate by each of the others'. Knows nothing of processes. */
import { median } from "../src/measure.ts";
import { alignTable, digits } from "../src/table.ts";
import type { TrainerModel } from "../src/trainer.ts";

/** One contender at one shape with one number of threads. */
export interface Result {
  readonly contender: string;
  readonly ours: boolean;
  readonly model: TrainerModel;
  readonly shape: string;
  readonly threads: number;
  /** Activations per second, one figure per turn: of the turn's median step. */
  readonly rates: number[];
}

/** Our rate by another's. On a busy machine the two differ, and the second is the fairer one. */
export interface Ratio {
  /** Median over turns of the ratio within a turn; NaN (null in JSON) where there is none. */
  readonly byTurn: number;
  /** Our best turn by the other's best. */
  readonly bestByBest: number;
}

const NO_RATIO: Ratio = { byTurn: Number.NaN, bestByBest: Number.NaN };

function ratio(ours: Result | undefined, other: Result): Ratio {
  if (ours === undefined || other.ours) return NO_RATIO;
  return {
    byTurn: median(other.rates.map((rate, round) => ours.rates[round]! / rate)),
    bestByBest: Math.max(...ours.rates) / Math.max(...other.rates),
  };
}

/** A line of the table. */
export interface Line extends Result {
  /** Median of `rates`. */
  readonly activationsPerSecond: number;
  /** Ours, default and wide, by this one with as many threads. */
  readonly oursByThis: Ratio;
  readonly wideByThis: Ratio;
}

/** The results as lines of the table. */
export function linesOf(results: readonly Result[]): Line[] {
  const ours = (other: Result, wide: boolean): Result | undefined =>
    results.find(
      (result) =>
        result.ours &&
        result.contender.includes("wide") === wide &&
        (["shape", "model", "threads"] as const).every((key) => result[key] === other[key]),
    );
  return results.map((result) => ({
    ...result,
    activationsPerSecond: median(result.rates),
    oursByThis: ratio(ours(result, false), result),
    wideByThis: ratio(ours(result, true), result),
  }));
}

/** The table. */
export function formatLines(lines: readonly Line[]): string {
  const times = ({ byTurn, bestByBest }: Ratio): string =>
    Number.isNaN(byTurn) ? "" : `${digits(byTurn)} (${digits(bestByBest)})`;
  return alignTable(
    [
      "training step",
      "shape",
      "threads",
      "activations/s",
      "lowest – highest",
      "ours by this",
      "ours wide by this",
    ],
    lines.map((line) => [
      line.ours ? `${line.contender} (${line.model})` : line.contender,
      line.shape,
      String(line.threads),
      digits(line.activationsPerSecond),
      `${digits(Math.min(...line.rates))} – ${digits(Math.max(...line.rates))}`,
      times(line.oursByThis),
      times(line.wideByThis),
    ]),
    2,
  );
}
