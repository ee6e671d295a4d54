import { mkdir, readdir } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { textColumn, vectorColumn, writeArrow } from "../../test/arrow-files.ts";
import { readAll, readAllLabels } from "../../test/read-all.ts";
import { useTemporaryFolder } from "../../test/temporary-folder.ts";
import { openCorpus } from "../open-corpus.ts";
import { RowStream } from "../stream.ts";
import { writeCorpus } from "../writer.ts";
import { splitCorpus } from "./split-files.ts";

const at = useTemporaryFolder();

async function documents(name: string): Promise<string> {
  const rows = 600;
  const values = Float32Array.from({ length: 2 * rows }, (_, i) => i);
  const document = Array.from({ length: rows }, (_, i) => `text ${Math.floor(i / 7)}`);
  await writeCorpus(at(name), { dIn: 2, type: "float32", labels: { document: "utf8" } }, [
    { values, labels: { document } },
  ]);
  return at(name);
}

describe("splitting a corpus into files", () => {
  it("gives the rows that training sees, and those that it holds out, each once", async () => {
    await using corpus = await openCorpus([await documents("whole.arrow")], { blockBytes: 800 });
    await mkdir(at("parts"));
    const seen: number[] = [];
    const heldOut = { fraction: 0.2 };
    const result = await splitCorpus(corpus, at("parts"), {
      seed: 5,
      heldOut,
      onProgress: (rows) => seen.push(rows),
    });
    expect(result.train.rows + result.heldOut.rows).toBe(600);
    expect(seen.at(-1)).toBe(1200);
    const parts: [values: number[], names: Set<unknown>][] = [];
    for (const [split, path] of [
      ["train", result.train.path],
      ["held-out", result.heldOut.path],
    ] as const) {
      await using part = await openCorpus([path]);
      const values = await readAll(part);
      await using stream = new RowStream(corpus, { seed: 5, split, heldOut, shuffle: "none" });
      const expected = new Float32Array(1200);
      const rows = await stream.fill(expected, 600);
      expect(values).toEqual(expected.slice(0, 2 * rows));
      parts.push([[...values], new Set(await readAllLabels(part, "document"))]);
    }
    const [train, held] = parts;
    expect([...train![1]].filter((name) => held![1].has(name))).toEqual([]);
    expect([...train![0], ...held![0]].toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 1200 }, (_, i) => i),
    );
  });

  it("goes by rows where there are no documents", async () => {
    await using corpus = await openCorpus(["synth:toy-1@2000"]);
    await mkdir(at("rows"));
    const { heldOut, train } = await splitCorpus(corpus, at("rows"), { seed: 0, heldOut: { fraction: 0.1 } });
    expect(Math.abs(heldOut.rows - 200)).toBeLessThan(70);
    expect(train.rows).toBe(2000 - heldOut.rows);
  });

  it("refuses a label that is null, and says by which option of packCorpus it is left out", async () => {
    const columns = { x: vectorColumn({ dIn: 2 }), note: textColumn((row) => (row === 3 ? null : "a")) };
    await using corpus = await openCorpus([await writeArrow(at("noted.arrow"), columns, [40])]);
    await mkdir(at("noted"));
    const written = splitCorpus(corpus, at("noted"), { seed: 0, heldOut: { fraction: 0.5 } });
    await expect(written).rejects.toMatchObject({ kind: "nulls", column: "note", option: "labels" });
  });

  it("refuses a part without rows, and to replace files, and leaves nothing behind", async () => {
    await using corpus = await openCorpus(["synth:toy-1@50"]);
    await mkdir(at("empty"));
    const nothing = splitCorpus(corpus, at("empty"), { seed: 0, heldOut: { fraction: 0 } });
    await expect(nothing).rejects.toMatchObject({
      message: 'no row would be in the part "held-out"; take another share',
      option: "heldOut",
    });
    expect(await readdir(at("empty"))).toEqual([]);
    const options = { seed: 0, heldOut: { fraction: 0.5 } };
    await splitCorpus(corpus, at("empty"), options);
    await expect(splitCorpus(corpus, at("empty"), options)).rejects.toMatchObject({ kind: "exists" });
    await splitCorpus(corpus, at("empty"), { ...options, overwrite: true });
    expect((await readdir(at("empty"))).toSorted()).toEqual(["held-out.arrow", "train.arrow"]);
  });
});
