/**
 * Indexes an Arrow IPC file or stream: finds its schema and the position of every record batch, reading headers
 * only. Every length is checked against the file's size before anything of that length is allocated.
 *
 *   file:    "ARROW1" 0 0 | messages | footer | i32 footer length | "ARROW1"
 *   stream:  messages | FF FF FF FF 00 00 00 00 (or just the end)
 *   message: FF FF FF FF | i32 metadata length | metadata, padded to 8 | body
 */
import type { Schema } from "apache-arrow";
import { forConcurrently } from "../concurrently.ts";
import { CorpusError } from "../errors.ts";
import type { RangeReader } from "../range-reader.ts";
import { BatchTable } from "./batch-table.ts";
import type { PlacedBatch, PlacedBatches } from "./batch-table.ts";
import { BigEndianError, decodeFooter, decodeMessage } from "./headers.ts";
import type { FooterBlock, MessageHeader } from "./headers.ts";

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
  readonly batches: PlacedBatches;
  readonly dictionaries: readonly PlacedDictionary[];
  /** The bytes of the footer (file) or of the schema message (stream). */
  readonly metadataBytes: Uint8Array;
}

const MAGIC = "ARROW1";
const END_MARK_BYTES = 8;
/** What tells other formats from ours. */
const START_BYTES = 9;
/** No sane header is larger; the check keeps a damaged length from allocating gigabytes. */
const MAX_METADATA_BYTES = 256 * 1024 * 1024;
/** Headers of batches read at a time: on a server each costs a round trip. */
const HEADERS_IN_FLIGHT = 16;
/** First guess at a message's metadata: covers a batch of some hundred buffers in one read. */
const FIRST_READ_BYTES = 4096;

/** @throws CorpusError empty, not-arrow, not-packed, truncated, malformed, unsupported. */
export async function indexIpc(file: RangeReader, signal?: AbortSignal): Promise<IpcIndex> {
  if (file.size === 0) throw new CorpusError("empty", "the file is empty (0 bytes)", { path: file.path });
  const start = new Uint8Array(Math.min(START_BYTES, file.size));
  await file.read(start, 0, signal);
  const text = Buffer.from(start).toString("latin1");
  if (text.startsWith(MAGIC)) return indexFile(file, signal);
  if (text.startsWith("\xff\xff\xff\xff")) return indexStream(file, signal);
  throw notArrow(text, file.path);
}

/** What a file is instead, by its first bytes. */
function notArrow(start: string, path: string): CorpusError {
  const right = "an Arrow IPC file or stream is needed";
  const packable = packableFormat(start);
  if (packable !== undefined)
    return new CorpusError("not-packed", `is ${packable}; ${right}: convert it first`, { path });
  const refusal = (what: string): CorpusError => new CorpusError("not-arrow", what, { path });
  if (start.startsWith("FEA1"))
    return refusal(`is a Feather file of version 1; ${right}: write it again as version 2`);
  if (start.startsWith("PK\x03\x04"))
    return refusal(
      `is a zip archive, as .npz and PyTorch's files are; ${right}: save its arrays as .npy or safetensors`,
    );
  return refusal(`is not Arrow data (neither "ARROW1" nor a stream's FF FF FF FF at its start); ${right}`);
}

