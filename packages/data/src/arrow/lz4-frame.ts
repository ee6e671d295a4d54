/**
 * Unpacks one LZ4 frame, with every checksum that it carries verified and every length checked before use
 * (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md and lz4_Block_format.md; decision 011 says why it
 * is our own). Depends on xxhash32 only.
 *
 *   magic 04 22 4D 18 | flags | block size | [u64 content size] | header checksum
 *   u32 size (high bit: stored as it is) | bytes | [u32 checksum of the bytes]   repeated
 *   u32 0 | [u32 checksum of the content]
 */
import { xxhash32 } from "./xxhash32.ts";

/** A compressed buffer that is damaged or of a kind that is not read. */
export class CompressionError extends Error {}

const MAGIC = 0x184d2204;
const STORED = 0x80000000;
/** Content unpacked before other work gets its turn: some 10 ms. */
const TURN_BYTES = 4 * 1024 * 1024;
/** A byte of LZ4 stands for at most 255 bytes of content. */
const MAX_RATIO = 255;

/**
 * The content of a frame.
 * @param length bytes of the content, known from elsewhere; a frame of another length is refused.
 * @throws CompressionError when anything is wrong with the frame.
 */
export async function unpackLz4Frame(frame: Uint8Array, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const header = readHeader(frame, length);
  if (length > MAX_RATIO * frame.byteLength) {
    throw new CompressionError(`${frame.byteLength} bytes of LZ4 cannot hold ${length}`);
  }
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const content = new Uint8Array(length);
  let at = header.byteLength;
  let done = 0;
  let turn = 0;
  for (;;) {
    const word = uint32(view, at);
    at += 4;
    if (word === 0) break;
    const size = word & ~STORED;
    if (size > header.maxBlockBytes || at + size > frame.byteLength) {
      throw new CompressionError(`a block of ${size} bytes does not fit its frame`);
    }
    const block = frame.subarray(at, at + size);
    at += size;
    if (header.blockChecksums) {
      if (uint32(view, at) !== xxhash32(block)) throw new CompressionError("a block's checksum is wrong");
      at += 4;
    }
    const end = Math.min(length, done + header.maxBlockBytes);
    if ((word & STORED) === 0) done = unpackBlock(block, content, done, end, header.linked ? 0 : done);
    else {
      if (done + size > end) throw new CompressionError("the content is longer than promised");
      content.set(block, done);
      done += size;
    }
    if (done - turn >= TURN_BYTES) {
      turn = done;
      await nextTurn();
    }
  }
  if (done !== length) throw new CompressionError(`the content has ${done} bytes instead of ${length}`);
  if (header.contentChecksum) {
    if (uint32(view, at) !== xxhash32(content)) throw new CompressionError("the content's checksum is wrong");
    at += 4;
  }
  if (at !== frame.byteLength) throw new CompressionError("bytes follow the frame");
  return content;
}

interface FrameHeader {
  readonly byteLength: number;
  readonly maxBlockBytes: number;
  /** Blocks may refer to the content before them. */
  readonly linked: boolean;
  readonly blockChecksums: boolean;
  readonly contentChecksum: boolean;
}

function readHeader(frame: Uint8Array, length: number): FrameHeader {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (uint32(view, 0) !== MAGIC) throw new CompressionError("it does not begin with an LZ4 frame");
  if (frame.byteLength < 7) throw new CompressionError("the frame's header is cut short");
  const flags = view.getUint8(4);
  const descriptor = view.getUint8(5);
  if (flags >> 6 !== 1) throw new CompressionError(`version ${flags >> 6} of LZ4 frames is not read`);
  if ((flags & 0b11) !== 0) throw new CompressionError("LZ4 frames with dictionaries are not read");
  const sizeCode = (descriptor >> 4) & 7;
  if (sizeCode < 4) throw new CompressionError(`the block size ${sizeCode} makes no sense`);
  const withSize = (flags & 0b1000) !== 0;
  const checksumAt = withSize ? 14 : 6;
  if (frame.byteLength < checksumAt + 1) throw new CompressionError("the frame's header is cut short");
  if (((xxhash32(frame.subarray(4, checksumAt)) >> 8) & 0xff) !== view.getUint8(checksumAt)) {
    throw new CompressionError("the frame header's checksum is wrong");
  }
  if (withSize && view.getBigUint64(6, true) !== BigInt(length)) {
    throw new CompressionError(`the frame holds ${view.getBigUint64(6, true)} bytes instead of ${length}`);
  }
  return {
    byteLength: checksumAt + 1,
    maxBlockBytes: 2 ** (8 + 2 * sizeCode),
    linked: (flags & 0b100000) === 0,
    blockChecksums: (flags & 0b10000) !== 0,
    contentChecksum: (flags & 0b100) !== 0,
  };
}

/**
 * Unpacks a block into `content` from `start` on, and returns where it ended.
 * @param end the content may not reach beyond.
 * @param floor matches may not reach back before.
 */
function unpackBlock(
  block: Uint8Array,
  content: Uint8Array,
  start: number,
  end: number,
  floor: number,
): number {
  let at = 0;
  let out = start;
  while (at < block.length) {
    const token = block[at++]!;
    let literals = token >> 4;
    if (literals === 15) {
      for (let more = 255; more === 255; literals += more) {
        if (at >= block.length) throw cutShort();
        more = block[at++]!;
      }
    }
    if (at + literals > block.length) throw cutShort();
    if (out + literals > end) throw new CompressionError("the content is longer than promised");
    if (literals > 32) content.set(block.subarray(at, at + literals), out);
    else for (let i = 0; i < literals; i++) content[out + i] = block[at + i]!;
    at += literals;
    out += literals;
    // The last sequence has literals only.
    if (at === block.length) return out;

    if (at + 2 > block.length) throw cutShort();
    const distance = block[at]! | (block[at + 1]! << 8);
    at += 2;
    let count = (token & 15) + 4;
    if ((token & 15) === 15) {
      for (let more = 255; more === 255; count += more) {
        if (at >= block.length) throw cutShort();
        more = block[at++]!;
      }
    }
    if (distance === 0 || out - distance < floor) {
      throw new CompressionError("a match reaches back before the content");
    }
    if (out + count > end) throw new CompressionError("the content is longer than promised");
    if (distance === 1) content.fill(content[out - 1]!, out, out + count);
    else if (distance >= count && count > 32) content.copyWithin(out, out - distance, out - distance + count);
    else for (let i = 0; i < count; i++) content[out + i] = content[out + i - distance]!;
    out += count;
  }
  throw cutShort();
}

function cutShort(): CompressionError {
  return new CompressionError("a block is cut short");
}

function uint32(view: DataView, at: number): number {
  if (at + 4 > view.byteLength) throw new CompressionError("the frame is cut short");
  return view.getUint32(at, true);
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
