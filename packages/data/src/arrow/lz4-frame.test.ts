import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CompressionError, unpackLz4Frame } from "./lz4-frame.ts";
import { xxhash32 } from "./xxhash32.ts";

describe("xxhash32", () => {
  it("gives the published sums, of every path through the bytes", () => {
    const text = (value: string): Uint8Array => new TextEncoder().encode(value);
    expect(xxhash32(text(""))).toBe(0x02cc5d05);
    expect(xxhash32(text("a"))).toBe(0x550d7456);
    expect(xxhash32(text("abc"))).toBe(0x32d153ff);
    expect(xxhash32(text("Nobody inspects the spammish repetition"))).toBe(0xe2293b2f);
  });
});

interface FrameShape {
  readonly blocks: readonly { readonly stored: boolean; readonly bytes: readonly number[] }[];
  readonly checksums?: boolean;
  readonly linked?: boolean;
  /** Content, for its size and checksum. */
  readonly content?: readonly number[];
}

/** A frame made by hand: block size 64 KiB. */
function frame(shape: FrameShape): Uint8Array {
  const bytes: number[] = [];
  const word = (value: number): void => {
    bytes.push(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
  };
  word(0x184d2204);
  const { content, checksums = false, linked = false } = shape;
  bytes.push(0x40 | (linked ? 0 : 0x20) | (checksums ? 0x10 : 0) | (content ? 0x0c : 0), 4 << 4);
  if (content) {
    word(content.length);
    word(0);
  }
  bytes.push((xxhash32(Uint8Array.from(bytes.slice(4))) >> 8) & 255);
  for (const block of shape.blocks) {
    word(((block.stored ? 0x80000000 : 0) | block.bytes.length) >>> 0);
    bytes.push(...block.bytes);
    if (checksums) word(xxhash32(Uint8Array.from(block.bytes)));
  }
  word(0);
  if (content) word(xxhash32(Uint8Array.from(content)));
  return Uint8Array.from(bytes);
}

// "abc", then 9 bytes from 3 back (the match overlaps itself), then "xy": abcabcabcabcxy.
const REPEATED = [0x35, 97, 98, 99, 3, 0, 0x20, 120, 121];
const UNPACKED = Array.from(new TextEncoder().encode("abcabcabcabcxy"));

describe("unpackLz4Frame", () => {
  it("unpacks literals, matches that overlap themselves, and blocks stored as they are", async () => {
    const blocks = [
      { stored: false, bytes: REPEATED },
      { stored: true, bytes: [1, 2, 3] },
    ];
    const content = [...UNPACKED, 1, 2, 3];
    for (const extras of [{}, { checksums: true }, { content }, { checksums: true, content }]) {
      expect([...(await unpackLz4Frame(frame({ blocks, ...extras }), 17))]).toEqual(content);
    }
  });

  it("lets a match reach into the block before only where blocks are linked", async () => {
    // A literal "z", then 4 bytes from 3 back, in the stored block before; then "!!!!!".
    const reaching = [0x10, 122, 3, 0, 0x50, 33, 33, 33, 33, 33];
    const blocks = [
      { stored: true, bytes: [1, 2, 3] },
      { stored: false, bytes: reaching },
    ];
    const expected = [1, 2, 3, 122, 2, 3, 122, 2, 33, 33, 33, 33, 33];
    expect([...(await unpackLz4Frame(frame({ blocks, linked: true }), 13))]).toEqual(expected);
    await expect(unpackLz4Frame(frame({ blocks }), 13)).rejects.toThrow("reaches back before the content");
  });

  it("unpacks long literals and matches, whose lengths go on in further bytes", async () => {
    const literals = Array.from({ length: 300 }, (_, i) => (i * 7) & 255);
    const bytes = [0xff, 255, 30, ...literals, 44, 1, 255, 255, 6, 0x50, 5, 4, 3, 2, 1];
    const content = await unpackLz4Frame(frame({ blocks: [{ stored: false, bytes }] }), 300 + 535 + 5);
    expect([...content.subarray(0, 300)]).toEqual(literals);
    expect([...content.subarray(300, 835)]).toEqual(Array.from({ length: 535 }, (_, i) => literals[i % 300]));
    expect([...content.subarray(835)]).toEqual([5, 4, 3, 2, 1]);
  });

  it("refuses another length than promised, before and after unpacking", async () => {
    const blocks = [{ stored: false, bytes: REPEATED }];
    for (const length of [0, 13, 15]) {
      await expect(unpackLz4Frame(frame({ blocks }), length)).rejects.toThrow(CompressionError);
      await expect(unpackLz4Frame(frame({ blocks, content: UNPACKED }), length)).rejects.toThrow(
        CompressionError,
      );
    }
    await expect(unpackLz4Frame(frame({ blocks }), 2 ** 40)).rejects.toThrow("cannot hold");
  });

  it("reads no frame with one bit changed as if it were right, where it has checksums", async () => {
    const whole = frame({ blocks: [{ stored: false, bytes: REPEATED }], checksums: true, content: UNPACKED });
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const damaged = whole.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      await expect(unpackLz4Frame(damaged, UNPACKED.length)).rejects.toThrow(CompressionError);
    }
    for (let length = 0; length < whole.length; length++) {
      await expect(unpackLz4Frame(whole.subarray(0, length), 14)).rejects.toThrow(CompressionError);
    }
  });

  it("refuses or unpacks whatever bytes a block holds, and nothing else happens", async () => {
    const property = fc.asyncProperty(
      fc.array(fc.nat(255), { minLength: 1, maxLength: 60 }),
      fc.nat(400),
      async (bytes, length) => {
        const packed = frame({ blocks: [{ stored: false, bytes }] });
        const outcome: unknown = await unpackLz4Frame(packed, length).catch((error: unknown) => error);
        const fits = outcome instanceof Uint8Array && outcome.length === length;
        expect(fits || outcome instanceof CompressionError).toBe(true);
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });
});
