/**
 * Row filters: which rows of a split are left out, by their labels or their norm. The same filters serve statistics,
 * samples, the stream and counts, since all of them read rows through a resolved split. Without filters nothing here
 * runs.
 */
import { whyIgnored } from "../arrow/label-columns.ts";
import type { LabelColumn } from "../arrow/label-columns.ts";
import type { LabelValue } from "../arrow/label-values.ts";
import type { Corpus, LabelValues } from "../corpus.ts";
import { CorpusError } from "../errors.ts";
import { squareNorm } from "../pilot.ts";
import { createRowWriter, rowTarget } from "../transform.ts";
import type { RawValues } from "../transform.ts";
import { compilePredicate, labelKind } from "./predicate.ts";

/** Which rows to leave out. Plain JSON; a row stays when none of the filters leaves it out. */
export interface RowFilters {
  /** Leaves out rows of these tokens, by id or text. */
  readonly excludeTokens?: readonly (number | string)[] | undefined;
  /** Leaves out rows at these positions of their document, such as 0. */
  readonly excludePositions?: readonly number[] | undefined;
  /** Leaves out rows for which this expression over label columns is not true; see `expression.ts`. */
  readonly where?: string | undefined;
  /** Leaves out rows with a norm above this, in raw units; where a row has several vectors, the first one's. */
  readonly maxNorm?: number | undefined;
  /** Label column of the tokens. Default: of `token_ids`, `token_id` and `token` the first that can hold them. */
  readonly tokenColumn?: string | undefined;
  /** Label column of the positions. Default: `position`. */
  readonly positionColumn?: string | undefined;
}

/** Looks at a stored row, whose numbers begin at `values[from]`. */
export type NormTest = (values: RawValues, from: number) => boolean;

/** Filters checked against a corpus. */
export interface ResolvedFilters {
  /** Label columns to read of each block. */
  readonly columns: readonly string[];
  /** Binds the filters by label to the labels of a block: true for rows to keep. */
  readonly bind: (labels: ReadonlyMap<string, LabelValues>) => (row: number) => boolean;
  /** True for stored rows to keep, by their norm. Undefined: all are kept. */
  readonly isWithinNorm: NormTest | undefined;
}

const TOKEN_COLUMNS = ["token_ids", "token_id", "token"];
const POSITION_COLUMN = "position";

/**
 * Checks filters against a corpus; undefined when they leave out nothing.
 * @throws CorpusError invalid-option and no-label-column.
 */
export function resolveFilters(corpus: Corpus, filters: RowFilters | undefined): ResolvedFilters | undefined {
  if (filters === undefined || describesNothing(filters)) return undefined;
  const { excludeTokens = [], excludePositions = [], where, maxNorm } = filters;
  if (maxNorm !== undefined && !(maxNorm > 0)) {
    throw new CorpusError("invalid-option", `the largest norm to keep must be above 0, got ${maxNorm}`);
  }
  const named = filterColumns(corpus, filters);
  const excluded = [
    { column: named.tokenColumn, values: new Set(excludeTokens.map(String)) },
    { column: named.positionColumn, values: new Set(excludePositions.map(String)) },
  ].flatMap(({ column, values }) => (column === undefined ? [] : [{ column, values }]));
  const predicate =
    where === undefined ? undefined : compilePredicate(where, corpus.labels, corpus.ignoredColumns);
  const columns = new Set([...excluded.map(({ column }) => column), ...(predicate?.columns ?? [])]);
  return {
    columns: [...columns],
    isWithinNorm: maxNorm === undefined ? undefined : createNormTest(corpus, maxNorm),
    bind: (labels) => {
      const leaveOut = excluded.map(({ column, values }) => {
        const found = labels.get(column);
        if (found === undefined) throw new Error(`internal: the labels ${column} were not read`);
        // Ids may be stored as numbers or bigints, and be given as text: their digits are the same.
        return (row: number): boolean => isIn(values, found.get(row));
      });
      const test = predicate?.bind(labels);
      return (row) =>
        !leaveOut.some((isExcluded) => isExcluded(row)) && (test === undefined || test(row) === true);
    },
  };
}

/** Checks filters against a corpus. @throws as {@link resolveFilters}. */
export function checkFilters(corpus: Corpus, filters: RowFilters): void {
  resolveFilters(corpus, filters);
}

