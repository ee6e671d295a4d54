/**
 * Which rows are read: those of a split that no filter leaves out. A seeded hash decides who is held out, per
 * document (rows that share a label), or per row where there is no document column. A pure function of corpus and
 * options; nothing is stored.
 */
import type { LabelValue } from "./arrow/label-values.ts";
import { valueBytes } from "./arrow/vector-column.ts";
import type { Block } from "./blocks.ts";
import type { Corpus } from "./corpus.ts";
import { readAhead } from "./concurrently.ts";
import { CorpusError } from "./errors.ts";
import { resolveFilters } from "./filter/row-filter.ts";
import type { ResolvedFilters, RowFilters } from "./filter/row-filter.ts";
import { Purpose, hash32, hashString } from "./random.ts";
import { blocksInFlight } from "./remote/address.ts";
import { rawValues } from "./transform.ts";

/** Rows to train on, rows held out for evaluation, or both. */
export type Split = "train" | "held-out" | "all";

/** How rows are held out. */
export interface HeldOutOptions {
  /** Share of documents (or rows) held out, from 0 to 1. Default: 0.01. */
  readonly fraction?: number | undefined;
  /**
   * Label column whose value names a row's document; `null` holds out single rows. Default: the column
   * `document` where there is one, else `sequence` (which nested corpora always have), else single rows.
   */
  readonly documentColumn?: string | null | undefined;
  /** Decides who is held out. Any safe integer. Default: the seed of the options that these belong to. */
  readonly seed?: number | undefined;
}

/** Options of every function that reads a split. */
export interface SplitOptions {
  /** Any safe integer. Decides who is held out, so training and evaluation need one: see `heldOut.seed`. */
  readonly seed: number;
  /** Default: `all`. */
  readonly split?: Split | undefined;
  readonly heldOut?: HeldOutOptions | undefined;
  /** Rows to leave out of every split. Who is held out does not depend on them. Default: none. */
  readonly filters?: RowFilters | undefined;
}

/** Split options checked against a corpus. */
export interface ResolvedSplit {
  readonly split: Split;
  readonly seed: number;
  readonly fraction: number;
  /** Undefined: single rows are held out, or the split does not ask who is. */
  readonly documentColumn: string | undefined;
  /** Undefined: no row is left out. */
  readonly filters: ResolvedFilters | undefined;
}

const DEFAULT_FRACTION = 0.01;
const DEFAULT_DOCUMENT_COLUMNS = ["document", "sequence"] as const;

/** @throws CorpusError invalid-option, no-label-column, unsupported (a document column of an unreadable type). */
export function resolveSplit(corpus: Corpus, options: SplitOptions): ResolvedSplit {
  const { split = "all" } = options;
  const seed = options.heldOut?.seed ?? options.seed;
  const fraction = options.heldOut?.fraction ?? DEFAULT_FRACTION;
  for (const value of [options.seed, seed]) {
    if (Number.isSafeInteger(value)) continue;
    throw new CorpusError("invalid-option", `a seed must be a safe integer, got ${value}`);
  }
  if (!(fraction >= 0 && fraction <= 1)) {
    const what = `the held-out fraction must be between 0 and 1, got ${fraction}`;
    throw new CorpusError("invalid-option", what);
  }
  return {
    split,
    seed,
    fraction,
    documentColumn:
      split === "all" ? undefined : documentColumn(corpus, options.heldOut?.documentColumn, fraction),
    filters: resolveFilters(corpus, options.filters),
  };
}

function documentColumn(
  corpus: Corpus,
  asked: string | null | undefined,
  fraction: number,
): string | undefined {
  // Where nobody is held out only a column that was named can be wrong.
  if (asked === null || (asked === undefined && fraction === 0)) return undefined;
  const names = [...corpus.labels, ...corpus.ignoredColumns].map((column) => column.name);
  const name = asked ?? DEFAULT_DOCUMENT_COLUMNS.find((one) => names.includes(one));
  if (name === undefined) return undefined;
  if (corpus.labels.some((label) => label.name === name)) return name;
  const ignored = corpus.ignoredColumns.find((column) => column.name === name);
  if (ignored !== undefined) {
    // What would be right depends on the caller: another column, single rows, all rows, or none held out.
    const what = `cannot serve to hold out whole documents: ${ignored.why}`;
    throw new CorpusError("unsupported", what, { column: name, option: "documentColumn" });
  }
  const known = corpus.labels.map((label) => `"${label.name}"`).join(", ") || "none";
  throw new CorpusError("no-label-column", `there is no document column "${name}"; label columns: ${known}`, {
    option: "documentColumn",
  });
}

/**
 * The rows of a block that belong to the split and that no filter leaves out: indices within the block, ascending.
 * Reads labels where documents are held out or filters ask for them, and the values for a filter by norm.
 */
export async function keptRows(
  corpus: Corpus,
  block: Block,
  options: SplitOptions,
  signal?: AbortSignal,
): Promise<Uint32Array> {
  return (await selectRows(corpus, block, resolveSplit(corpus, options), signal)).rows;
}

/** Rows of a block, and how many of its split the filters leave out. */
export interface SelectedRows {
  /** Indices within the block, ascending. */
  readonly rows: Uint32Array;
  readonly filtered: number;
}