/** A format that `packCorpus` reads. */
function packableFormat(start: string): string | undefined {
  if (start.startsWith("PAR1")) return "a Parquet file";
  if (start.startsWith("\x93NUMPY")) return "a NumPy array";
  // Eight bytes of a length below 4 GiB, then JSON.
  return /^.{4}\0{4}\{/s.test(start) ? "a safetensors file" : undefined;
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

  const headers = new HeaderReader(file, footerPosition, signal);
  const readBlock = async (block: FooterBlock, name: string): Promise<PlacedHeader> => {
    if (block.offset + block.metadataLength + block.bodyLength > footerPosition) {
      throw new CorpusError("truncated", `${name} ends beyond the file's data`, { path });
    }
    const message = await headers.read(block.offset, name, block.metadataLength);
    if (message === undefined) throw new CorpusError("malformed", `${name} is not a message`, { path });
    return message;
  };
  const dictionaries: PlacedDictionary[] = [];
  for (let i = 0; i < footer.dictionaries.length; i++) {
    const { header, bodyPosition } = await readBlock(footer.dictionaries.at(i), `dictionary ${i}`);
    if (header.kind !== "dictionary") {
      throw new CorpusError("malformed", `dictionary ${i} of the footer is another message`, { path });
    }
    const { batch, id, isDelta } = header;
    dictionaries.push({ ...batch, bodyPosition, id, isDelta, fromBatch: 0 });
  }
  const batches = new BatchTable();
  await forConcurrently(footer.batches.length, HEADERS_IN_FLIGHT, async (i) => {
    const { header, bodyPosition } = await readBlock(footer.batches.at(i), `batch ${i}`);
    if (header.kind !== "batch") {
      throw new CorpusError("malformed", "the footer's entry is not a record batch", { path, batch: i });
    }
    batches.set(i, header.batch, bodyPosition);
  });
  return { format: "file", schema: footer.schema, batches, dictionaries, metadataBytes };
}

async function indexStream(file: RangeReader, signal: AbortSignal | undefined): Promise<IpcIndex> {
  const { path, size } = file;
  const headers = new HeaderReader(file, size, signal);
  const first = await headers.read(0, "the schema");
  if (first?.header.kind !== "schema") {
    throw new CorpusError("malformed", "the first message of the stream is not its schema", { path });
  }
  const batches = new BatchTable();
  const dictionaries: PlacedDictionary[] = [];
  let position = first.end;
  while (position < size) {
    const message = await headers.read(position, `batch ${batches.length}`);
    if (message === undefined) {
      await requireLast(file, position, batches.length, signal);
      break;
    }
    const { header, bodyPosition } = message;
    if (header.kind === "batch") batches.set(batches.length, header.batch, bodyPosition);
    else if (header.kind === "dictionary") {
      const { batch, id, isDelta } = header;
      dictionaries.push({ ...batch, bodyPosition, id, isDelta, fromBatch: batches.length });
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

/** Of streams one after the other in a file, as `cat` makes, only the first would be read. */
async function requireLast(
  file: RangeReader,
  endMark: number,
  batches: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const next = new Uint8Array(4);
  const position = endMark + END_MARK_BYTES;
  if (position + next.length > file.size) return;
  await file.read(next, position, signal);
  if (next.some((byte) => byte !== 0xff)) return;
  const what = `another stream begins after ${batches} record batches, at byte ${position}: give each a file of its own`;
  throw new CorpusError("unsupported", what, { path: file.path });
}

interface PlacedHeader {
  readonly header: MessageHeader;
  readonly metadata: Uint8Array;
  readonly bodyPosition: number;
  /** Byte position after the body. */
  readonly end: number;
}

/** Reads the headers of messages. Most batches of a file have the same one, which is then decoded once. */
class HeaderReader {
  readonly #file: RangeReader;
  readonly #limit: number;
  readonly #signal: AbortSignal | undefined;
  /** Memory for reads, as much as there are under way. */
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];
  #latest: { readonly header: MessageHeader; readonly metadata: Uint8Array } | undefined;

  /** @param limit byte position where the messages must have ended. */
  constructor(file: RangeReader, limit: number, signal: AbortSignal | undefined) {
    this.#file = file;
    this.#limit = limit;
    this.#signal = signal;
  }

  /**
   * Reads one message's header; undefined at a stream's end mark.
   * @param expected bytes that the header is said to have.
   */
  async read(position: number, name: string, expected = FIRST_READ_BYTES): Promise<PlacedHeader | undefined> {
    const memory = this.#spare.pop() ?? new Uint8Array(FIRST_READ_BYTES);
    const found = await this.#metadata(memory, position, name, expected);
    if (found === undefined) return undefined;
    const { header, metadata } = this.#decode(found.metadata, name);
    this.#spare.push(memory);
    const { path } = this.#file;
    const end = found.bodyPosition + header.bodyLength;
    if (end > this.#limit) {
      throw new CorpusError(
        "truncated",
        `${name} needs ${header.bodyLength} bytes, but only ${this.#limit - found.bodyPosition} are left: the file was not written to its end`,
        { path },
      );
    }
    return { header, metadata, bodyPosition: found.bodyPosition, end };
  }

  /** The message's metadata, in `memory` if it fits. */
  async #metadata(
    memory: Uint8Array<ArrayBuffer>,
    position: number,
    name: string,
    expected: number,
  ): Promise<{ metadata: Uint8Array; bodyPosition: number } | undefined> {
    const { path } = this.#file;
    const limit = this.#limit;
    const cutOff = (): CorpusError =>
      new CorpusError("truncated", `the file ends inside the header of ${name}`, { path });
    const guess = memory.subarray(
      0,
      Math.min(FIRST_READ_BYTES, Math.max(expected, 8), Math.max(0, limit - position)),
    );
    if (guess.length < 4) throw cutOff();
    await this.#file.read(guess, position, this.#signal);
    const view = new DataView(guess.buffer, guess.byteOffset, guess.byteLength);
    // Before Arrow 0.15 there was no continuation mark; files of that time are still about.
    const marked = view.getUint32(0, true) === 0xffffffff;
    const prefix = marked ? 8 : 4;
    if (guess.length < prefix) throw cutOff();
    const length = view.getInt32(prefix - 4, true);
    if (length === 0) return undefined;
    if (length < 0 || length > MAX_METADATA_BYTES) {
      throw new CorpusError("malformed", `the header of ${name} claims ${length} bytes`, { path });
    }
    const bodyPosition = position + prefix + length;
    if (bodyPosition > limit) throw cutOff();
    const known = guess.length - prefix;
    if (length <= known) return { metadata: guess.subarray(prefix, prefix + length), bodyPosition };
    const metadata = new Uint8Array(length);
    metadata.set(guess.subarray(prefix));
    await this.#file.read(metadata.subarray(known), position + prefix + known, this.#signal);
    return { metadata, bodyPosition };
  }

  /** Decodes and checks metadata, which it copies. */
  #decode(bytes: Uint8Array, name: string): { header: MessageHeader; metadata: Uint8Array } {
    if (this.#latest !== undefined && Buffer.compare(bytes, this.#latest.metadata) === 0) return this.#latest;
    const metadata = Uint8Array.from(bytes);
    const { path } = this.#file;
    const header = decoding(path, name, () => decodeMessage(metadata));
    if (header.kind === "batch" || header.kind === "dictionary") {
      for (const region of header.batch.buffers) {
        if (region.offset + region.length > header.bodyLength) {
          throw new CorpusError("malformed", `a buffer of ${name} lies outside of it`, { path });
        }
      }
    }
    return (this.#latest = { header, metadata });
  }
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