/** Label columns by which filters leave out rows. */
export interface FilterColumns {
  /** Undefined where no token is excluded. */
  readonly tokenColumn: string | undefined;
  /** Undefined where no position is excluded. */
  readonly positionColumn: string | undefined;
}

/** The columns that filters mean, named or not. @throws as {@link resolveFilters}. */
export function filterColumns(corpus: Corpus, filters: RowFilters): FilterColumns {
  const { excludeTokens = [], excludePositions = [] } = filters;
  return {
    tokenColumn:
      excludeTokens.length === 0 ? undefined : tokenColumn(corpus, excludeTokens, filters.tokenColumn),
    positionColumn:
      excludePositions.length === 0 ? undefined : positionColumn(corpus, filters.positionColumn),
  };
}

function isIn(values: ReadonlySet<string>, label: LabelValue): boolean {
  return label !== null && values.has(String(label));
}

function describesNothing(filters: RowFilters): boolean {
  const { excludeTokens = [], excludePositions = [], where, maxNorm } = filters;
  return (
    excludeTokens.length === 0 &&
    excludePositions.length === 0 &&
    where === undefined &&
    maxNorm === undefined
  );
}

/**
 * What filters leave out, as text that is the same for the same filters, however they were written down; undefined
 * when they leave out nothing.
 */
export function filtersKey(filters: RowFilters | undefined): string | undefined {
  if (filters === undefined || describesNothing(filters)) return undefined;
  const { excludeTokens = [], excludePositions = [], where, maxNorm, tokenColumn, positionColumn } = filters;
  return JSON.stringify({
    excludeTokens: [...new Set(excludeTokens.map(String))].sort(),
    excludePositions: [...new Set(excludePositions)].sort((a, b) => a - b),
    where: where?.trim(),
    maxNorm,
    tokenColumn,
    positionColumn,
  });
}

function tokenColumn(
  corpus: Corpus,
  tokens: readonly (number | string)[],
  asked: string | undefined,
): string {
  const ids = tokens.every((token) => /^-?\d+$/.test(String(token)));
  const fits = (label: LabelColumn): boolean =>
    labelKind(label) === "string" || (labelKind(label) === "number" && ids);
  const named = asked === undefined ? TOKEN_COLUMNS : [asked];
  const there = named.flatMap((name) => corpus.labels.filter((label) => label.name === name));
  // Ids are meant for a column of ids, where there is one.
  const chosen = (ids && there.find((label) => labelKind(label) === "number")) || there.find(fits);
  if (chosen !== undefined) return chosen.name;
  const [only] = there;
  if (only === undefined) throw noColumn(corpus, "tokens", named);
  const text = tokens.find((token) => !/^-?\d+$/.test(String(token)));
  throw new CorpusError(
    "invalid-option",
    `the token "${text}" is no id, but the label column "${only.name}" holds ${only.type}; exclude ids, or name a column of texts`,
  );
}

function positionColumn(corpus: Corpus, asked: string | undefined): string {
  const name = asked ?? POSITION_COLUMN;
  const label = corpus.labels.find((one) => one.name === name);
  if (label === undefined) throw noColumn(corpus, "positions", [name]);
  if (labelKind(label) === "number") return name;
  throw new CorpusError(
    "invalid-option",
    `the label column "${name}" holds ${label.type}, positions are numbers`,
  );
}

function noColumn(corpus: Corpus, what: string, named: readonly string[]): CorpusError {
  const known = corpus.labels.map(({ name }) => `"${name}"`).join(", ") || "none";
  const wanted = named.map((name) => `"${name}"${whyIgnored(corpus.ignoredColumns, name)}`).join(" or ");
  return new CorpusError(
    "no-label-column",
    `there is no label column ${wanted} to exclude ${what} by; there are: ${known}`,
  );
}

/** The test for a norm: of the first column's vector, where a row has several. Rows that are not finite pass it: whoever reads them reports them. */
function createNormTest({ type, columns }: Corpus, maxNorm: number): NormTest {
  const { dIn } = columns[0]!;
  const most = maxNorm * maxNorm;
  const row = new Float32Array(dIn);
  const target = rowTarget(row);
  const writeRow = createRowWriter(type, dIn);
  const squareOf = (values: RawValues, from: number): number => {
    if (values instanceof Float32Array) return squareNorm(values, from, dIn);
    writeRow(values, from, target, 0);
    return squareNorm(row, 0, dIn);
  };
  return (values, from) => {
    const square = squareOf(values, from);
    return square <= most || !Number.isFinite(square);
  };
}
