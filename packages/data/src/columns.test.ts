/** Corpora whose rows are the vectors of several columns, side by side. */
import { Float16, Float32, Float64 } from "apache-arrow";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { intColumn, vectorColumn, writeArrow } from "../test/arrow-files.ts";
import { readAll } from "../test/read-all.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { checkCorpus } from "./check.ts";
import { openCorpus } from "./open-corpus.ts";
import type { Corpus } from "./corpus.ts";
import { sampleRows } from "./sample.ts";
import { readStatistics, writeStatistics } from "./sidecar.ts";
import { fullStatistics } from "./statistics.ts";
import { RowStream } from "./stream.ts";

const path = useTemporaryFolder();

const valueA = (row: number, i: number): number => row + i / 8;
const valueB = (row: number, i: number): number => 3 - row / 4 + 16 * i;

interface Shape {
  readonly widths: readonly [number, number];
  readonly half: boolean;
  readonly kinds: readonly ["fixed" | "list" | "large-list", "fixed" | "list" | "large-list"];
  readonly batches: readonly number[];
}

async function write(name: string, { widths, half, kinds, batches }: Shape, firstRow = 0): Promise<string> {
  const item = half ? new Float16() : new Float32();
  return await writeArrow(
    path(name),
    {
      a: vectorColumn({ dIn: widths[0], item, value: valueA }, kinds[0]),
      document: intColumn((row) => row >> 2),
      b: vectorColumn({ dIn: widths[1], item, value: valueB }, kinds[1]),
    },
    batches,
    "file",
    firstRow,
  );
}

const kind = fc.constantFrom("fixed" as const, "list" as const, "large-list" as const);
const shapes = fc.record({
  widths: fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })),
  half: fc.boolean(),
  kinds: fc.tuple(kind, kind),
  batches: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 }),
});

/** The rows of a corpus of columns b and a, as they should be. */
function expectedRows({ widths }: Shape, rows: number): Float32Array {
  const [a, b] = widths;
  const all = new Float32Array(rows * (a + b));
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < b; i++) all[row * (a + b) + i] = valueB(row, i);
    for (let i = 0; i < a; i++) all[row * (a + b) + b + i] = valueA(row, i);
  }
  return all;
}

const SHAPE: Shape = { widths: [3, 2], half: false, kinds: ["fixed", "list"], batches: [7, 30, 11] };

