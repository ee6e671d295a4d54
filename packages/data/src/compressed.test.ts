/** Compressed batches: what is refused before it is unpacked, what is named when it is damaged, what is kept. */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { BufferReader } from "./arrow/buffers.ts";
import type { BufferSource } from "./arrow/buffers.ts";
import { openCorpus } from "./open-corpus.ts";

const path = useTemporaryFolder();
const fixture = (name: string): string => fileURLToPath(new URL(`../test/fixtures/${name}`, import.meta.url));

/** Opens and reads a fixture whose first buffer of 2,000 x 32 numbers claims another length. */
async function withClaim(name: string, claim: bigint): Promise<unknown> {
  const bytes = await readFile(fixture(name));
  const prefix = new Uint8Array(BigInt64Array.of(256_000n).buffer);
  bytes.writeBigInt64LE(claim, bytes.indexOf(prefix));
  await writeFile(path("claim.arrow"), bytes);
  return await openCorpus([path("claim.arrow")]).then(
    (corpus) => corpus.close().then(() => "was opened"),
    (error: unknown) => error,
  );
}

describe("a compressed batch", () => {
  for (const name of ["repetitive.lz4.file.arrow", "repetitive.zstd.file.arrow"]) {
    it(`of more than 1 GiB is refused with advice, and other lengths as damage: ${name}`, async () => {
      const huge = await withClaim(name, 2n ** 30n + 1n);
      expect(huge).toMatchObject({ kind: "unsupported", path: path("claim.arrow"), batch: 0 });
      expect(String(huge)).toContain("write the file uncompressed, or in smaller batches");
      for (const claim of [255_999n, 256_001n, 2n ** 30n, -2n, 0n, 2n ** 62n]) {
        const error = await withClaim(name, claim);
        expect(error).toMatchObject({ path: path("claim.arrow"), batch: 0, column: "activation" });
      }
    });
  }

  it("with a changed bit is refused where the writer gave checksums: by batch and column", async () => {
    const bytes = await readFile(fixture("polars-repetitive.lz4.file.arrow"));
    // In the middle of the first batch's only large buffer.
    bytes[bytes.length >> 1]! ^= 4;
    await writeFile(path("bit.arrow"), bytes);
    const error: unknown = await openCorpus([path("bit.arrow")]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      kind: "malformed",
      path: path("bit.arrow"),
      batch: 0,
      column: "activation",
    });
    expect(String(error)).toContain("LZ4 data are damaged");
  });
});

describe("BufferReader", () => {
  const content = (buffer: number): Uint8Array => new Uint8Array(40 * 2 ** 20).fill(buffer);
  const packed = [0, 1, 2, 3].map((buffer) => zstdCompressSync(content(buffer)));
  let reads: number[] = [];
  const sources = packed.map(
    (bytes, buffer): BufferSource => ({
      file: {
        path: "file",
        size: 0,
        identity: "",
        isRemote: false,
        read: async (into) => {
          reads.push(buffer);
          into.set(bytes);
        },
      },
      position: buffer,
      length: 40 * 2 ** 20,
      packed: { codec: "zstd", length: bytes.length },
    }),
  );
  const readFrom = async (reader: BufferReader, buffer: number): Promise<void> => {
    const into = new Uint8Array(3);
    await reader.read(sources[buffer]!, 1000 * buffer, into, {});
    expect([...into]).toEqual([buffer, buffer, buffer]);
  };

  it("unpacks a buffer once for readers at the same time and after each other, and keeps at most 128 MiB", async () => {
    const reader = new BufferReader();
    reads = [];
    await Promise.all([readFrom(reader, 0), readFrom(reader, 0), readFrom(reader, 1)]);
    await readFrom(reader, 0);
    expect(reads).toEqual([0, 1]);
    await readFrom(reader, 2);
    await readFrom(reader, 3);
    // Of four times 40 MiB the one used longest ago is gone.
    await readFrom(reader, 0);
    expect(reads).toEqual([0, 1, 2, 3]);
    await readFrom(reader, 1);
    expect(reads).toEqual([0, 1, 2, 3, 1]);
  });

  it("refuses to read beyond the content, and a damaged buffer again each time", async () => {
    const reader = new BufferReader();
    const beyond = reader.read(sources[0]!, 40 * 2 ** 20 - 2, new Uint8Array(3), { path: "file" });
    await expect(beyond).rejects.toMatchObject({ kind: "malformed", path: "file" });
    const short: BufferSource = { ...sources[0]!, length: 1000 };
    for (let times = 0; times < 2; times++) {
      await expect(reader.read(short, 0, new Uint8Array(3), { path: "file" })).rejects.toMatchObject({
        kind: "malformed",
      });
    }
    await readFrom(reader, 1);
  });
});
