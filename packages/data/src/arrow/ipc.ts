/**
 * Indexes an Arrow IPC file or stream: finds its schema and the position of every record batch, reading headers
 * only. Every length is checked against the file's size before anything of that length is allocated.
 *
 *   file:    "ARROW1" 0 0 | messages | footer | i32 footer length | "ARROW1"
 *   stream:  messages | FF FF FF FF 00 00 00 00 (or just the end)
 *   message: FF FF FF FF | i32 metadata length | metadata, padded to 8 | body
 */
import type { Schema } from "apache-arrow";
import { mapConcurrently } from "../concurrently.ts";
import { CorpusError } from "../errors.ts";
import type { RangeReader } from "../range-reader.ts";
import { BigEndianError, decodeFooter, decodeMessage } from "./headers.ts";
import type { BatchHeader, FooterBlock, MessageHeader } from "./headers.ts";

/** A record batch and where its body starts. */
export interface PlacedBatch extends BatchHeader {
  /** Byte position of the body in the file. */
  readonly bodyPosition: number;
}

/** Values of a dictionary-encoded column. */
export interface PlacedDictionary extends PlacedBatch {
  readonly id: number;
  readonly isDelta: boolean;
  /** The first record batch that it applies to. */
  readonly fromBatch: number;
}

/** The index of one file. */
export interface IpcIndex {
  readonly format: "file" | "stream";
  readonly schema: Schema;
  readonly batches: readonly PlacedBatch[];
  readonly dictionaries: readonly PlacedDictionary[];
  /** The bytes of the footer (file) or of the schema message (stream). */
  readonly metadataBytes: Uint8Array;
}

const MAGIC = "ARROW1";
/** No sane header is larger; the check keeps a damaged length from allocating gigabytes. */
const MAX_METADATA_BYTES = 256 * 1024 * 1024;
/** Headers of batches read at a time: on a server each costs a round trip. */
const HEADERS_IN_FLIGHT = 16;
/** First guess at a message's metadata: covers a batch of some hundred buffers in one read. */
const FIRST_READ_BYTES = 4096;

/** @throws CorpusError empty, not-arrow, truncated, malformed, unsupported. */
export async function indexIpc(file: RangeReader, signal?: AbortSignal): Promise<IpcIndex> {
  if (file.size === 0) throw new CorpusError("empty", "the file is empty (0 bytes)", { path: file.path });
  const start = new Uint8Array(Math.min(8, file.size));
  await file.read(start, 0, signal);
  const text = Buffer.from(start).toString("latin1");
  if (text.startsWith(MAGIC)) return indexFile(file, signal);
  if (text.startsWith("\xff\xff\xff\xff")) return indexStream(file, signal);
  throw new CorpusError("not-arrow", notArrow(text), { path: file.path });
}

function notArrow(start: string): string {
  const right = "an Arrow IPC file or stream is needed";
  if (start.startsWith("PAR1")) return `is a Parquet file; ${right}: convert it first`;
  if (start.startsWith("FEA1"))
    return `is a Feather file of version 1; ${right}: write it again as version 2`;
  if (start.startsWith("\x93NUMPY")) return `is a NumPy array; ${right}: convert it first`;
  return `is not Arrow data (neither "ARROW1" nor a stream's FF FF FF FF at its start); ${right}`;
}

async function indexFile(file: RangeReader, signal: AbortSignal | undefined): Promise<IpcIndex> {
  const { path, size } = file;
  const tail = new Uint8Array(10);
  if (size < 8 + tail.length) {
    throw new CorpusError("truncated", "the Arrow file has no footer", { path });
  }
  await file.read(tail, size - tail.length, signal);
  if (Buffer.from(tail).toString("latin1", 4) !== MAGIC) {
    throw new CorpusError(
      "truncated",
      `the end mark "${MAGIC}" is missing: the file was not written to its end`,
      {
        path,
      },
    );
  }
  const footerLength = new DataView(tail.buffer).getInt32(0, true);
  const footerPosition = size - tail.length - footerLength;
  if (footerLength <= 0 || footerPosition < 8 || footerLength > MAX_METADATA_BYTES) {
    throw new CorpusError("malformed", `the footer's length, ${footerLength} bytes, makes no sense`, {
      path,
    });
  }
  const metadataBytes = new Uint8Array(footerLength);
  await file.read(metadataBytes, footerPosition, signal);
  const footer = decoding(path, "the footer", () => decodeFooter(metadataBytes));

  const dictionaries: PlacedDictionary[] = [];
  const readBlock = async (block: FooterBlock, name: string): Promise<ReadMessage> => {
    if (block.offset + block.metadataLength + block.bodyLength > footerPosition) {
      throw new CorpusError("truncated", `${name} ends beyond the file's data`, { path });
    }
    const { offset, metadataLength } = block;
    const message = await readMessage(file, offset, footerPosition, name, signal, metadataLength);
    if (message === undefined) throw new CorpusError("malformed", `${name} is not a message`, { path });
    return message;
  };
  for (const [i, block] of footer.dictionaries.entries()) {
    const message = await readBlock(block, `dictionary ${i}`);
    if (message.header.kind !== "dictionary") {
      throw new CorpusError("malformed", `dictionary ${i} of the footer is another message`, { path });
    }
    dictionaries.push({ ...placed(message), ...dictionaryTags(message.header), fromBatch: 0 });
  }
  // Of each message only what is kept lives on: a large file has many.
  let latest: PlacedBatch | undefined;
  const batches = await mapConcurrently(footer.batches, HEADERS_IN_FLIGHT, async (block, i) => {
    const message = await readBlock(block, `batch ${i}`);
    if (message.header.kind !== "batch") {
      throw new CorpusError("malformed", "the footer's entry is not a record batch", { path, batch: i });
    }
    return (latest = placed(message, latest));
  });
  return { format: "file", schema: footer.schema, batches, dictionaries, metadataBytes };
}

