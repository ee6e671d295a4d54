import { createHash } from "node:crypto";
import { constants, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { unpack } from "./compression.ts";
import { CompressionError } from "./lz4-frame.ts";

/** Bytes that do not repeat. */
function noise(length: number): Uint8Array {
  const parts: Buffer[] = [];
  for (let i = 0; 32 * i < length; i++) parts.push(createHash("sha256").update(String(i)).digest());
  return Buffer.concat(parts).subarray(0, length);
}

/** ZSTD whose header does not say how long the content is. */
function withoutSize(content: Uint8Array): Buffer {
  return zstdCompressSync(content, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
}

describe("unpack", () => {
  it("gives the content of ZSTD frames of any size, with and without a declared length", async () => {
    for (const length of [1, 255, 256, 70_000, 300_000, 5_000_000]) {
      const content = noise(length);
      for (const packed of [zstdCompressSync(content), withoutSize(content)]) {
        expect(Buffer.compare(await unpack("zstd", packed, length), content)).toBe(0);
      }
    }
  });

  it("refuses another length, cut frames and other bytes", async () => {
    for (const length of [1000, 200_000]) {
      const content = noise(length);
      for (const packed of [zstdCompressSync(content), withoutSize(content)]) {
        for (const wrong of [length - 1, length + 1, 0]) {
          await expect(unpack("zstd", packed, wrong)).rejects.toThrow(CompressionError);
        }
        for (const kept of [0, 3, 8, length >> 1, packed.length - 1]) {
          await expect(unpack("zstd", packed.subarray(0, kept), length)).rejects.toThrow(CompressionError);
        }
      }
    }
    await expect(unpack("zstd", noise(100), 50)).rejects.toThrow("does not begin with a ZSTD frame");
  });

  it("takes no memory for a length that the bytes cannot hold", async () => {
    const packed = withoutSize(new Uint8Array(1000));
    await expect(unpack("zstd", packed, 2 ** 40)).rejects.toThrow("cannot hold");
  });
});