describe("a corpus of several columns", () => {
  it("has rows of all columns' vectors, in the order of their names, whatever the blocks and files", async () => {
    let file = 0;
    const property = fc.asyncProperty(shapes, fc.integer({ min: 1, max: 200 }), async (shape, blockBytes) => {
      const rows = shape.batches.reduce((sum, count) => sum + count, 0);
      const first = await write(`rows-${file++}-a.arrow`, shape);
      const second = await write(first.replace(/.*\//, "").replace("-a.", "-b."), shape, rows);
      await using corpus = await openCorpus([first, second], { column: ["b", "a"], blockBytes });
      expect(corpus.column).toBe("b,a");
      expect(corpus.columns).toEqual([
        { name: "b", dIn: shape.widths[1] },
        { name: "a", dIn: shape.widths[0] },
      ]);
      expect(corpus.labels.map(({ name }) => name)).toEqual(["document"]);
      const expected = expectedRows(shape, 2 * rows);
      expect(await readAll(corpus)).toEqual(expected);
      const sample = await sampleRows(corpus, { seed: 1, rows: 10 });
      const { dIn } = corpus;
      for (const [i, row] of sample.rowIds.entries()) {
        const found = sample.values.subarray(i * dIn, (i + 1) * dIn);
        expect(found).toEqual(expected.subarray(row * dIn, (row + 1) * dIn));
      }
    });
    await fc.assert(property, { numRuns: 40 });
  });

  it("is streamed exactly once an epoch, each column with a mean and a scale of its own", async () => {
    const name = await write("stream.arrow", SHAPE);
    for (const shuffle of ["window", "full", "none"] as const) {
      await using corpus = await openCorpus([name], { column: ["b", "a"], blockBytes: 64 });
      const mean = Float32Array.of(1, 2, 3, 4, 5);
      const scales = Float32Array.of(2, 2, 0.5, 0.5, 0.5);
      const transform = { mean, scale: 1, scales };
      await using stream = new RowStream(corpus, { seed: 3, shuffle, windowBytes: 300, transform });
      const values = new Float32Array(48 * 5);
      const rowIds = new Float64Array(48);
      expect(await stream.fill(values, 48, rowIds)).toBe(48);
      expect([...rowIds].sort((x, y) => x - y)).toEqual(Array.from({ length: 48 }, (_, row) => row));
      const expected = expectedRows(SHAPE, 48);
      for (const [i, row] of rowIds.entries())
        for (let j = 0; j < 5; j++)
          expect(values[i * 5 + j]).toBe((expected[row * 5 + j]! - mean[j]!) * scales[j]!);
    }
  });

  it("is another corpus than its columns, or than the columns in another order", async () => {
    const name = await write("fingerprint.arrow", { ...SHAPE, widths: [2, 2] });
    const names = [["a", "b"], ["b", "a"], "a", ["a"]];
    const fingerprints = await Promise.all(
      names.map(async (column) => {
        await using corpus = await openCorpus([name], { column });
        return corpus.fingerprint;
      }),
    );
    expect(new Set(fingerprints).size).toBe(3);
    expect(fingerprints[2]).toBe(fingerprints[3]);
  });

  it("has the statistics of each column, as if it were opened alone, and keeps them", async () => {
    const name = await write("statistics.arrow", SHAPE);
    const ofColumn = async (
      column: string | readonly string[],
    ): Promise<[Corpus, ReturnType<typeof fullStatistics>]> => {
      const corpus = await openCorpus([name], { column });
      return [corpus, fullStatistics(corpus, { seed: 0 })];
    };
    const [corpus, both] = await ofColumn(["b", "a"]);
    const found = await both;
    expect(found.columns?.map(({ column, dIn }) => [column, dIn])).toEqual([
      ["b", 2],
      ["a", 3],
    ]);
    let from = 0;
    for (const column of found.columns ?? []) {
      const [alone, expected] = await ofColumn(column.column);
      const one = await expected;
      for (const key of ["totalVariance", "meanNorm", "meanSquareNorm", "meanCentredNorm"] as const)
        expect(column[key] / one[key]).toBeCloseTo(1, 3);
      expect(column.medianNorm).toBe(one.normQuantiles.p50);
      expect(found.mean.slice(from, (from += column.dIn))).toEqual(one.mean);
      await alone.close();
    }
    await writeStatistics(corpus, found);
    expect(await readStatistics(corpus)).toEqual(found);
    await corpus.close();
  });

  it("is filtered by the norm of its first column", async () => {
    const name = await write("norm.arrow", SHAPE);
    await using corpus = await openCorpus([name], { column: ["a", "b"] });
    await using stream = new RowStream(corpus, { seed: 0, shuffle: "none", filters: { maxNorm: 10 } });
    const rowIds = new Float64Array(48);
    const rows = await stream.fill(new Float32Array(48 * 5), 48, rowIds);
    const kept = Array.from({ length: 48 }, (_, row) => row).filter(
      (row) => Math.hypot(...[0, 1, 2].map((i) => valueA(row, i))) <= 10,
    );
    expect([...rowIds.subarray(0, rows)]).toEqual(kept);
  });
});

describe("mistakes are named: columns", () => {
  const open = async (
    columns: Parameters<typeof writeArrow>[1],
    column: readonly string[],
  ): Promise<Corpus> =>
    await openCorpus([await writeArrow(path("mistake.arrow"), columns, [4, 3])], { column });
  const a = vectorColumn({ dIn: 2 });

  it("that are missing, named twice, or not one", async () => {
    await expect(open({ a, b: a }, ["a", "c"])).rejects.toThrow('there is no column "c"');
    await expect(open({ a, b: a }, ["a", "a"])).rejects.toThrow('the column "a" is named twice');
    await expect(open({ a, b: a }, [])).rejects.toThrow("name at least one vector column");
  });

  it("of different number types", async () => {
    const half = vectorColumn({ dIn: 2, item: new Float16() });
    await expect(open({ a, b: half }, ["a", "b"])).rejects.toThrow(
      'holds float16, but "a" float32; columns read together must have one type',
    );
    const double = vectorColumn({ dIn: 2, item: new Float64() });
    await using both = await open({ a, b: double }, ["a", "b"]);
    expect(both).toMatchObject({ dIn: 4, type: "float32" });
  });

  it("with a number that is not finite, by its column and its place there", async () => {
    const b = vectorColumn({ dIn: 3, value: (row, i) => (row === 5 && i === 1 ? NaN : i) });
    const name = await writeArrow(path("finite.arrow"), { a, b }, [4, 3]);
    await using corpus = await openCorpus([name], { column: ["a", "b"] });
    const place = 'batch 1, row 1, column "b": number 1 of 3 is NaN';
    await expect(sampleRows(corpus, { seed: 0, rows: 7 })).rejects.toThrow(place);
    const faults: string[] = [];
    const onFault = ({ message }: Error): number => faults.push(message);
    const found = await checkCorpus([name], { column: ["a", "b"], onFault });
    expect(found).toMatchObject({ rows: 7, faults: 1 });
    expect(faults[0]).toContain(place);
  });
});
