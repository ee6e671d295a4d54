import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isCorpusError } from "../errors.ts";
import type { RangeReader } from "../range-reader.ts";
import { ARRAY_TYPE_BYTES, readArrays, sniff } from "./array-file.ts";

const bytesOf = (name: string): Buffer =>
  readFileSync(fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url)));

function readerOf(bytes: Uint8Array): RangeReader {
  return {
    path: "bytes",
    size: bytes.length,
    identity: "bytes",
    isRemote: false,
    read: (into, position) => {
      if (position < 0 || position + into.length > bytes.length) throw new Error("read out of bounds");
      into.set(bytes.subarray(position, position + into.length));
      return Promise.resolve();
    },
  };
}

describe("files of arrays", () => {
  it("are told apart by their first bytes", async () => {
    const kinds = await Promise.all(
      [
        ["arrays/f4.npy", "npy"],
        ["arrays/two.safetensors", "safetensors"],
        ["float32.file.arrow", "arrow"],
        ["float32.stream.arrow", "arrow"],
      ].map(async ([name = "", kind]) => [await sniff(readerOf(bytesOf(name))), kind]),
    );
    for (const [found, expected] of kinds) expect(found).toBe(expected);
    expect(await sniff(readerOf(Buffer.from("PAR1 and more")))).toBe("parquet");
    expect(await sniff(readerOf(Buffer.from("hello, world, hello")))).toBe("unknown");
    expect(await sniff(readerOf(Buffer.alloc(0)))).toBe("unknown");
  });

  it.each([
    ["too short", [0, 100], "100 bytes by its data_offsets, 24 by its shape"],
    ["reversed", [24, 0], "-24 bytes by its data_offsets, 24 by its shape"],
  ])("whose offsets are not of the tensor's size are refused (%s)", async (_, offsets, what) => {
    const header = JSON.stringify({ x: { dtype: "F32", shape: [2, 3], data_offsets: offsets } });
    const bytes = Buffer.alloc(8 + header.length + 200);
    bytes.writeBigUInt64LE(BigInt(header.length));
    bytes.write(header, 8);
    await expect(readArrays(readerOf(bytes), "safetensors")).rejects.toMatchObject({
      kind: "malformed",
      message: `bytes: the tensor "x" has ${what}`,
    });
  });

  it("that are damaged give an error, or arrays that lie inside the file", async () => {
    const files = (["npy", "safetensors"] as const).map((kind) => ({
      kind,
      whole: bytesOf(kind === "npy" ? "arrays/f4.npy" : "arrays/chunk-00000000.safetensors"),
    }));
    const damage = fc.record({
      file: fc.constantFrom(...files),
      changes: fc.array(fc.tuple(fc.nat(280), fc.nat(255)), { maxLength: 4 }),
      length: fc.nat(440),
    });
    const property = fc.asyncProperty(damage, async ({ file: { kind, whole }, changes, length }) => {
      const bytes = Uint8Array.from(whole.subarray(0, length));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const inside = await readArrays(readerOf(bytes), kind).then(
        (arrays) =>
          arrays.every(({ shape, type, position }) => {
            const count = shape.reduce((product, size) => product * size, 1);
            return position >= 0 && position + count * ARRAY_TYPE_BYTES[type] <= bytes.length;
          }),
        (error: unknown) => isCorpusError(error),
      );
      expect(inside).toBe(true);
    });
    await fc.assert(property, { numRuns: 2000 });
  });
});
