/**
 * Reads everything that a corpus has and names each fault by its place, going on after a fault where it can: with the
 * next batch, or the next file. Memory: one block.
 */
import { valueBytes } from "./arrow/vector-column.ts";
import type { Block } from "./blocks.ts";
import { openUnread } from "./open-corpus.ts";
import type { CorpusOptions } from "./open-corpus.ts";
import type { Corpus } from "./corpus.ts";
import { CorpusError, isCorpusError } from "./errors.ts";
import type { CorpusErrorKind } from "./errors.ts";
import { resolvePaths } from "./paths.ts";
import { Storage } from "./storage.ts";
import { nonFinite } from "./stream.ts";
import { isSyntheticPath } from "./synthetic/path.ts";
import { createRowWriter, rawValues, rowTarget } from "./transform.ts";

/** Options of `checkCorpus`. */
export interface CheckOptions extends Omit<CorpusOptions, "blockBytes"> {
  /** Called for each fault, in the order of files, batches and rows. */
  readonly onFault?: ((fault: CorpusError) => void) | undefined;
  /** Called after each block; a file that is read in part counts as a fraction. */
  readonly onProgress?: ((filesDone: number, files: number) => void) | undefined;
}

/** What a check came to. */
export interface CheckResult {
  readonly files: number;
  readonly faultyFiles: number;
  /** Rows whose numbers were read. */
  readonly rows: number;
  readonly faults: number;
}

/**
 * Checks the files that the patterns name: headers, vectors, labels, and that all numbers are finite and all files
 * agree.
 * @throws CorpusError when the patterns name no files, and for what is no fault of the data: changed, unreachable.
 */
export async function checkCorpus(
  patterns: readonly string[],
  options: CheckOptions = {},
): Promise<CheckResult> {
  const synthetic = patterns.find(isSyntheticPath);
  if (synthetic !== undefined) {
    throw new CorpusError("invalid-option", "a synthetic corpus has no files to check", { path: synthetic });
  }
  const paths = await filesOf(patterns, options);
  const check = new Check(options, paths.length);
  for (const [i, path] of paths.entries()) {
    await check.file(path, (share) => options.onProgress?.(i + share, paths.length));
  }
  return check.result();
}

async function filesOf(patterns: readonly string[], options: CheckOptions): Promise<readonly string[]> {
  const storage = new Storage(options.remote);
  try {
    return await resolvePaths(patterns, (address) => storage.list(address, options.signal));
  } finally {
    await storage.close();
  }
}

/** What may happen while sound data are read. */
const NO_FAULTS: readonly CorpusErrorKind[] = ["changed", "unreachable", "not-found"];

/** One run of a check. */
class Check {
  readonly #options: CheckOptions;
  readonly #files: number;
  /** The first file that could be opened, which the others must agree with. */
  #first:
    | {
        readonly path: string;
        readonly widths: string;
        readonly type: string;
        readonly columns: readonly string[];
      }
    | undefined;
  /** Faults that were named, without those of single rows: a damaged batch is met by several blocks. */
  readonly #named = new Set<string>();
  #emptyFile: CorpusError | undefined;
  #faultyFiles = 0;
  #rows = 0;
  #faults = 0;

  constructor(options: CheckOptions, files: number) {
    this.#options = options;
    this.#files = files;
  }

  /** @param onProgress told the share of the file that has been read. */
  async file(path: string, onProgress: (share: number) => void): Promise<void> {
    const before = this.#faults;
    await this.#file(path, onProgress);
    if (this.#faults > before) this.#faultyFiles++;
  }

  result(): CheckResult {
    // A file without rows is a fault only where there are none at all.
    if (this.#faults === 0 && this.#first === undefined && this.#emptyFile !== undefined) {
      this.#name(this.#emptyFile);
      this.#faultyFiles++;
    }
    return { files: this.#files, faultyFiles: this.#faultyFiles, rows: this.#rows, faults: this.#faults };
  }

  async #file(path: string, onProgress: (share: number) => void): Promise<void> {
    const { signal, remote } = this.#options;
    let corpus: Corpus;
    try {
      corpus = await openUnread([path], {
        column: this.#first?.columns ?? this.#options.column,
        remote,
        signal,
      });
    } catch (error) {
      if (isCorpusError(error, "empty")) this.#emptyFile = error;
      else this.#fault(error);
      return;
    }
    try {
      const { type, column } = corpus;
      const widths = corpus.columns.map(({ dIn }) => dIn).join(" + ");
      const columns = corpus.columns.map(({ name }) => name);
      this.#first ??= { path, widths, type, columns };
      if (widths !== this.#first.widths || type !== this.#first.type) {
        const what = `${widths} x ${type}, but ${this.#first.path} has ${this.#first.widths} x ${this.#first.type}; the files of a corpus must agree`;
        this.#fault(new CorpusError("dimension-mismatch", what, { path, column }));
      }
      await this.#blocks(corpus, onProgress);
    } finally {
      await corpus.close();
    }
  }

  async #blocks(corpus: Corpus, onProgress: (share: number) => void): Promise<void> {
    const { dIn, type, rowsPerBlock } = corpus;
    const bytes = new Uint8Array(rowsPerBlock * dIn * valueBytes(type));
    const values = rawValues(type, bytes.buffer, 0, rowsPerBlock * dIn);
    const row = new Float32Array(dIn);
    const target = rowTarget(row);
    const writeRow = createRowWriter(type, dIn);
    for (const block of corpus.blocks) {
      // Batch by batch, so that the rows beside a damaged batch are looked at, too.
      for (const part of partsOf(block)) {
        if (!(await this.#attempt(() => corpus.readBlock(part, bytes, this.#options.signal)))) continue;
        for (let i = 0; i < part.rows; i++) {
          if (!writeRow(values, i * dIn, target, 0)) this.#name(nonFinite(corpus, part.firstRow + i, row));
        }
        this.#rows += part.rows;
      }
      for (const { name } of corpus.labels) {
        for (const part of partsOf(block)) {
          await this.#attempt(() => corpus.readLabels(part, [name], this.#options.signal));
        }
      }
      onProgress((block.firstRow + block.rows) / corpus.rows);
    }
  }

  /** True when it went well; else its fault is named. */
  async #attempt(read: () => Promise<unknown>): Promise<boolean> {
    try {
      await read();
      return true;
    } catch (error) {
      this.#fault(error);
      return false;
    }
  }

  /** Names a fault of the data, unless it has been; throws what is none. */
  #fault(error: unknown): void {
    if (!isCorpusError(error) || NO_FAULTS.includes(error.kind)) throw error;
    if (this.#named.has(error.message)) return;
    this.#named.add(error.message);
    this.#name(error);
  }

  #name(fault: CorpusError): void {
    this.#faults++;
    this.#options.onFault?.(fault);
  }
}

/** A block's parts that lie in one batch each, as blocks. */
function partsOf(block: Block): readonly Block[] {
  const rowBytes = block.byteLength / block.rows;
  let firstRow = block.firstRow;
  return block.segments.map((segment) => {
    const part = {
      index: block.index,
      firstRow,
      rows: segment.rows,
      byteLength: segment.rows * rowBytes,
      segments: [segment],
    };
    firstRow += segment.rows;
    return part;
  });
}
