/**
 * Row filters as a user asks for them: the options, what they come to on a corpus, and which ones hold for a finished
 * model. What is left out is recorded as numbers, so that training, resuming and measuring leave out the same rows.
 */
import {
  checkFilters,
  type Corpus,
  estimateStatistics,
  filterColumns,
  isCorpusError,
  readStatistics,
  type RowFilters,
  type RowStream,
  type StatisticsOptions,
} from "@sparseloom/data";
import { z } from "zod";
import { RequestError } from "./errors.ts";
import { flagOf } from "./options/describe-issue.ts";
import { formatCount } from "./progress.ts";
import { trainingRecordOf } from "./run/model-folder.ts";

/** The options, for whatever command reads rows. Names are the flags in camelCase. */
export const filterShape = {
  excludeTokens: z
    .array(z.union([z.string(), z.number().int()]))
    .min(1)
    .optional()
    .describe("leave out rows of these tokens, by id or text"),
  excludePositions: z
    .array(z.number().int().min(0))
    .min(1)
    .optional()
    .describe("leave out rows at these positions of their document, e.g. 0"),
  maxNormMultiple: z
    .number()
    .positive()
    .optional()
    .describe(
      "leave out rows with a norm above this multiple of the median, e.g. 10; of several columns, the first one's",
    ),
  where: z
    .string()
    .optional()
    .describe(
      `keep only rows for which an expression over labels is true, e.g. "position > 0 and lang = 'en'"`,
    ),
  tokenColumn: z
    .string()
    .optional()
    .describe(
      "label column for --exclude-tokens (default: of token_ids, token_id and token the first that can hold them)",
    ),
  positionColumn: z.string().optional().describe("label column for --exclude-positions (default: position)"),
};

const filterSchema = z.object(filterShape);

/** Filters as they were asked for. */
export type FilterRequest = z.infer<typeof filterSchema>;

/** Filters as they are applied and recorded: the largest norm is a number. */
export interface RecordedFilters extends RowFilters {
  /** What `maxNorm` comes from. */
  readonly maxNormMultiple?: number;
  readonly medianNorm?: number;
}

/** True when a request has any filter. */
function asksForFilters(request: FilterRequest): boolean {
  const { excludeTokens, excludePositions, maxNormMultiple, where } = request;
  return [excludeTokens, excludePositions, maxNormMultiple, where].some((value) => value !== undefined);
}

/**
 * What a request comes to on a corpus; undefined when it has no filter. The median norm is that of the rows that the
 * other filters leave, from the statistics on record or an estimate.
 *
 * @param besides filters that hold, too
 * @throws RequestError or CorpusError when the corpus has no such labels, or the expression is wrong
 */
export async function resolveFilterRequest(
  corpus: Corpus,
  request: FilterRequest,
  options: StatisticsOptions,
  besides?: RecordedFilters,
): Promise<RecordedFilters | undefined> {
  const { excludeTokens, excludePositions, where, tokenColumn, positionColumn, maxNormMultiple } = request;
  if (tokenColumn !== undefined && excludeTokens === undefined && besides?.excludeTokens === undefined)
    throw new RequestError("--token-column goes with --exclude-tokens, which is missing");
  if (
    positionColumn !== undefined &&
    excludePositions === undefined &&
    besides?.excludePositions === undefined
  )
    throw new RequestError("--position-column goes with --exclude-positions, which is missing");
  const asked = withoutUndefined({ excludeTokens, excludePositions, where, tokenColumn, positionColumn });
  if (!asksForFilters(request)) return besides === undefined ? undefined : joined(corpus, besides, asked);
  // By itself: joined, half a condition could undo the other filters.
  checkFilters(corpus, asked);
  const byLabel: RecordedFilters = besides === undefined ? asked : joined(corpus, besides, asked);
  if (maxNormMultiple === undefined) return byLabel;
  const { maxNorm: _, ...ofAllNorms } = byLabel;
  const statistics =
    (await readStatistics(corpus, ofAllNorms)) ??
    (await estimateStatistics(corpus, { ...options, filters: ofAllNorms }));
  const medianNorm = statistics.columns?.[0]?.medianNorm ?? statistics.normQuantiles.p50;
  if (medianNorm === 0)
    throw new RequestError("--max-norm-multiple cannot be used: the median norm of the rows is 0");
  const maxNorm = maxNormMultiple * medianNorm;
  // Of two largest norms the smaller one holds.
  if (byLabel.maxNorm !== undefined && byLabel.maxNorm <= maxNorm) return byLabel;
  return { ...byLabel, maxNormMultiple, medianNorm, maxNorm };
}

/** What names a column, what is looked for in it, and what that is called. */
const COLUMNS = [
  { key: "tokenColumn", values: "excludeTokens", what: "tokens" },
  { key: "positionColumn", values: "excludePositions", what: "positions" },
] as const;

