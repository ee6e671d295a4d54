/**
 * The buffers of record batches as plain bytes, wherever they come from: straight from the file, or unpacked. An
 * unpacked buffer is kept for a while, because a batch is read block by block and column by column.
 */
import { CorpusError } from "../errors.ts";
import type { CorpusErrorPlace } from "../errors.ts";
import type { RangeReader } from "../range-reader.ts";
import type { PlacedBatch } from "./batch-table.ts";
import { unpack } from "./compression.ts";
import type { Codec } from "./compression.ts";
import { CompressionError } from "./lz4-frame.ts";

/** One buffer of a batch. */
export interface BufferSource {
  readonly file: RangeReader;
  /** Byte position in the file of its bytes, packed or plain. */
  readonly position: number;
  /** Bytes of its content. */
  readonly length: number;
  /** Undefined when its bytes are its content. */
  readonly packed: { readonly codec: Codec; readonly length: number } | undefined;
}

/** Compressed buffers are read whole, so they must be of a size that a program can hold beside its work. */
const MAX_UNPACKED_BYTES = 1024 ** 3;
/** Unpacked buffers kept beside the newest one: the batches of the two blocks that a stream reads at a time. */
const KEPT_BYTES = 128 * 1024 * 1024;

/**
 * Finds a buffer of a batch.
 * @param index among the batch's buffers.
 * @throws CorpusError malformed when there is no such buffer, unsupported when it unpacks to more than 1 GiB.
 */
export async function findBuffer(
  file: RangeReader,
  batch: PlacedBatch,
  index: number,
  place: CorpusErrorPlace,
  signal?: AbortSignal,
): Promise<BufferSource> {
  const region = batch.buffers[index];
  if (region === undefined) {
    throw new CorpusError("malformed", "the batch's header does not fit its schema", place);
  }
  const position = batch.bodyPosition + region.offset;
  if (batch.compression === undefined || region.length === 0) {
    return { file, position, length: region.length, packed: undefined };
  }
  if (batch.compression === "unknown") {
    throw new CorpusError("unsupported", "the batch has a compression other than ZSTD and LZ4 frames", place);
  }
  if (region.length < 8) throw new CorpusError("malformed", "a compressed buffer has no length", place);
  const prefix = new Uint8Array(8);
  await file.read(prefix, position, signal);
  const length = Number(new DataView(prefix.buffer).getBigInt64(0, true));
  const rest = region.length - 8;
  if (length === -1) return { file, position: position + 8, length: rest, packed: undefined };
  if (length < 0) {
    throw new CorpusError("malformed", `a compressed buffer claims to unpack to ${length} bytes`, place);
  }
  if (length > MAX_UNPACKED_BYTES || rest > MAX_UNPACKED_BYTES) {
    const what = `a compressed buffer of ${length} bytes, more than 1 GiB, would have to be unpacked whole; write the file uncompressed, or in smaller batches`;
    throw new CorpusError("unsupported", what, place);
  }
  return { file, position: position + 8, length, packed: { codec: batch.compression, length: rest } };
}

/** Reads buffers, and keeps what it unpacked: at most 128 MiB, or the one buffer that is larger. */
export class BufferReader {
  /** By place in the file, the least recently used first. */
  readonly #kept: Map<string, Uint8Array> = new Map();
  #keptBytes = 0;
  #unpacking: Promise<void> = Promise.resolve();

  /**
   * Fills `into` from byte `offset` of the buffer's content on.
   * @throws CorpusError malformed when the buffer is shorter or damaged, and read errors.
   */
  async read(
    source: BufferSource,
    offset: number,
    into: Uint8Array,
    place: CorpusErrorPlace,
    signal?: AbortSignal,
  ): Promise<void> {
    if (offset < 0 || offset + into.byteLength > source.length) {
      throw new CorpusError("malformed", "a buffer of the batch is too short for its rows", place);
    }
    if (into.byteLength === 0) return;
    if (source.packed === undefined) {
      await source.file.read(into, source.position + offset, signal);
      return;
    }
    const content = await this.#content(source, source.packed, place);
    signal?.throwIfAborted();
    into.set(content.subarray(offset, offset + into.byteLength));
  }

  /** Forgets what it kept. */
  clear(): void {
    this.#kept.clear();
    this.#keptBytes = 0;
  }

  async #content(
    source: BufferSource,
    packed: { readonly codec: Codec; readonly length: number },
    place: CorpusErrorPlace,
  ): Promise<Uint8Array> {
    const key = `${source.position} ${source.file.path}`;
    const known = this.#use(key);
    if (known !== undefined) return known;
    // One at a time: two large buffers at once would double the memory, and are often the same.
    const turn = this.#unpacking.then(async () => {
      const meanwhile = this.#use(key);
      if (meanwhile !== undefined) return meanwhile;
      this.#makeRoom(source.length);
      const content = await unpackBuffer(source, packed, place);
      this.#kept.set(key, content);
      this.#keptBytes += content.byteLength;
      return content;
    });
    this.#unpacking = turn.then(
      () => undefined,
      () => undefined,
    );
    return await turn;
  }

  #use(key: string): Uint8Array | undefined {
    const content = this.#kept.get(key);
    if (content !== undefined) {
      this.#kept.delete(key);
      this.#kept.set(key, content);
    }
    return content;
  }

  #makeRoom(bytes: number): void {
    for (const [key, content] of this.#kept) {
      if (this.#keptBytes + bytes <= KEPT_BYTES) return;
      this.#kept.delete(key);
      this.#keptBytes -= content.byteLength;
    }
  }
}

async function unpackBuffer(
  source: BufferSource,
  packed: { readonly codec: Codec; readonly length: number },
  place: CorpusErrorPlace,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(packed.length);
  await source.file.read(bytes, source.position);
  try {
    return await unpack(packed.codec, bytes, source.length);
  } catch (cause) {
    if (!(cause instanceof CompressionError)) throw cause;
    const name = packed.codec === "lz4" ? "LZ4" : "ZSTD";
    throw new CorpusError("malformed", `a buffer's ${name} data are damaged (${cause.message})`, {
      ...place,
      cause,
    });
  }
}