async function indexStream(file: RangeReader, signal: AbortSignal | undefined): Promise<IpcIndex> {
  const { path, size } = file;
  const first = await readMessage(file, 0, size, "the schema", signal);
  if (first?.header.kind !== "schema") {
    throw new CorpusError("malformed", "the first message of the stream is not its schema", { path });
  }
  const batches: PlacedBatch[] = [];
  const dictionaries: PlacedDictionary[] = [];
  let position = first.end;
  while (position < size) {
    const message = await readMessage(file, position, size, `batch ${batches.length}`, signal);
    if (message === undefined) break;
    if (message.header.kind === "batch") batches.push(placed(message, batches.at(-1)));
    else if (message.header.kind === "dictionary") {
      const tags = dictionaryTags(message.header);
      dictionaries.push({ ...placed(message), ...tags, fromBatch: batches.length });
    }
    position = message.end;
  }
  return {
    format: "stream",
    schema: first.header.schema,
    batches,
    dictionaries,
    metadataBytes: first.metadata,
  };
}

interface ReadMessage {
  readonly header: MessageHeader;
  readonly metadata: Uint8Array;
  readonly bodyPosition: number;
  /** Byte position after the body. */
  readonly end: number;
}

/**
 * Reads one message's header; undefined at a stream's end mark.
 * @param limit where the messages must have ended.
 * @param expected bytes that the header is said to have.
 */
async function readMessage(
  file: RangeReader,
  position: number,
  limit: number,
  name: string,
  signal: AbortSignal | undefined,
  expected = FIRST_READ_BYTES,
): Promise<ReadMessage | undefined> {
  const { path } = file;
  const guess = new Uint8Array(Math.min(FIRST_READ_BYTES, Math.max(expected, 8), limit - position));
  if (guess.length < 4)
    throw new CorpusError("truncated", `the file ends inside the header of ${name}`, { path });
  await file.read(guess, position, signal);
  const view = new DataView(guess.buffer);
  // Before Arrow 0.15 there was no continuation mark; files of that time are still about.
  const marked = view.getUint32(0, true) === 0xffffffff;
  const prefix = marked ? 8 : 4;
  if (guess.length < prefix) {
    throw new CorpusError("truncated", `the file ends inside the header of ${name}`, { path });
  }
  const length = view.getInt32(prefix - 4, true);
  if (length === 0) return undefined;
  if (length < 0 || length > MAX_METADATA_BYTES) {
    throw new CorpusError("malformed", `the header of ${name} claims ${length} bytes`, { path });
  }
  if (position + prefix + length > limit) {
    throw new CorpusError("truncated", `the file ends inside the header of ${name}`, { path });
  }
  const metadata = new Uint8Array(length);
  metadata.set(guess.subarray(prefix, prefix + length));
  const known = Math.min(length, guess.length - prefix);
  if (known < length) await file.read(metadata.subarray(known), position + prefix + known, signal);

  const header = decoding(path, name, () => decodeMessage(metadata));
  const bodyPosition = position + prefix + length;
  const end = bodyPosition + header.bodyLength;
  if (end > limit) {
    throw new CorpusError(
      "truncated",
      `${name} needs ${header.bodyLength} bytes, but only ${limit - bodyPosition} are left: the file was not written to its end`,
      { path },
    );
  }
  if (header.kind === "batch" || header.kind === "dictionary") {
    for (const region of header.batch.buffers) {
      if (region.offset + region.length > header.bodyLength) {
        throw new CorpusError("malformed", `a buffer of ${name} lies outside of it`, { path });
      }
    }
  }
  return { header, metadata, bodyPosition, end };
}

/**
 * @param other another batch: most batches have its lists, which are then shared, so that the index of a file of
 * many small batches stays small.
 */
function placed(message: ReadMessage, other?: PlacedBatch): PlacedBatch {
  if (message.header.kind !== "batch" && message.header.kind !== "dictionary") {
    throw new Error("internal: only batches have a place");
  }
  const { batch } = message.header;
  const { bodyPosition } = message;
  const nodes = shared(
    batch.nodes,
    other?.nodes,
    (a, b) => a.length === b.length && a.nullCount === b.nullCount,
  );
  const buffers = shared(
    batch.buffers,
    other?.buffers,
    (a, b) => a.offset === b.offset && a.length === b.length,
  );
  const variadicCounts = shared(batch.variadicCounts, other?.variadicCounts, (a, b) => a === b);
  return { rows: batch.rows, nodes, buffers, variadicCounts, compression: batch.compression, bodyPosition };
}

function shared<T>(
  own: readonly T[],
  other: readonly T[] | undefined,
  equal: (a: T, b: T) => boolean,
): readonly T[] {
  const same = other?.length === own.length && own.every((item, i) => equal(item, other[i]!));
  return same ? other : own;
}

function dictionaryTags(header: { id: number; isDelta: boolean }): { id: number; isDelta: boolean } {
  return { id: header.id, isDelta: header.isDelta };
}

/** Runs a decoder on bytes that may be damaged: whatever it throws is the file's fault. */
function decoding<T>(path: string, name: string, decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    if (cause instanceof BigEndianError) {
      throw new CorpusError("unsupported", "big-endian data; write it on a little-endian machine", {
        path,
        cause,
      });
    }
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new CorpusError("malformed", `${name} cannot be decoded (${detail})`, { path, cause });
  }
}
