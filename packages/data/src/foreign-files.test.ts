/** Files that pyarrow wrote: see test/fixtures/make_fixtures.py. */
import { copyFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { expectedValue } from "../test/arrow-files.ts";
import { readAll, readAllLabels } from "../test/read-all.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./corpus.ts";

const path = useTemporaryFolder();
const ROWS = 22;
const D = 6;

function fixture(name: string): string {
  return fileURLToPath(new URL(`../test/fixtures/${name}`, import.meta.url));
}

const rowsOf = <T>(value: (row: number) => T): T[] => Array.from({ length: ROWS }, (_, row) => value(row));

describe("a file written by pyarrow", () => {
  for (const [name, type, format] of [
    ["float32.file.arrow", "float32", "file"],
    ["float32.stream.arrow", "float32", "stream"],
    ["float16.file.arrow", "float16", "file"],
    ["float16.list.stream.arrow", "float16", "stream"],
    ["float32.large-list.file.arrow", "float32", "file"],
  ] as const) {
    it(`is read with its vectors and labels: ${name}`, async () => {
      await using corpus = await openCorpus([fixture(name)], { blockBytes: 5 * D * 4 });
      expect(corpus).toMatchObject({ rows: ROWS, dIn: D, type, column: "activation" });
      expect(corpus.files).toMatchObject([{ format, batches: 4 }]);
      const expected = rowsOf((row) => Array.from({ length: D }, (_, i) => expectedValue(row, i)));
      expect(await readAll(corpus)).toEqual(Float32Array.from(expected.flat()));

      expect(corpus.labels).toEqual([
        { name: "token", type: "Int64" },
        { name: "document", type: "Utf8" },
        { name: "speaker", type: "Dictionary<Int32, Utf8>" },
        { name: "final", type: "Bool" },
        { name: "source", type: "LargeUtf8" },
        { name: "score", type: "Float64" },
        { name: "layer", type: "Uint8" },
      ]);
      expect(corpus.ignoredColumns.map((column) => column.name)).toEqual(["when"]);
      const tokens = rowsOf((row) => (row === 3 ? null : BigInt(10 * row)));
      expect(await readAllLabels(corpus, "token")).toEqual(tokens);
      const documents = rowsOf((row) => `dokument-${Math.floor(row / 4)} ä`);
      expect(await readAllLabels(corpus, "document")).toEqual(documents);
      expect(await readAllLabels(corpus, "speaker")).toEqual(rowsOf((row) => ["ada", "bob", null][row % 3]));
      expect(await readAllLabels(corpus, "final")).toEqual(rowsOf((row) => row % 5 === 0));
      const sources = rowsOf((row) => (row === 5 ? null : "s".repeat(row % 3)));
      expect(await readAllLabels(corpus, "source")).toEqual(sources);
      expect(await readAllLabels(corpus, "score")).toEqual(rowsOf((row) => (row % 6 === 2 ? null : row / 4)));
      expect(await readAllLabels(corpus, "layer")).toEqual(rowsOf((row) => row));
    });
  }

  it("is refused when it is compressed, with the advice to write it uncompressed", async () => {
    for (const name of ["lz4.file.arrow", "zstd.stream.arrow", "feather-default.feather"]) {
      const error = await openCorpus([fixture(name)]).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ kind: "unsupported", path: fixture(name), batch: 0 });
      expect(String(error)).toContain("compressed; write the file uncompressed");
    }
  });

  it("and its stream twin make one corpus", async () => {
    await copyFile(fixture("float32.file.arrow"), path("1.arrow"));
    await copyFile(fixture("float32.stream.arrow"), path("2.arrow"));
    await using corpus = await openCorpus([path("*.arrow")]);
    expect(corpus.files.map((file) => file.format)).toEqual(["file", "stream"]);
    const all = await readAll(corpus);
    expect(all.slice(ROWS * D)).toEqual(all.slice(0, ROWS * D));
  });

  it("has the dictionary of each batch, added to or replaced on the way", async () => {
    const expected = [1, 3, 5].flatMap((last) => [`name ${last}`, null, `name ${last - 1}`]);
    for (const name of ["deltas.stream", "deltas.file", "replaced.stream"]) {
      await using corpus = await openCorpus([fixture(`dictionary-${name}.arrow`)]);
      expect(await readAllLabels(corpus, "speaker")).toEqual(expected);
      // Backwards, so that a dictionary that was kept must not serve another batch.
      await using single = await openCorpus([fixture(`dictionary-${name}.arrow`)], { blockBytes: 4 });
      const backwards: unknown[] = [];
      for (const block of [...single.blocks].reverse()) {
        backwards.push((await single.readLabels(block, ["speaker"])).get("speaker")?.get(0));
      }
      expect(backwards).toEqual([...expected].reverse());
    }
  });
});
