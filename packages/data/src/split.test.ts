import fc from "fast-check";
import { TimestampSecond } from "apache-arrow";
import { describe, expect, it } from "vitest";
import { anyColumn, intColumn, textColumn, vectorColumn, writeArrow } from "../test/arrow-files.ts";
import { rowsOfSplit } from "../test/split-model.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";
import { countRows } from "./split.ts";

const path = useTemporaryFolder();
const x = vectorColumn({ dIn: 1 });

describe("a split", () => {
  it("puts every row into exactly one of train and held-out, whatever the blocks", async () => {
    const name = await writeArrow(path("rows"), { x }, [40, 3, 57]);
    const cases = fc.record({
      seed: fc.maxSafeInteger(),
      fraction: fc.double({ min: 0, max: 1, noNaN: true }),
      blockBytes: fc.integer({ min: 4, max: 400 }),
    });
    const property = fc.asyncProperty(cases, async ({ seed, fraction, blockBytes }) => {
      await using corpus = await openCorpus([name], { blockBytes });
      await using whole = await openCorpus([name]);
      const options = { seed, heldOut: { fraction } };
      const train = await rowsOfSplit(corpus, { ...options, split: "train" });
      const heldOut = await rowsOfSplit(corpus, { ...options, split: "held-out" });
      expect([...train, ...heldOut].sort((a, b) => a - b)).toEqual([...Array(100).keys()]);
      expect(await rowsOfSplit(whole, { ...options, split: "train" })).toEqual(train);
      expect(await countRows(corpus, { ...options, split: "train" })).toBe(train.length);
      expect(await countRows(corpus, { ...options, split: "held-out" })).toBe(heldOut.length);
      expect(await countRows(corpus, options)).toBe(100);
    });
    await fc.assert(property, { numRuns: 50 });
  });

  it("holds out about the fraction asked for", async () => {
    const name = await writeArrow(path("many"), { x }, [20_000]);
    await using corpus = await openCorpus([name]);
    // Standard deviations 14 and 42.
    const one = await countRows(corpus, { seed: 1, split: "held-out" });
    expect(Math.abs(one - 200)).toBeLessThan(70);
    const ten = await countRows(corpus, { seed: 1, split: "held-out", heldOut: { fraction: 0.1 } });
    expect(Math.abs(ten - 2000)).toBeLessThan(210);
    const none = await countRows(corpus, { seed: 1, split: "held-out", heldOut: { fraction: 0 } });
    const all = await countRows(corpus, { seed: 1, split: "held-out", heldOut: { fraction: 1 } });
    expect([none, all]).toEqual([0, 20_000]);
  });

  it("depends on the seed", async () => {
    await using corpus = await openCorpus([path("many")]);
    const rows = (seed: number): Promise<number[]> => rowsOfSplit(corpus, { seed, split: "held-out" });
    expect(await rows(1)).not.toEqual(await rows(2));
    const own = { seed: 1, split: "held-out" as const, heldOut: { seed: 2 } };
    expect(await rowsOfSplit(corpus, own)).toEqual(await rows(2));
  });

  it("keeps the rows of a document together, across batches and files, by the column `document`", async () => {
    const document = textColumn((row) => `document ${Math.floor(row / 7)}`);
    await writeArrow(path("doc-1"), { x, document }, [50, 23], "file");
    await writeArrow(path("doc-2"), { document, x }, [127], "stream", 73);
    await using corpus = await openCorpus([path("doc-*")], { blockBytes: 20 });
    const options = { seed: 3, heldOut: { fraction: 0.3 } };
    const heldOut = await rowsOfSplit(corpus, { ...options, split: "held-out" });
    const documents = new Set(heldOut.map((row) => Math.floor(row / 7)));
    const expected = [...Array(200).keys()].filter((row) => documents.has(Math.floor(row / 7)));
    expect(heldOut).toEqual(expected);
    expect(documents.size).toBeGreaterThan(1);
    expect(documents.size).toBeLessThan(28);
    expect(await countRows(corpus, { ...options, split: "held-out" })).toBe(heldOut.length);
    const singly = {
      ...options,
      split: "held-out" as const,
      heldOut: { fraction: 0.3, documentColumn: null },
    };
    expect(await rowsOfSplit(corpus, singly)).not.toEqual(expected);
  });

  it("takes the document from another column when asked, and numbers as well as strings", async () => {
    const columns = {
      x,
      page: intColumn((row) => Math.floor(row / 5)),
      name: textColumn((row) => `${Math.floor(row / 5)}`),
    };
    await using corpus = await openCorpus([await writeArrow(path("page"), columns, [100])]);
    const rows = (documentColumn: string): Promise<number[]> =>
      rowsOfSplit(corpus, { seed: 1, split: "held-out", heldOut: { fraction: 0.5, documentColumn } });
    const byNumber = await rows("page");
    expect(byNumber.length % 5).toBe(0);
    expect(byNumber.length).toBeGreaterThan(0);
    expect(await rows("name")).toEqual(byNumber);
  });

  it("treats a row without a document as a document of its own", async () => {
    const columns = { x, document: textColumn(() => null) };
    await using corpus = await openCorpus([await writeArrow(path("nulls"), columns, [300])]);
    const options = { seed: 1, split: "held-out" as const };
    const count = await countRows(corpus, { ...options, heldOut: { fraction: 0.5 } });
    // Standard deviation 9.
    expect(Math.abs(count - 150)).toBeLessThan(45);
    expect(await rowsOfSplit(corpus, { ...options, heldOut: { fraction: 0.5 } })).toEqual(
      await rowsOfSplit(corpus, { ...options, heldOut: { fraction: 0.5, documentColumn: null } }),
    );
  });

  it("refuses document columns that are absent or unreadable, rather than splitting documents", async () => {
    const document = anyColumn(new TimestampSecond(), (row) => 1000 * row);
    await using corpus = await openCorpus([await writeArrow(path("odd"), { x, document }, [10])]);
    await expect(countRows(corpus, { seed: 1, split: "train" })).rejects.toMatchObject({
      kind: "unsupported",
      message: expect.stringMatching(
        /^column "document": cannot serve to hold out whole documents: type Timestamp<SECOND> is not read as a label$/,
      ) as string,
      option: "documentColumn",
    });
    const absent = { seed: 1, split: "train" as const, heldOut: { documentColumn: "page" } };
    await expect(countRows(corpus, absent)).rejects.toMatchObject({
      kind: "no-label-column",
      option: "documentColumn",
    });
  });

  it("needs no document column where all rows are read, nor an unnamed one where none is held out", async () => {
    await using corpus = await openCorpus([path("odd")]);
    const page = { documentColumn: "page" };
    const where = [{ heldOut: page }, {}, { split: "train" as const, heldOut: { fraction: 0 } }];
    for (const options of where) expect(await rowsOfSplit(corpus, { seed: 1, ...options })).toHaveLength(10);
    const named = { seed: 1, split: "train" as const, heldOut: { fraction: 0, ...page } };
    await expect(countRows(corpus, named)).rejects.toMatchObject({ kind: "no-label-column" });
  });

  it("refuses fractions and seeds that make no sense", async () => {
    await using corpus = await openCorpus([path("rows")]);
    for (const options of [
      { seed: 0.5 },
      { seed: 1, heldOut: { fraction: 1.5 } },
      { seed: 1, heldOut: { fraction: NaN } },
    ]) {
      await expect(countRows(corpus, options)).rejects.toMatchObject({ kind: "invalid-option" });
    }
  });
});