/**
 * `keptRows` with options resolved once, and the count of rows left out.
 * @param memory for the block's values, where a filter by norm needs them; default: made for this call.
 */
async function selectRows(
  corpus: Corpus,
  block: Block,
  resolved: ResolvedSplit,
  signal: AbortSignal | undefined,
  memory?: Uint8Array<ArrayBuffer>,
): Promise<SelectedRows> {
  const selected = await selectByLabels(corpus, block, resolved, signal);
  const isWithinNorm = resolved.filters?.isWithinNorm;
  if (isWithinNorm === undefined || selected.rows.length === 0) return selected;
  const bytes = memory ?? new Uint8Array(block.byteLength);
  await corpus.readBlock(block, bytes, signal);
  const values = rawValues(corpus.type, bytes.buffer, 0, block.rows * corpus.dIn);
  const rows = selected.rows.filter((row) => isWithinNorm(values, row * corpus.dIn));
  return { rows, filtered: selected.filtered + selected.rows.length - rows.length };
}

/**
 * As `selectRows`, but for the filter by norm: for whoever reads the values anyway, and asks `isWithinNorm` then.
 * @param memory for the rows, as many as the block has; default: made for this call.
 */
export async function selectByLabels(
  corpus: Corpus,
  block: Block,
  resolved: ResolvedSplit,
  signal?: AbortSignal,
  memory?: Uint32Array<ArrayBuffer>,
): Promise<SelectedRows> {
  const { split, filters } = resolved;
  const isHeldOut =
    resolved.documentColumn === undefined
      ? rowMembership(block, resolved)
      : await documentMembership(corpus, block, resolved, resolved.documentColumn, signal);
  const wanted = split === "held-out";
  const inSplit = (row: number): boolean => split === "all" || isHeldOut(row) === wanted;
  const rows = memory ?? new Uint32Array(block.rows);
  let count = 0;
  if (filters === undefined || filters.columns.length === 0) {
    for (let row = 0; row < block.rows; row++) if (inSplit(row)) rows[count++] = row;
    return { rows: rows.subarray(0, count), filtered: 0 };
  }
  const isKept = filters.bind(await corpus.readLabels(block, filters.columns, signal));
  let filtered = 0;
  for (let row = 0; row < block.rows; row++) {
    if (!inSplit(row)) continue;
    if (isKept(row)) rows[count++] = row;
    else filtered++;
  }
  return { rows: rows.subarray(0, count), filtered };
}

/** Rows of a split. */
export interface SplitCount {
  /** Those that no filter leaves out. */
  readonly rows: number;
  readonly filteredRows: number;
}

/**
 * Exact number of rows in a split without those that filters leave out. Costs a hash per row, or one pass over the
 * labels; with a filter by norm one over the values.
 */
export async function countRows(
  corpus: Corpus,
  options: SplitOptions,
  signal?: AbortSignal,
): Promise<number> {
  return (await countSplit(corpus, options, signal)).rows;
}

/** As `countRows`, and how many rows of the split the filters leave out. */
export async function countSplit(
  corpus: Corpus,
  options: SplitOptions,
  signal?: AbortSignal,
): Promise<SplitCount> {
  const resolved = resolveSplit(corpus, options);
  if (resolved.split === "all" && resolved.filters === undefined) {
    return { rows: corpus.rows, filteredRows: 0 };
  }
  const slots = blocksInFlight(corpus.files);
  const blockBytes = corpus.rowsPerBlock * corpus.dIn * valueBytes(corpus.type);
  const byNorm = resolved.filters?.isWithinNorm !== undefined;
  const memories = byNorm ? Array.from({ length: slots }, () => new Uint8Array(blockBytes)) : [];
  const select = async (block: Block, slot: number): Promise<SelectedRows> => {
    signal?.throwIfAborted();
    return await selectRows(corpus, block, resolved, signal, memories[slot]);
  };
  let rows = 0;
  let filteredRows = 0;
  for await (const selected of readAhead(corpus.blocks, slots, select)) {
    rows += selected.rows.length;
    filteredRows += selected.filtered;
  }
  return { rows, filteredRows };
}

/** Tells for each row of a block whether it is held out by itself. */
function rowMembership(block: Block, { seed, fraction }: ResolvedSplit): (row: number) => boolean {
  const threshold = fraction * 4294967296;
  return (row) => hash32(seed, Purpose.heldOut, block.firstRow + row) < threshold;
}

/** Tells for each row of a block whether its document is held out. */
async function documentMembership(
  corpus: Corpus,
  block: Block,
  resolved: ResolvedSplit,
  column: string,
  signal: AbortSignal | undefined,
): Promise<(row: number) => boolean> {
  const { seed, fraction } = resolved;
  const threshold = fraction * 4294967296;
  const rowIsHeldOut = rowMembership(block, resolved);
  const labels = (await corpus.readLabels(block, [column], signal)).get(column);
  if (labels === undefined) throw new Error("internal: the document labels were not read");
  // Rows of one document are neighbours: remember the last answer.
  let document: LabelValue = null;
  let answer = false;
  return (row) => {
    const value = labels.get(row);
    // A row without a document is its own.
    if (value === null) return rowIsHeldOut(row);
    if (value !== document) {
      document = value;
      answer = hashString(seed, Purpose.heldOut, String(value)) < threshold;
    }
    return answer;
  };
}