/** Filters that leave out what either does. @throws RequestError where they take tokens or positions from different columns */
function joined(corpus: Corpus, own: RecordedFilters, asked: RowFilters): RecordedFilters {
  const there = filterColumns(corpus, own);
  const wanted = filterColumns(corpus, asked);
  for (const { key, values, what } of COLUMNS) {
    // Beside the model's own tokens a column may be named without further ones.
    const [column, other] = [there[key], wanted[key] ?? asked[key]];
    if (own[values] !== undefined && other !== undefined && other !== column)
      throw new RequestError(
        `the model's own row filters take ${what} from the column "${column}", not from "${other}": add --no-filters to leave them out`,
      );
  }
  const both = <T>(first?: readonly T[], second?: readonly T[]): readonly T[] | undefined =>
    first === undefined || second === undefined ? (first ?? second) : [...new Set([...first, ...second])];
  const where = [own.where, asked.where].filter((one) => one !== undefined);
  return {
    ...own,
    ...withoutUndefined({
      excludeTokens: both(own.excludeTokens, asked.excludeTokens),
      excludePositions: both(own.excludePositions, asked.excludePositions),
      where: where.length === 2 ? where.map((one) => `(${one})`).join(" and ") : where[0],
      tokenColumn: (own.excludeTokens === undefined ? asked : own).tokenColumn,
      positionColumn: (own.excludePositions === undefined ? asked : own).positionColumn,
    }),
  };
}

function withoutUndefined(filters: RowFilters): RowFilters {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== undefined));
}

/** Which rows of a corpus a finished model is used on: options of `eval`, `inspect` and `encode`. */
export interface ModelFilterOptions {
  /** Beside the model's own. */
  readonly request: FilterRequest;
  /** False: without the model's own. */
  readonly useModels: boolean;
}

/**
 * The filters that the model was trained with, and those asked for.
 *
 * @throws RequestError when the model's own cannot be applied to this corpus, or not together with those asked for
 */
export async function filtersForModel(
  cfg: Readonly<Record<string, unknown>>,
  corpus: Corpus,
  { request, useModels }: ModelFilterOptions = { request: {}, useModels: true },
  options: StatisticsOptions,
): Promise<RecordedFilters | undefined> {
  const recorded = useModels ? recordedFilters(cfg) : undefined;
  try {
    if (recorded !== undefined) checkFilters(corpus, recorded);
  } catch (error) {
    if (!isCorpusError(error, "no-label-column", "invalid-option")) throw error;
    throw new RequestError(
      `the model was trained with row filters that this corpus cannot have (${error.message}): add --no-filters to leave them out`,
      { cause: error },
    );
  }
  return await resolveFilterRequest(corpus, request, options, recorded);
}

/**
 * A warning where filters by label that were asked for leave out nothing, as those of a token that is misspelt. Rows that
 * are left out are counted together: where any other filter leaves out some, a model's own or a second one that was asked
 * for, an idle one is not noticed. To tell would take a count for each filter.
 *
 * @param rowsRead how many, where there are more, which may hold what is looked for; default: all were read
 */
export function idleFilterWarnings(
  { excludeTokens, excludePositions, where }: FilterRequest,
  filteredRows: number,
  rowsRead?: number,
): string[] {
  const idle = Object.entries({ excludeTokens, excludePositions, where }).filter(
    ([, value]) => value !== undefined,
  );
  if (filteredRows > 0 || idle.length === 0) return [];
  const of = rowsRead === undefined ? "" : `, of ${formatCount(rowsRead)} that were read`;
  return [`${idle.map(([key]) => flagOf(key)).join(", ")}: no row is left out by what is given${of}`];
}

/**
 * {@link idleFilterWarnings} for a finished model.
 *
 * @param stream of one epoch, from which `rows` rows came
 */
export function idleModelFilterWarnings(
  filters: ModelFilterOptions | undefined,
  stream: RowStream,
  rows: number,
): string[] {
  const readToItsEnd = stream.position.epoch > 0;
  return idleFilterWarnings(filters?.request ?? {}, stream.filteredRows, readToItsEnd ? undefined : rows);
}

/** What reports say of rows left out, after the rows that they are about. */
export function describeFiltered(filteredRows: number): string {
  return filteredRows === 0 ? "" : `, ${formatCount(filteredRows)} left out by the row filters`;
}

/** The filters in a model's metadata. */
function recordedFilters(cfg: Readonly<Record<string, unknown>>): RecordedFilters | undefined {
  const filters = trainingRecordOf(cfg)["rowFilters"];
  return typeof filters === "object" && filters !== null ? (filters as RecordedFilters) : undefined;
}
