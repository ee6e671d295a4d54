/**
 * Which rows are held out: a seeded hash decides per document (rows that share a label), or per row where there
 * is no document column. A pure function of corpus, seed and fraction; nothing is stored.
 */
import type { LabelValue } from "./arrow/labels.ts";
import type { Block } from "./blocks.ts";
import type { Corpus } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { Purpose, hash32, hashString } from "./random.ts";

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
}

/** Split options checked against a corpus. */
export interface ResolvedSplit {
  readonly split: Split;
  readonly seed: number;
  readonly fraction: number;
  /** Undefined: single rows are held out. */
  readonly documentColumn: string | undefined;
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
  return { split, seed, fraction, documentColumn: documentColumn(corpus, options.heldOut?.documentColumn) };
}

function documentColumn(corpus: Corpus, asked: string | null | undefined): string | undefined {
  if (asked === null) return undefined;
  const names = [...corpus.labels, ...corpus.ignoredColumns].map((column) => column.name);
  const name = asked ?? DEFAULT_DOCUMENT_COLUMNS.find((one) => names.includes(one));
  if (name === undefined) return undefined;
  if (corpus.labels.some((label) => label.name === name)) return name;
  const ignored = corpus.ignoredColumns.find((column) => column.name === name);
  if (ignored !== undefined) {
    const what = `cannot serve to hold out whole documents: ${ignored.why}; name another column, or none`;
    throw new CorpusError("unsupported", what, { column: name });
  }
  const known = corpus.labels.map((label) => `"${label.name}"`).join(", ") || "none";
  throw new CorpusError("no-label-column", `there is no document column "${name}"; label columns: ${known}`);
}

/**
 * The rows of a block that belong to the split: indices within the block, ascending. Reads the block's document
 * labels where documents are held out, and nothing else.
 */
export async function keptRows(
  corpus: Corpus,
  block: Block,
  options: SplitOptions,
  signal?: AbortSignal,
): Promise<Uint32Array> {
  return keptRowsOf(corpus, block, resolveSplit(corpus, options), signal);
}

/** `keptRows` with options resolved once. */
export async function keptRowsOf(
  corpus: Corpus,
  block: Block,
  resolved: ResolvedSplit,
  signal?: AbortSignal,
): Promise<Uint32Array> {
  const kept = new Uint32Array(block.rows);
  let count = 0;
  const isHeldOut = await membership(corpus, block, resolved, signal);
  const wanted = resolved.split === "held-out";
  for (let row = 0; row < block.rows; row++) {
    if (resolved.split === "all" || isHeldOut(row) === wanted) kept[count++] = row;
  }
  return kept.slice(0, count);
}

/**
 * Exact number of rows in a split. Costs a hash per row, or one pass over the document labels.
 */
export async function countRows(
  corpus: Corpus,
  options: SplitOptions,
  signal?: AbortSignal,
): Promise<number> {
  const resolved = resolveSplit(corpus, options);
  if (resolved.split === "all") return corpus.rows;
  const wanted = resolved.split === "held-out";
  let count = 0;
  for (const block of corpus.blocks) {
    signal?.throwIfAborted();
    const isHeldOut = await membership(corpus, block, resolved, signal);
    for (let row = 0; row < block.rows; row++) if (isHeldOut(row) === wanted) count++;
  }
  return count;
}

/** Tells for each row of a block whether it is held out. */
async function membership(
  corpus: Corpus,
  block: Block,
  resolved: ResolvedSplit,
  signal: AbortSignal | undefined,
): Promise<(row: number) => boolean> {
  const { seed, fraction, documentColumn: column, split } = resolved;
  const threshold = fraction * 4294967296;
  const rowIsHeldOut = (row: number): boolean =>
    hash32(seed, Purpose.heldOut, block.firstRow + row) < threshold;
  if (column === undefined || split === "all") return rowIsHeldOut;

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
