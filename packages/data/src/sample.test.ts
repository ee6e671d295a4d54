import fc from "fast-check";
import { Float16, Float32 } from "apache-arrow";
import { describe, expect, it } from "vitest";
import { expectedValue, textColumn, vectorColumn, writeArrow } from "../test/arrow-files.ts";
import { rowsOfSplit } from "../test/split-model.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";
import { sampleRows } from "./sample.ts";

const path = useTemporaryFolder();

describe("sampleRows", () => {
  it("gives distinct rows of the split, as many as there are up to the number asked for, with their values", async () => {
    const cases = fc.record({
      batches: fc.array(fc.nat(30), { minLength: 1, maxLength: 4 }),
      dIn: fc.integer({ min: 1, max: 4 }),
      half: fc.boolean(),
      documents: fc.boolean(),
      blockBytes: fc.integer({ min: 1, max: 100 }),
      rows: fc.nat(80),
      seed: fc.maxSafeInteger(),
      split: fc.constantFrom("train" as const, "held-out" as const, "all" as const),
      fraction: fc.constantFrom(0, 0.1, 0.5, 1),
    });
    const property = fc.asyncProperty(cases, async (one) => {
      fc.pre(one.batches.some((rows) => rows > 0));
      const x = vectorColumn({ dIn: one.dIn, item: one.half ? new Float16() : new Float32() });
      const columns = one.documents ? { x, document: textColumn((row) => `${row >> 2}`) } : { x };
      await using corpus = await openCorpus([await writeArrow(path("s"), columns, one.batches)], {
        blockBytes: one.blockBytes,
      });
      const options = { seed: one.seed, split: one.split, heldOut: { fraction: one.fraction } };
      const allowed = new Set(await rowsOfSplit(corpus, options));
      const sample = await sampleRows(corpus, { ...options, rows: one.rows });
      expect(sample.rows).toBe(Math.min(one.rows, allowed.size));
      expect(sample.rowIds).toHaveLength(sample.rows);
      expect(new Set(sample.rowIds).size).toBe(sample.rows);
      expect([...sample.rowIds].every((row) => allowed.has(row))).toBe(true);
      const row = (id: number): number[] => Array.from({ length: one.dIn }, (_, i) => expectedValue(id, i));
      expect([...sample.values]).toEqual([...sample.rowIds].flatMap(row));
    });
    await fc.assert(property, { numRuns: 150 });
  });

  it("is spread over the corpus, and is another one for another seed", async () => {
    const name = await writeArrow(path("spread"), { x: vectorColumn({ dIn: 1 }) }, [10_000]);
    await using corpus = await openCorpus([name], { blockBytes: 400 });
    const { rowIds } = await sampleRows(corpus, { seed: 1, rows: 300 });
    // 100 blocks of 100 rows: three of each.
    const blocks = new Map<number, number>();
    for (const row of rowIds) blocks.set(Math.floor(row / 100), (blocks.get(Math.floor(row / 100)) ?? 0) + 1);
    expect(blocks.size).toBe(100);
    expect(new Set(blocks.values())).toEqual(new Set([3]));
    expect((await sampleRows(corpus, { seed: 2, rows: 300 })).rowIds).not.toEqual(rowIds);
    expect((await sampleRows(corpus, { seed: 1, rows: 300 })).rowIds).toEqual(rowIds);
  });

  it("visits a limited number of blocks of a large corpus", async () => {
    await using corpus = await openCorpus([path("spread")], { blockBytes: 4 });
    const { rowIds } = await sampleRows(corpus, { seed: 1, rows: 100 });
    expect(rowIds).toHaveLength(100);
    // Rows of one block each, of 10,000: their mean is 5,000 with a standard deviation of 289.
    const mean = rowIds.reduce((sum, row) => sum + row, 0) / 100;
    expect(Math.abs(mean - 5000)).toBeLessThan(1450);
  });

  it("refuses rows that are not finite, and numbers of rows that make no sense", async () => {
    const x = vectorColumn({ dIn: 2, value: (row) => (row === 5 ? NaN : row) });
    const name = await writeArrow(path("bad"), { x }, [4, 4]);
    await using corpus = await openCorpus([name]);
    await expect(sampleRows(corpus, { seed: 1, rows: 8 })).rejects.toMatchObject({
      kind: "non-finite",
      batch: 1,
      row: 1,
    });
    await expect(sampleRows(corpus, { seed: 1, rows: -1 })).rejects.toMatchObject({ kind: "invalid-option" });
  });
});
