import fc from "fast-check";
import { Float16, Int64, Uint8 } from "apache-arrow";
import { beforeAll, describe, expect, it } from "vitest";
import { anyColumn, intColumn, textColumn, vectorColumn, writeArrow } from "../../test/arrow-files.ts";
import { rowsOfSplit } from "../../test/split-model.ts";
import { useTemporaryFolder } from "../../test/temporary-folder.ts";
import { openCorpus } from "../open-corpus.ts";
import { sampleRows } from "../sample.ts";
import { readStatistics, writeStatistics } from "../sidecar.ts";
import { countSplit } from "../split.ts";
import type { Shuffle } from "../shuffle.ts";
import type { Split } from "../split.ts";
import { estimateStatistics, fullStatistics } from "../statistics.ts";
import { RowStream } from "../stream.ts";
import type { StreamPosition } from "../stream.ts";
import { filtersKey } from "./row-filter.ts";
import type { RowFilters } from "./row-filter.ts";

const path = useTemporaryFolder();
const ROWS = 300;
const D = 3;

const documentOf = (row: number): string => `document ${Math.floor(row / 11)}`;
const positionOf = (row: number): number => row % 11;
const tokenOf = (row: number): number => (row * 7) % 23;
/** Every 31st row is a sink of 100 times the norm. */
const valueOf = (row: number, i: number): number => ((row + i) % 8) + 1 + (row % 31 === 5 ? 800 : 0);
const normOf = (row: number): number => Math.hypot(...Array.from({ length: D }, (_, i) => valueOf(row, i)));

/** The filters' definition, written out. */
function isKept(row: number, filters: RowFilters): boolean {
  if (filters.excludeTokens?.map(Number).includes(tokenOf(row))) return false;
  if (filters.excludePositions?.includes(positionOf(row))) return false;
  if (filters.where !== undefined && !(positionOf(row) < 9)) return false;
  return !(filters.maxNorm !== undefined && normOf(row) > filters.maxNorm);
}

beforeAll(async () => {
  const labels = {
    document: textColumn(documentOf),
    position: intColumn(positionOf),
    token_ids: anyColumn(new Int64(), (row) => BigInt(tokenOf(row))),
    token: textColumn((row) => `t${tokenOf(row)}`),
  };
  const x = (item?: Float16) => vectorColumn({ dIn: D, value: valueOf, ...(item ? { item } : {}) });
  await writeArrow(path("full-1"), { x: x(), ...labels }, [70, 80]);
  await writeArrow(path("full-2"), { x: x(), ...labels }, [150], "stream", 150);
  await writeArrow(path("half"), { x: x(new Float16()), ...labels }, [ROWS]);
});

const anyFilters: fc.Arbitrary<RowFilters> = fc.record(
  {
    excludeTokens: fc.array(fc.oneof(fc.nat(22), fc.nat(22).map(String)), { maxLength: 3 }),
    excludePositions: fc.array(fc.nat(10), { maxLength: 2 }),
    where: fc.constant("position < 9"),
    maxNorm: fc.constantFrom(5, 100),
  },
  { requiredKeys: [] },
);
const anySplit = fc.constantFrom<Split[]>("all", "train", "held-out");

/** Row numbers from all that is left of a stream. */
async function drain(stream: RowStream, batch: number): Promise<number[]> {
  const ids = new Float64Array(batch);
  const into = new Float32Array(batch * D);
  const rows: number[] = [];
  for (let count = 0; (count = await stream.fill(into, batch, ids)) > 0; ) {
    for (let i = 0; i < count; i++) {
      expect(into[i * D]).toBe(valueOf(ids[i]!, 0));
      rows.push(ids[i]!);
    }
  }
  return rows;
}

