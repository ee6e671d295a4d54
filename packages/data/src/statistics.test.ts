import { Float16 } from "apache-arrow";
import { describe, expect, it } from "vitest";
import { textColumn, vectorColumn, writeArrow } from "../test/arrow-files.ts";
import { readAll } from "../test/read-all.ts";
import { rowsOfSplit } from "../test/split-model.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { layerNormRows } from "./layer-norm.ts";
import { openCorpus } from "./open-corpus.ts";
import type { CorpusStatistics } from "./statistics.ts";
import { estimateStatistics, fullStatistics } from "./statistics.ts";

const path = useTemporaryFolder();

/** The definitions, written out. */
function definition(rows: readonly number[][]): Partial<CorpusStatistics> {
  const average = (of: (row: number[]) => number): number =>
    rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
  const norm = (row: readonly number[]): number => Math.hypot(...row);
  const mean = rows[0]!.map((_, i) => average((row) => row[i]!));
  const centred = (row: readonly number[]): number[] => row.map((x, i) => x - mean[i]!);
  const totalVariance = average((row) => norm(centred(row)) ** 2);
  const largest = (of: (row: number[]) => number): number => Math.max(...rows.map(of));
  return {
    mean,
    variance: mean.map((_, i) => average((row) => centred(row)[i]! ** 2)),
    totalVariance,
    topVarianceShare: largest((row) => norm(centred(row)) ** 2) / (totalVariance * rows.length),
    meanNorm: average(norm),
    meanSquareNorm: average((row) => norm(row) ** 2),
    meanCentredNorm: average((row) => norm(centred(row))),
    gamma: norm(mean) / Math.sqrt(totalVariance),
  };
}

function expectClose(found: CorpusStatistics, expected: Partial<CorpusStatistics>): void {
  for (const [name, value] of Object.entries(expected)) {
    const got = found[name as keyof CorpusStatistics];
    const pairs = Array.isArray(value) ? value.map((x, i) => [x, (got as number[])[i]]) : [[value, got]];
    // The sketch cuts its last bin in proportion.
    const tolerance = name === "topVarianceShare" ? 2e-3 : 1e-9;
    for (const [x, y] of pairs)
      expect(Math.abs(Number(y) - Number(x))).toBeLessThan(tolerance * Math.max(1, Number(x)));
  }
}

const shape = { dIn: 3, value: (row: number, i: number): number => ((row * 7 + i * 5) % 11) - 2 * i };

