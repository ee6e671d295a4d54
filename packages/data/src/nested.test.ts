/** Columns whose rows are sequences of vectors: faults by row and position, labels that do not fit, mixed files. */
import { Field, FixedSizeList, Float32, Int32, List } from "apache-arrow";
import type { DataType } from "apache-arrow";
import { describe, expect, it } from "vitest";
import { anyColumn, intColumn, vectorColumn, writeArrow } from "../test/arrow-files.ts";
import type { TestColumn, TestColumns } from "../test/arrow-files.ts";
import { readAllLabels } from "../test/read-all.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";
import { RowStream } from "./stream.ts";

const path = useTemporaryFolder();
const item = (type: DataType): Field => new Field("item", type, true);
const lists = new List(item(new List(item(new Float32()))));
const vectorsOf3 = new FixedSizeList(3, item(new Float32()));

/** Sequence s has the tokens [s, 0, 0], [s, 1, 0] ... */
function sequences(lengths: readonly number[], change?: (s: number, t: number) => unknown): TestColumn {
  return anyColumn(lists, (s) =>
    Array.from(
      { length: lengths[s]! },
      (_, t) => (change === undefined ? undefined : change(s, t)) ?? [s, t, 0],
    ),
  );
}

async function refusal(columns: TestColumns, batches: readonly number[]): Promise<unknown> {
  await writeArrow(path("refused.arrow"), columns, batches);
  return openCorpus([path("refused.arrow")]).then(
    (corpus) => corpus.close().then(() => "was opened"),
    (error: unknown) => error,
  );
}

describe("a nested column", () => {
  it("is refused with batch, row and position where a vector has another length", async () => {
    const x = sequences([2, 3, 1, 2], (s, t) => (s === 3 && t === 1 ? [1, 2] : undefined));
    const error = await refusal({ x }, [2, 2]);
    expect(error).toMatchObject({ kind: "ragged", batch: 1, row: 1, position: 1, column: "x" });
    expect(String(error)).toContain('batch 1, row 1, position 1, column "x": a list of 2 numbers');
  });

  it("is refused where a sequence, a vector or a number is null", async () => {
    const withNull = anyColumn(lists, (s) =>
      s === 1
        ? null
        : [
            [1, 2],
            [3, 4],
          ],
    );
    expect(await refusal({ x: withNull }, [3])).toMatchObject({ kind: "nulls", batch: 0, row: 1 });
    const nullVector = anyColumn(new List(item(vectorsOf3)), (s) => [[1, 2, 3], s === 2 ? null : [4, 5, 6]]);
    expect(await refusal({ x: nullVector }, [3])).toMatchObject({ kind: "nulls", row: 2, position: 1 });
    const number = sequences([2, 2, 2], (s, t) => (s === 1 && t === 1 ? [1, null, 2] : undefined));
    expect(await refusal({ x: number }, [3])).toMatchObject({ kind: "nulls", row: 1, position: 1 });
  });

  it("is named by row and position where a number is not finite", async () => {
    const x = sequences([2, 3], (s, t) => (s === 1 && t === 2 ? [0, Number.NaN, 0] : undefined));
    await writeArrow(path("nan.arrow"), { x }, [2]);
    await using corpus = await openCorpus([path("nan.arrow")]);
    await using stream = new RowStream(corpus, { seed: 1 });
    const error: unknown = await stream.fill(new Float32Array(15), 5).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ kind: "non-finite", batch: 0, row: 1, position: 2 });
  });

  it("may have sequences without vectors, and batches of them", async () => {
    await writeArrow(path("empty.arrow"), { x: sequences([0, 2, 0, 0, 0, 1, 0]) }, [3, 2, 2]);
    await using corpus = await openCorpus([path("empty.arrow")], { blockBytes: 12 });
    expect(corpus).toMatchObject({ rows: 3, dIn: 3 });
    expect(await readAllLabels(corpus, "sequence")).toEqual([1, 1, 5]);
    expect(await readAllLabels(corpus, "position")).toEqual([0, 1, 0]);
    expect(corpus.locate(2)).toMatchObject({ batch: 2, row: 0, position: 0 });
  });

  it("is refused as empty when no sequence has a vector", async () => {
    expect(await refusal({ x: sequences([0, 0]) }, [2])).toMatchObject({ kind: "empty" });
  });

  it("has no labels in a list of another length, which is said when they are read", async () => {
    const tokens = anyColumn(new List(item(new Int32())), (s) => (s === 1 ? [7] : [7, 8]));
    await writeArrow(path("tokens.arrow"), { x: sequences([2, 2, 2]), tokens }, [3]);
    await using corpus = await openCorpus([path("tokens.arrow")]);
    const read = readAllLabels(corpus, "tokens");
    await expect(read).rejects.toMatchObject({ kind: "ragged", batch: 0, row: 1, column: "tokens" });
    await expect(read).rejects.toThrow("a list of 1 labels for 2 vectors; there must be one for each");
  });

  it("keeps the file's own columns where they have the names of its labels", async () => {
    const columns = { x: sequences([2, 1]), sequence: intColumn((row) => 50 + row) };
    await writeArrow(path("own.arrow"), columns, [2]);
    await using corpus = await openCorpus([path("own.arrow")]);
    expect(corpus.labels.map((label) => label.name)).toEqual(["sequence", "position"]);
    expect(await readAllLabels(corpus, "sequence")).toEqual([50, 50, 51]);
  });

  it("counts sequences across files, and makes one corpus with a flat column", async () => {
    await writeArrow(path("many-1.arrow"), { x: sequences([2, 1]) }, [2]);
    await writeArrow(path("many-2.arrow"), { x: sequences([1, 2]) }, [1, 1], "stream");
    await using many = await openCorpus([path("many-*.arrow")]);
    expect(await readAllLabels(many, "sequence")).toEqual([0, 0, 1, 2, 3, 3]);
    await writeArrow(path("many-3.arrow"), { x: vectorColumn({ dIn: 3 }) }, [2]);
    await using mixed = await openCorpus([path("many-*.arrow")]);
    expect(mixed).toMatchObject({ rows: 8, labels: [] });
    expect(mixed.ignoredColumns).toContainEqual({
      name: "position",
      why: `${path("many-3.arrow")} does not have it`,
    });
  });

  it("is held out by whole sequences, where there is no document", async () => {
    await writeArrow(path("held.arrow"), { x: sequences(Array<number>(60).fill(4)) }, [60]);
    await using corpus = await openCorpus([path("held.arrow")]);
    const heldOut = { fraction: 0.3 };
    await using stream = new RowStream(corpus, { seed: 3, split: "held-out", heldOut });
    const rows = new Float32Array(3 * 240);
    const count = await stream.fill(rows, 240);
    const perSequence = Array<number>(60).fill(0);
    for (let row = 0; row < count; row++) perSequence[rows[3 * row]!]!++;
    expect(new Set(perSequence)).toEqual(new Set([0, 4]));
  });
});