describe("row filters", () => {
  it("leave every other row exactly once per epoch, counted, and resumed at any place", async () => {
    const run = fc.asyncProperty(
      anyFilters,
      anySplit,
      fc.constantFrom("full-*", "half"),
      fc.record({ block: fc.integer({ min: 60, max: 900 }), window: fc.integer({ min: 12, max: 4000 }) }),
      fc.constantFrom<Shuffle[]>("window", "none", "full"),
      fc.integer({ min: 1, max: 100 }),
      fc.nat(2 * ROWS),
      async (filters, split, name, { block, window }, shuffle, batch, stop) => {
        await using corpus = await openCorpus([path(name)], { blockBytes: block });
        const heldOut = { fraction: 0.4 };
        const options = { seed: 3, split, heldOut, filters, windowBytes: window, shuffle, epochs: 2 };
        const all = await rowsOfSplit(corpus, { seed: 3, split, heldOut });
        const expected = all.filter((row) => isKept(row, filters));
        fc.pre(expected.length > 0);
        expect(await rowsOfSplit(corpus, options)).toEqual(expected);
        const filteredRows = all.length - expected.length;
        expect(await countSplit(corpus, options)).toEqual({ rows: expected.length, filteredRows });

        await using stream = new RowStream(corpus, options);
        const delivered = await drain(stream, batch);
        expect(stream.filteredRows).toBe(2 * filteredRows);
        for (const epoch of [0, 1]) {
          const part = delivered.slice(epoch * expected.length, (epoch + 1) * expected.length);
          expect(part.toSorted((a, b) => a - b)).toEqual(expected);
        }
        expect(delivered).toHaveLength(2 * expected.length);

        await using before = new RowStream(corpus, options);
        const first = Math.min(stop, delivered.length);
        expect(await before.fill(new Float32Array(first * D), first)).toBe(first);
        const from = JSON.parse(JSON.stringify(before.position)) as StreamPosition;
        await using after = new RowStream(corpus, { ...options, from });
        expect(await drain(after, batch)).toEqual(delivered.slice(first));
      },
    );
    await fc.assert(run, { numRuns: 40 });
  });

  it("serve statistics and samples alike", async () => {
    const filters: RowFilters = { excludePositions: [0], maxNorm: 100 };
    for (const name of ["full-*", "half"]) {
      await using corpus = await openCorpus([path(name)], { blockBytes: 120 });
      const kept = [...Array(ROWS).keys()].filter((row) => isKept(row, filters));
      const found = await fullStatistics(corpus, { seed: 1, filters });
      expect(found).toMatchObject({
        sampledRows: kept.length,
        filteredRows: ROWS - kept.length,
        exact: true,
      });
      expect(found.meanNorm).toBeCloseTo(kept.reduce((sum, row) => sum + normOf(row), 0) / kept.length, 9);
      expect(await estimateStatistics(corpus, { seed: 4, filters })).toEqual(found);
      for (const rows of [50, ROWS]) {
        const sample = await sampleRows(corpus, { seed: 1, filters, rows });
        expect(sample.rows).toBe(Math.min(rows, kept.length));
        expect(new Set(sample.rowIds).size).toBe(sample.rows);
        for (const [i, row] of sample.rowIds.entries()) {
          expect(isKept(row, filters)).toBe(true);
          expect(sample.values[i * D]).toBe(valueOf(row, 0));
        }
      }
    }
  });

  it("keep their statistics in a sidecar of their own", async () => {
    const filters: RowFilters = { where: "position > 0" };
    await using corpus = await openCorpus([path("half")]);
    const filtered = await fullStatistics(corpus, { seed: 1, filters });
    const all = await fullStatistics(corpus, { seed: 1 });
    const first = await writeStatistics(corpus, filtered, filters);
    expect(await writeStatistics(corpus, all)).not.toBe(first);
    expect(await readStatistics(corpus, { where: " position > 0 ", excludeTokens: [] })).toEqual(filtered);
    expect(await readStatistics(corpus)).toEqual(all);
    expect(await readStatistics(corpus, { where: "position > 1" })).toBeUndefined();
  });

  it("have one key, however they are written down", () => {
    expect(filtersKey({ excludeTokens: ["5", 3, 5] })).toBe(
      filtersKey({ excludeTokens: [3, 5], excludePositions: [] }),
    );
    expect(filtersKey({ excludeTokens: [] })).toBeUndefined();
    expect(filtersKey({ maxNorm: 3 })).not.toBe(filtersKey({ maxNorm: 4 }));
  });

  it("take tokens by id or by text, from the column that can hold them", async () => {
    await using corpus = await openCorpus([path("half")]);
    const rows = (filters: RowFilters): Promise<number[]> => rowsOfSplit(corpus, { seed: 1, filters });
    const byId = await rows({ excludeTokens: [4, 9] });
    expect(byId).toHaveLength([...Array(ROWS).keys()].filter((row) => ![4, 9].includes(tokenOf(row))).length);
    expect(await rows({ excludeTokens: ["t4", "t9"] })).toEqual(byId);
    expect(await rows({ excludeTokens: ["4", "9"], tokenColumn: "token_ids" })).toEqual(byId);
    expect(await rows({ where: "token not in ('t4', 't9')" })).toEqual(byId);
    expect(await rows({ excludePositions: [4, 9], positionColumn: "token_ids" })).toEqual(byId);
  });

  it("name what they cannot do: missing columns, texts for ids, wrong norms and expressions", async () => {
    const columns = { x: vectorColumn({ dIn: 2 }), token_ids: anyColumn(new Uint8(), (row) => row) };
    await using corpus = await openCorpus([await writeArrow(path("few"), columns, [5])]);
    const attempt = (filters: RowFilters): Promise<number[]> => rowsOfSplit(corpus, { seed: 1, filters });
    await expect(attempt({ excludePositions: [0] })).rejects.toThrow(
      `there is no label column "position" to exclude positions by; there are: "token_ids"`,
    );
    await expect(attempt({ excludeTokens: ["a"], tokenColumn: "word" })).rejects.toMatchObject({
      kind: "no-label-column",
    });
    await expect(attempt({ excludeTokens: [1, "<bos>"] })).rejects.toThrow(
      /"<bos>" is no id, .* holds Uint8/,
    );
    await expect(attempt({ maxNorm: 0 })).rejects.toThrow(/above 0, got 0/);
    await expect(attempt({ where: "token_ids > 'a'" })).rejects.toThrow(/wrong at character 13/);
  });

  it("leave rows that are not finite for whoever reads them to report", async () => {
    const x = vectorColumn({ dIn: 2, value: (row) => (row === 3 ? Infinity : row) });
    await using corpus = await openCorpus([await writeArrow(path("infinite"), { x }, [20])]);
    const options = { seed: 1, filters: { maxNorm: 10 } };
    expect((await rowsOfSplit(corpus, options)).slice(0, 5)).toEqual([0, 1, 2, 3, 4]);
    await expect(fullStatistics(corpus, options)).rejects.toMatchObject({ kind: "non-finite", row: 3 });
  });

  it("that leave nothing are an error rather than an endless search", async () => {
    await using corpus = await openCorpus([path("half")]);
    const options = { seed: 1, filters: { maxNorm: 1e-3 } };
    await using stream = new RowStream(corpus, { ...options, epochs: Infinity });
    await expect(stream.fill(new Float32Array(D), 1)).rejects.toThrow(/no rows that the filters leave/);
    await expect(fullStatistics(corpus, options)).rejects.toThrow(/the filters leave out 300/);
    expect((await sampleRows(corpus, { ...options, rows: 5 })).rows).toBe(0);
  });
});