describe("statistics", () => {
  it("are what their definitions say, for both number types", async () => {
    for (const vectors of [shape, { ...shape, item: new Float16() }]) {
      const name = await writeArrow(path("stat"), { x: vectorColumn(vectors) }, [30, 70]);
      await using corpus = await openCorpus([name], { blockBytes: 60 });
      const all = await readAll(corpus);
      const rows = Array.from({ length: 100 }, (_, row) => [...all.subarray(3 * row, 3 * row + 3)]);
      const full = await fullStatistics(corpus, { seed: 1 });
      expect(full).toMatchObject({ rows: 100, sampledRows: 100, exact: true, dIn: 3, source: "full" });
      expectClose(full, definition(rows));
      expect(await estimateStatistics(corpus, { seed: 5 })).toEqual(full);
    }
  });

  it("do not depend on the block size", async () => {
    await using small = await openCorpus([path("stat")], { blockBytes: 6 });
    await using large = await openCorpus([path("stat")]);
    expect(await fullStatistics(small, { seed: 1 })).toEqual(await fullStatistics(large, { seed: 1 }));
  });

  it("of rows after LayerNorm are those of the normalised rows, each column's by itself", async () => {
    const wide = {
      dIn: 6,
      value: (row: number, i: number): number => ((row * 7 + i * 5) % 11) - 2 * i + row,
    };
    for (const [column, item, widths] of [
      ["x", undefined, [6]],
      ["x", new Float16(), [6]],
      [["x", "y"], undefined, [6, 6]],
    ] as const) {
      const vectors = item === undefined ? wide : { ...wide, item };
      const columns = {
        x: vectorColumn(vectors),
        y: vectorColumn({ ...wide, value: (row, i) => (row + 1) * i ** 2 }),
      };
      const name = await writeArrow(path("layer-norm"), columns, [30, 70]);
      await using corpus = await openCorpus([name], { column, blockBytes: 90 });
      const all = await readAll(corpus);
      layerNormRows(all, 0, 100, widths);
      const { dIn } = corpus;
      const rows = Array.from({ length: 100 }, (_, row) => [...all.subarray(dIn * row, dIn * (row + 1))]);
      const found = await fullStatistics(corpus, { seed: 1, layerNorm: widths });
      expectClose(found, definition(rows));
      // Each vector of d numbers has a squared norm of d - 1, but for epsilon.
      expect(found.meanSquareNorm).toBeCloseTo(dIn - widths.length, 3);
    }
  });

  it("come from the rows of the split only", async () => {
    const columns = { x: vectorColumn(shape), document: textColumn((row) => `${row >> 2}`) };
    const name = await writeArrow(path("split"), columns, [100]);
    await using corpus = await openCorpus([name], { blockBytes: 60 });
    const options = { seed: 1, split: "train" as const, heldOut: { fraction: 0.4 } };
    const ids = await rowsOfSplit(corpus, options);
    const rows = ids.map((row) => Array.from({ length: 3 }, (_, i) => shape.value(row, i)));
    const found = await estimateStatistics(corpus, options);
    expect(found).toMatchObject({ rows: 100, sampledRows: ids.length, exact: true });
    expectClose(found, definition(rows));
  });

  it("of a large corpus come from a seeded sample of whole blocks", async () => {
    const name = await writeArrow(path("large"), { x: vectorColumn(shape) }, [5000]);
    await using corpus = await openCorpus([name], { blockBytes: 120 });
    const estimate = await estimateStatistics(corpus, { seed: 1, sampleRows: 1500 });
    expect(estimate).toMatchObject({ rows: 5000, sampledRows: 1500, exact: false, source: "sample" });
    expect(await estimateStatistics(corpus, { seed: 1, sampleRows: 1500 })).toEqual(estimate);
    const full = await fullStatistics(corpus, { seed: 1 });
    // A norm varies by less than half of its mean: five standard deviations of the mean of 1,500 rows.
    expect(Math.abs(estimate.meanNorm / full.meanNorm - 1)).toBeLessThan(0.065);
    expect(estimate.meanNorm).not.toBe(full.meanNorm);
  });

  it("of equal rows have no variance and an infinite gamma, of zeros a gamma of 0", async () => {
    const ones = vectorColumn({ dIn: 2, value: () => 1 });
    await using corpus = await openCorpus([await writeArrow(path("equal"), { x: ones }, [4])]);
    expect(await fullStatistics(corpus, { seed: 1 })).toMatchObject({ totalVariance: 0, gamma: Infinity });
    const zeros = vectorColumn({ dIn: 2, value: () => 0 });
    await using empty = await openCorpus([await writeArrow(path("zeros"), { x: zeros }, [4])]);
    expect(await fullStatistics(empty, { seed: 1 })).toMatchObject({ totalVariance: 0, gamma: 0 });
  });

  it("of a corpus larger than the first look agree with those of two passes", async () => {
    const values = { dIn: 8, value: (row: number, i: number) => Math.sin(row * 1.7 + i) + i };
    await using corpus = await openCorpus(
      [await writeArrow(path("two-passes"), { x: vectorColumn(values) }, [40_000])],
      { blockBytes: 8192 },
    );
    const onePass = await fullStatistics(corpus, { seed: 1 });
    const twoPasses = await estimateStatistics(corpus, { seed: 1, sampleRows: 40_000 });
    expect(twoPasses).toMatchObject({ exact: true, sampledRows: 40_000 });
    for (const name of ["totalVariance", "meanNorm", "gamma"] as const) {
      expect(onePass[name]).toBeCloseTo(twoPasses[name], 9);
    }
    expect(onePass.meanCentredNorm / twoPasses.meanCentredNorm).toBeCloseTo(1, 5);
  });

  it("count and locate rows that are not finite when asked to", async () => {
    const values = { dIn: 2, value: (row: number) => (row % 9 === 5 ? Infinity : row) };
    const name = await writeArrow(path("counted"), { x: vectorColumn(values) }, [10, 90]);
    await using corpus = await openCorpus([name], { blockBytes: 64 });
    const seen: [number, number][] = [];
    const found = await fullStatistics(corpus, {
      seed: 1,
      nonFinite: "count",
      onProgress: (rows, all) => seen.push([rows, all]),
    });
    expect(found).toMatchObject({ rows: 100, sampledRows: 89, nonFiniteRows: 11, exact: true });
    expect(found.nonFinitePlaces).toHaveLength(10);
    expect(found.nonFinitePlaces.slice(0, 2)).toEqual([
      { path: name, batch: 0, row: 5 },
      { path: name, batch: 1, row: 4 },
    ]);
    expect(seen.at(-1)).toEqual([100, 100]);
  });

  it("refuse numbers that are not finite, by their place, and splits without rows", async () => {
    const x = vectorColumn({ dIn: 2, value: (row) => (row === 5 ? NaN : row) });
    const name = await writeArrow(path("bad"), { x }, [4, 4]);
    await using corpus = await openCorpus([name]);
    await expect(fullStatistics(corpus, { seed: 1 })).rejects.toMatchObject({
      kind: "non-finite",
      path: name,
      batch: 1,
      row: 1,
    });
    const none = { seed: 1, split: "held-out" as const, heldOut: { fraction: 0 } };
    await expect(estimateStatistics(corpus, none)).rejects.toMatchObject({ kind: "empty" });
  });
});
