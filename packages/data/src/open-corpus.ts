/**
 * Opens a corpus of one or more Arrow files: reads headers only, and refuses what cannot be read, by file, batch and
 * row. The values are read later, block by block (`arrow-corpus.ts`). Knows nothing of models, shuffling or statistics.
 */
import { ArrowCorpus } from "./arrow-corpus.ts";
import type { Sources } from "./arrow-corpus.ts";
import { BufferReader } from "./arrow/buffers.ts";
import { valueBytes } from "./arrow/vector-column.ts";
import { planBlocks } from "./blocks.ts";
import { columnNames } from "./columns.ts";
import { mapConcurrently } from "./concurrently.ts";
import type { Corpus } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { commonShape, openFile } from "./opened-files.ts";
import type { OpenedFile } from "./opened-files.ts";
import { resolvePaths } from "./paths.ts";
import type { RemoteOptions } from "./remote/options.ts";
import { Storage } from "./storage.ts";
import { openSyntheticCorpus } from "./synthetic/corpus.ts";
import { isSyntheticPath } from "./synthetic/path.ts";

/** Options of `openCorpus`. */
export interface CorpusOptions {
  /**
   * The vector column. Default: the only column that holds vectors. Several: a row is their vectors side by side, in
   * this order; they must have one number type, and their rows in the same record batches.
   */
  readonly column?: string | readonly string[] | undefined;
  /** Most bytes of values in a block, at least one row and at most 16 MiB. Default: 4 MiB. */
  readonly blockBytes?: number | undefined;
  /** How corpora on servers are read and cached. Default: as the environment says. */
  readonly remote?: RemoteOptions | undefined;
  /** Stops the opening. */
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_BLOCK_BYTES = 4 * 1024 * 1024;
const MAX_BLOCK_BYTES = 16 * 1024 * 1024;

/** Files opened at a time: on a server each takes several round trips. */
const FILES_IN_FLIGHT = 8;

/**
 * Opens the files that the patterns (paths and globs) name as one corpus, ordered by the bytes of their paths; or
 * the one synthetic corpus that `synth:<preset>` names.
 * @throws CorpusError for whatever is wrong with the patterns, the options or the files.
 */
export async function openCorpus(patterns: readonly string[], options: CorpusOptions = {}): Promise<Corpus> {
  return await openFiles(patterns, options, true);
}

/** As `openCorpus`, but reads no values yet, so that it may succeed where they are damaged; the fingerprint is empty. */
export async function openUnread(patterns: readonly string[], options: CorpusOptions): Promise<Corpus> {
  return await openFiles(patterns, options, false);
}

async function openFiles(
  patterns: readonly string[],
  options: CorpusOptions,
  withFingerprint: boolean,
): Promise<Corpus> {
  const blockBytes = options.blockBytes ?? DEFAULT_BLOCK_BYTES;
  if (!Number.isInteger(blockBytes) || blockBytes < 1 || blockBytes > MAX_BLOCK_BYTES) {
    const what = `blockBytes must be an integer between 1 and ${MAX_BLOCK_BYTES} (16 MiB), got ${blockBytes}`;
    throw new CorpusError("invalid-option", what);
  }
  const synthetic = patterns.find(isSyntheticPath);
  if (synthetic !== undefined) {
    if (patterns.length === 1) return await openSyntheticCorpus(synthetic, { ...options, blockBytes });
    throw new CorpusError("invalid-option", "a synthetic corpus stands alone: name it without others", {
      path: synthetic,
    });
  }
  const storage = new Storage(options.remote);
  const reader = new BufferReader();
  try {
    const paths = await resolvePaths(patterns, (address) => storage.list(address, options.signal));
    const open = (
      path: string,
      names: readonly (string | undefined)[],
      namedBy?: string,
    ): Promise<OpenedFile> => openFile(storage, reader, path, names, options.signal, namedBy);
    const [firstPath, ...otherPaths] = paths;
    if (firstPath === undefined) throw new Error("internal: patterns name files");
    const first = await open(firstPath, columnNames(options.column));
    const names = first.columns.map(({ column }) => column);
    const namedBy = options.column === undefined ? firstPath : undefined;
    const others = await mapConcurrently(otherPaths, FILES_IN_FLIGHT, (path) => open(path, names, namedBy));
    const opened = [first, ...others];
    const corpus = assemble({ storage, reader, opened }, blockBytes);
    if (withFingerprint) corpus.fingerprint = await fingerprint(corpus, opened, options.signal);
    return corpus;
  } catch (error) {
    await storage.close();
    throw error;
  }
}

function assemble(sources: Sources, blockBytes: number): ArrowCorpus {
  const { opened } = sources;
  const { columns, type } = commonShape(opened);
  const dIn = columns.reduce((sum, column) => sum + column.dIn, 0);
  const rowBytes = dIn * valueBytes(type);
  if (rowBytes > MAX_BLOCK_BYTES) {
    const what = `a row of ${dIn} numbers takes ${rowBytes} bytes; at most ${MAX_BLOCK_BYTES} (16 MiB) are read`;
    throw new CorpusError("unsupported", what, { path: opened[0]?.file.path, column: columns[0]?.name });
  }
  const batchRows = opened.map(({ vectors }) => vectors.batches.rows);
  const rowsPerBlock = Math.max(1, Math.floor(blockBytes / rowBytes));
  const blocks = planBlocks(batchRows, rowBytes, rowsPerBlock);
  return new ArrowCorpus(sources, { dIn, type, columns, blocks, rowsPerBlock });
}

async function fingerprint(
  corpus: Corpus,
  opened: readonly OpenedFile[],
  signal: AbortSignal | undefined,
): Promise<string> {
  const rowBytes = corpus.dIn * valueBytes(corpus.type);
  const columns = opened.map(({ vectors }) => vectors.batches.rows);
  // It must not depend on the block size, so it has its own plan.
  const plan = planBlocks(columns, rowBytes, Math.max(1, Math.floor(DEFAULT_BLOCK_BYTES / rowBytes)));
  const first = plan.at(0)!;
  const memory = new Uint8Array(first.byteLength);
  const ends = async function* (): AsyncIterable<Uint8Array> {
    for (const block of plan.length > 1 ? [first, plan.at(-1)!] : [first]) {
      // The first block may be that of a small file, and the last a whole one.
      const bytes = block.byteLength <= memory.byteLength ? memory : new Uint8Array(block.byteLength);
      await corpus.readBlock(block, bytes, signal);
      yield bytes.subarray(0, block.byteLength);
    }
  };
  const parts = opened.map(({ file, index }) => ({ ...file, metadataBytes: index.metadataBytes }));
  const names = corpus.columns.map(({ name }) => name);
  return await fingerprintOf(names.length === 1 ? corpus.column : JSON.stringify(names), parts, ends());
}
