import { describe, expect, it } from "vitest";
import { intColumn, textColumn, vectorColumn, writeArrow } from "../test/arrow-files.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";

const path = useTemporaryFolder();
const x = vectorColumn({ dIn: 1 });

describe("readLabels", () => {
  it("reads the rows of a block from all of its batches, several columns at a time", async () => {
    const columns = {
      x,
      n: intColumn((row) => -row),
      t: textColumn((row) => (row % 3 === 0 ? null : `t${row}`)),
    };
    const name = await writeArrow(path("a"), columns, [5, 0, 1, 9]);
    await using corpus = await openCorpus([name], { blockBytes: 28 });
    const block = corpus.blocks.at(1)!;
    expect(block).toMatchObject({ firstRow: 7, rows: 7 });
    const labels = await corpus.readLabels(block, ["t", "n"]);
    expect([...labels.keys()]).toEqual(["t", "n"]);
    expect([...labels.get("n")!]).toEqual([-7, -8, -9, -10, -11, -12, -13]);
    expect([...labels.get("t")!]).toEqual(["t7", "t8", null, "t10", "t11", null, "t13"]);
    expect(labels.get("t")!.length).toBe(7);
    expect(labels.get("t")!.get(2)).toBeNull();
    expect(() => labels.get("t")!.get(7)).toThrow(RangeError);
  });

  it("refuses names that are not label columns, listing those that are", async () => {
    await using corpus = await openCorpus([path("a")]);
    const read = corpus.readLabels(corpus.blocks.at(0)!, ["absent"]);
    await expect(read).rejects.toMatchObject({ kind: "no-label-column" });
    await expect(read).rejects.toThrow('there are: "n", "t"');
  });
});

describe("labels of several files", () => {
  it("are the columns that all have with one type; the others are ignored, with the reason", async () => {
    const b = await writeArrow(
      path("b"),
      { x, same: intColumn((r) => r), only: intColumn((r) => r), odd: intColumn((r) => r) },
      [2],
    );
    const c = await writeArrow(
      path("c"),
      { odd: textColumn((r) => `${r}`), same: intColumn((r) => r), x },
      [2],
      "stream",
      2,
    );
    await using corpus = await openCorpus([b, c]);
    expect(corpus.labels).toEqual([{ name: "same", type: "Int32" }]);
    expect(corpus.ignoredColumns).toEqual([
      { name: "odd", why: "type Int32 in one file, Utf8 in another" },
      { name: "only", why: `${c} does not have it` },
    ]);
    expect([...(await corpus.readLabels(corpus.blocks.at(1)!, ["same"])).get("same")!]).toEqual([2, 3]);
  });
});
