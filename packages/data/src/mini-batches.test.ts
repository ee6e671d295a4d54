import { describe, expect, it } from "vitest";
import { intColumn, textColumn, vectorColumn, writeArrow } from "../test/arrow-files.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";
import { miniBatches } from "./mini-batches.ts";
import type { MiniBatch, MiniBatchOptions } from "./mini-batches.ts";

const path = useTemporaryFolder();
const ROWS = 230;

async function collect(options: Partial<MiniBatchOptions>): Promise<MiniBatch[]> {
  const columns = {
    x: vectorColumn({ dIn: 2 }),
    token: textColumn((row) => (row % 7 === 0 ? null : `token ${row}`)),
    document: intColumn((row) => Math.floor(row / 9)),
  };
  const name = await writeArrow(path("labelled"), columns, [100, 0, 130]);
  await using corpus = await openCorpus([name], { blockBytes: 80 });
  const batches: MiniBatch[] = [];
  for await (const batch of miniBatches(corpus, { seed: 1, windowBytes: 400, ...options })) {
    batches.push(batch);
  }
  return batches;
}

describe("miniBatches", () => {
  it.each(["window", "full", "none"] as const)(
    "gives every row once per epoch with its own values and labels, by shuffle %s",
    async (shuffle) => {
      const batches = await collect({ shuffle, batchRows: 32, epochs: 2, labels: ["token", "document"] });
      expect(batches.map(({ rows }) => rows)).toEqual([...Array<number>(14).fill(32), 12]);
      const ids = batches.flatMap(({ rowIds }) => [...rowIds]);
      for (const epoch of [0, 1]) {
        const seen = ids.slice(epoch * ROWS, (epoch + 1) * ROWS);
        expect(seen.toSorted((a, b) => a - b)).toEqual([...Array(ROWS).keys()]);
      }
      for (const { rows, values, rowIds, labels } of batches) {
        expect([...values]).toEqual([...rowIds].flatMap((row) => [row, row + 1 / 8]));
        expect(labels["token"]).toEqual([...rowIds].map((row) => (row % 7 === 0 ? null : `token ${row}`)));
        expect(labels["document"]).toEqual([...rowIds].map((row) => Math.floor(row / 9)));
        expect(labels["token"]).toHaveLength(rows);
      }
    },
  );

  it("gives memory that the next mini-batch leaves alone, and no labels unless asked", async () => {
    const [first, second] = await collect({ batchRows: 32 });
    expect(first!.values.buffer).not.toBe(second!.values.buffer);
    expect(first!.labels).toEqual({});
  });

  it("goes on from any position", async () => {
    const all = await collect({ batchRows: 32, labels: ["token"] });
    const rest = await collect({ batchRows: 32, labels: ["token"], from: all[2]!.position });
    expect(rest).toEqual(all.slice(3));
  });

  it("ends at the last row, also when the mini-batches divide the rows", async () => {
    expect((await collect({ batchRows: 115 })).map(({ rows }) => rows)).toEqual([115, 115]);
    expect((await collect({ batchRows: 1000 })).map(({ rows }) => rows)).toEqual([230]);
  });

  it("stops reading when the loop is left, and when its signal says so", async () => {
    const corpus = await openCorpus([path("labelled")], { blockBytes: 80 });
    for await (const { rows } of miniBatches(corpus, { seed: 1, batchRows: 10, epochs: Infinity })) {
      expect(rows).toBe(10);
      break;
    }
    const controller = new AbortController();
    const endless = miniBatches(corpus, { seed: 1, epochs: Infinity, signal: controller.signal });
    await endless.next();
    controller.abort(new Error("enough"));
    await expect(endless.next()).rejects.toThrow("enough");
    await corpus.close();
  });

  it("refuses columns that are not there, and mini-batches of no rows", async () => {
    await expect(collect({ labels: ["absent"] })).rejects.toMatchObject({ kind: "no-label-column" });
    for (const batchRows of [0, 1.5, Number.NaN]) {
      await expect(collect({ batchRows })).rejects.toMatchObject({ kind: "invalid-option" });
    }
  });
});
