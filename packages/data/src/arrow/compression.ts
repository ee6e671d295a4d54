/**
 * Unpacks the compressed buffers of record batches: ZSTD by node:zlib, LZ4 frames by our own decoder. Memory is
 * taken only for content that the packed bytes could hold. Knows no files.
 */
import { createZstdDecompress, zstdDecompressSync } from "node:zlib";
import { CompressionError, unpackLz4Frame } from "./lz4-frame.ts";

/** How the buffers of a batch are compressed. */
export type Codec = "lz4" | "zstd";

/** Below, setting up a stream costs more than the main thread waits. */
const AT_ONCE_BYTES = 64 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** A ZSTD block takes 4 bytes at least and gives 128 KiB at most. */
const ZSTD_MAX_RATIO = (128 * 1024) / 4;

/**
 * The content of a compressed buffer, which must have `length` bytes.
 * @throws CompressionError when it is damaged, or is of another length.
 */
export async function unpack(codec: Codec, packed: Uint8Array, length: number): Promise<Uint8Array> {
  return codec === "lz4" ? unpackLz4Frame(packed, length) : unpackZstd(packed, length);
}

async function unpackZstd(packed: Uint8Array, length: number): Promise<Uint8Array> {
  const declared = zstdContentSize(packed);
  if (declared !== undefined && declared !== length) {
    throw new CompressionError(`the frame holds ${declared} bytes instead of ${length}`);
  }
  if (length > packed.byteLength * ZSTD_MAX_RATIO) {
    throw new CompressionError(`${packed.byteLength} bytes of ZSTD cannot hold ${length}`);
  }
  try {
    const content =
      length <= AT_ONCE_BYTES
        ? zstdDecompressSync(packed, { maxOutputLength: Math.max(1, length) })
        : await unpackStream(packed, length);
    if (content.byteLength === length) return content;
    throw new CompressionError(`the content has ${content.byteLength} bytes instead of ${length}`);
  } catch (cause) {
    if (cause instanceof CompressionError) throw cause;
    throw new CompressionError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

async function unpackStream(packed: Uint8Array, length: number): Promise<Uint8Array> {
  const stream = createZstdDecompress({ chunkSize: CHUNK_BYTES });
  stream.end(packed);
  const content = new Uint8Array(length);
  let done = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    if (done + chunk.byteLength > length) throw new CompressionError("the content is longer than promised");
    content.set(chunk, done);
    done += chunk.byteLength;
  }
  return content.subarray(0, done);
}

/**
 * The size of the content that a ZSTD frame's header declares, if it does.
 *
 *   magic 28 B5 2F FD | flags: bits 7-6 size of the field, 5 single segment, 1-0 size of the dictionary's id
 *   [window byte, unless single segment] | [dictionary's id] | [content size: 1, 2 (+ 256), 4 or 8 bytes]
 */
function zstdContentSize(frame: Uint8Array): number | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.byteLength < 6 || view.getUint32(0, true) !== 0xfd2fb528) {
    throw new CompressionError("it does not begin with a ZSTD frame");
  }
  const flags = view.getUint8(4);
  const single = (flags & 0b100000) !== 0;
  const code = flags >> 6;
  if (code === 0 && !single) return undefined;
  const at = 5 + (single ? 0 : 1) + [0, 1, 2, 4][flags & 3]!;
  const width = [1, 2, 4, 8][code]!;
  if (at + width > frame.byteLength) throw new CompressionError("the frame's header is cut short");
  if (width === 1) return view.getUint8(at);
  if (width === 2) return view.getUint16(at, true) + 256;
  return width === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
}
