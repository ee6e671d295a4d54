/** Batches beyond 2 GiB, as in SAELens's caches of long contexts; the files are holes for the most part. */
import { describe, expect, it } from "vitest";
import { writeSparseCache } from "../test/sparse-cache.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";

const path = useTemporaryFolder();

describe("a cache with batches of more than 2 GiB", () => {
  it("is read in blocks of at most 16 MiB, at its ends and on both sides of 2 GiB and 4 GiB", async () => {
    const contextSize = 4096;
    const dIn = 4096;
    const batches = [33, 33, 3];
    const rows = 69 * contextSize;
    // Rows of 16 KiB: 131,072 of them are 2 GiB.
    const marks = [0, 131_071, 131_072, 135_167, 135_168, 262_143, 262_144, 270_335, 270_336, rows - 1].map(
      (row, i) => [row, i + 1] as const,
    );
    await writeSparseCache(path("huge.arrow"), { batches, contextSize, dIn, marks });
    await using corpus = await openCorpus([path("huge.arrow")], { blockBytes: 16 * 2 ** 20 });
    expect(corpus).toMatchObject({ rows, dIn, rowsPerBlock: 1024 });
    expect(corpus.files[0]!.size).toBeGreaterThan(4 * 2 ** 30);
    const memory = new Float32Array(4 * 2 ** 20);
    for (const [row, value] of marks) {
      const block = corpus.blocks.at(Math.floor(row / 1024))!;
      await corpus.readBlock(block, new Uint8Array(memory.buffer, 0, block.byteLength));
      expect(memory[(row - block.firstRow) * dIn]).toBe(value);
      const labels = await corpus.readLabels(block, ["sequence", "position", "token_ids"]);
      expect(labels.get("sequence")!.get(row - block.firstRow)).toBe(Math.floor(row / contextSize));
      expect(labels.get("position")!.get(row - block.firstRow)).toBe(row % contextSize);
      expect(labels.get("token_ids")!.get(row - block.firstRow)).toBe(0);
    }
    expect(corpus.locate(270_336)).toEqual({ path: path("huge.arrow"), batch: 2, row: 0, position: 0 });
  });
});
