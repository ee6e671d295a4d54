/** Files and folders that other writers made: see the scripts in test/fixtures. */
import { copyFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { expectedValue } from "../test/arrow-files.ts";
import { readAll, readAllLabels } from "../test/read-all.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";

const path = useTemporaryFolder();
const ROWS = 22;
const D = 6;

function fixture(name: string): string {
  return fileURLToPath(new URL(`../test/fixtures/${name}`, import.meta.url));
}

const rowsOf = <T>(value: (row: number) => T): T[] => Array.from({ length: ROWS }, (_, row) => value(row));
const VALUES = Float32Array.from(
  rowsOf((row) => Array.from({ length: D }, (_, i) => expectedValue(row, i))).flat(),
);
const CONVERTED = "numbers stored as float64 are converted to float32";
const PACKED = expect.stringContaining("compressed");

describe("a file written by pyarrow", () => {
  for (const [name, type, format, notes] of [
    ["float32.file.arrow", "float32", "file", []],
    ["float32.stream.arrow", "float32", "stream", []],
    ["float16.file.arrow", "float16", "file", []],
    ["float16.list.stream.arrow", "float16", "stream", []],
    ["float32.large-list.file.arrow", "float32", "file", []],
    ["float64.list.file.arrow", "float32", "file", [CONVERTED]],
    ["lz4.file.arrow", "float32", "file", [PACKED]],
    ["zstd.stream.arrow", "float32", "stream", [PACKED]],
    ["feather-default.feather", "float32", "file", [PACKED]],
  ] as const) {
    it(`is read with its vectors and labels: ${name}`, async () => {
      await using corpus = await openCorpus([fixture(name)], { blockBytes: 5 * D * 4 });
      expect(corpus).toMatchObject({ rows: ROWS, dIn: D, type, column: "activation", notes });
      expect(corpus.files).toMatchObject([{ format, batches: name.startsWith("feather") ? 1 : 4 }]);
      expect(await readAll(corpus)).toEqual(VALUES);

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

  it("is read as bfloat16 where the field's metadata say so", async () => {
    await using corpus = await openCorpus([fixture("bfloat16.file.arrow")]);
    const notes = ["numbers stored as bfloat16 are converted to float32"];
    expect(corpus).toMatchObject({ rows: ROWS, dIn: D, type: "float32", notes });
    expect(await readAll(corpus)).toEqual(VALUES);
  });

  for (const name of ["unknown-types.file.arrow", "unknown-types.stream.arrow"]) {
    it(`is read beside columns of types that are not: ${name}`, async () => {
      await using corpus = await openCorpus([fixture(name)]);
      expect(await readAll(corpus)).toEqual(VALUES);
      expect(corpus.labels).toEqual([{ name: "token", type: "Int32" }]);
      expect(await readAllLabels(corpus, "token")).toEqual(rowsOf((row) => row));
      expect(corpus.ignoredColumns.map(({ name: column, why }) => `${column}: ${why}`)).toEqual(
        [
          ["views", "ListView<Int32>"],
          ["large views", "LargeListView<Int32>"],
          ["runs", "RunEndEncoded<Int32, Utf8>"],
          ["struct", "Struct<{inner:ListView<Int32>}>"],
        ].map(([column, type]) => `${column}: type ${type} is not read as a label`),
      );
      await expect(openCorpus([fixture(name)], { column: "views" })).rejects.toThrow(
        'column "views": has type ListView<Int32>; vectors must be lists of float16',
      );
    });
  }

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

describe("sequences of vectors written by pyarrow", () => {
  const ragged = [4, 1, 6, 0, 3, 5, 2, 1];
  for (const [name, lengths] of [
    ["nested-list-list.stream.arrow", ragged],
    ["nested-list-list.zstd.file.arrow", ragged],
    ["nested-large-fixed.float16.file.arrow", ragged],
    ["nested-fixed-fixed.file.arrow", Array<number>(11).fill(2)],
  ] as const) {
    it(`are read as one row per vector, with the labels of both: ${name}`, async () => {
      await using corpus = await openCorpus([fixture(name)], { blockBytes: 5 * D * 4 });
      expect(corpus).toMatchObject({ rows: ROWS, dIn: D, column: "activation" });
      expect(corpus.notes).toContain(`${lengths.length} sequences are read as one row per vector`);
      expect(await readAll(corpus)).toEqual(VALUES);
      expect(corpus.labels).toEqual([
        { name: "words", type: "Utf8" },
        { name: "tokens", type: "Int32" },
        { name: "document", type: "Utf8" },
        { name: "sequence", type: "Uint32" },
        { name: "position", type: "Int32" },
      ]);
      const places = lengths.flatMap((length, sequence) =>
        Array.from({ length }, (_, position) => ({ sequence, position })),
      );
      expect(await readAllLabels(corpus, "words")).toEqual(rowsOf((row) => `w${row}`));
      expect(await readAllLabels(corpus, "tokens")).toEqual(rowsOf((row) => (row === 3 ? null : 10 * row)));
      expect(await readAllLabels(corpus, "document")).toEqual(places.map(({ sequence }) => `d${sequence}`));
      expect(await readAllLabels(corpus, "sequence")).toEqual(places.map(({ sequence }) => sequence));
      expect(await readAllLabels(corpus, "position")).toEqual(places.map(({ position }) => position));
      // The second batch begins with the fourth sequence.
      const located = places.map(({ sequence, position }) => ({
        path: fixture(name),
        batch: sequence < 3 ? 0 : 1,
        row: sequence < 3 ? sequence : sequence - 3,
        position,
      }));
      expect(rowsOf((row) => corpus.locate(row))).toEqual(located);
    });
  }
});

describe("a file written by polars", () => {
  const names = ["float32.list", "float64.array", "float16.array"].flatMap((type) =>
    ["uncompressed", "lz4", "zstd"].map((codec) => `polars-${codec}.${type}.file.arrow`),
  );
  for (const name of [...names, "polars-lz4.newest.stream.arrow"]) {
    it(`is read with its vectors and labels: ${name}`, async () => {
      await using corpus = await openCorpus([fixture(name)], { blockBytes: 5 * D * 4 });
      expect(corpus).toMatchObject({ rows: ROWS, dIn: D, column: "activation" });
      expect(await readAll(corpus)).toEqual(VALUES);
      const tokens = rowsOf((row) => (row === 3 ? null : BigInt(10 * row)));
      expect(await readAllLabels(corpus, "token")).toEqual(tokens);
      expect(await readAllLabels(corpus, "final")).toEqual(rowsOf((row) => row % 5 === 0));
      const texts = rowsOf((row) => `a text of more than twelve bytes ${row}`);
      expect(corpus.labels.map((label) => label.type)).toContain(
        name.includes("newest") ? "Utf8View" : "LargeUtf8",
      );
      expect(await readAllLabels(corpus, "text")).toEqual(texts);
      const mixed = rowsOf((row) => (row % 4 === 0 ? null : "ä".repeat(row)));
      expect(await readAllLabels(corpus, "mixed")).toEqual(mixed);
    });
  }
});

describe("compressed buffers of several blocks", () => {
  for (const name of [
    "repetitive.lz4",
    "repetitive.zstd",
    "polars-repetitive.lz4",
    "polars-repetitive.zstd",
  ]) {
    it(`are unpacked bit for bit, in any order of blocks: ${name}`, async () => {
      await using corpus = await openCorpus([fixture(`${name}.file.arrow`)], { blockBytes: 10_000 });
      expect(corpus).toMatchObject({ rows: 3000, dIn: 32 });
      const all = new Float32Array(3000 * 32);
      await Promise.all(
        [...corpus.blocks].toReversed().map(async (block) => {
          const part = all.subarray(block.firstRow * 32, (block.firstRow + block.rows) * 32);
          await corpus.readBlock(block, new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
        }),
      );
      expect(all).toEqual(Float32Array.from(all, (_, n) => (Math.floor(n / 32) % 7) + (n % 32) / 8));
    });
  }
});

describe("a folder written by Hugging Face datasets", () => {
  it("is read as one corpus of its data files", async () => {
    await using corpus = await openCorpus([fixture("dataset")]);
    expect(corpus).toMatchObject({ rows: 24, dIn: 3, column: "activation", notes: [] });
    expect(corpus.files.map(({ format, rows }) => ({ format, rows }))).toEqual([
      { format: "stream", rows: 12 },
      { format: "stream", rows: 12 },
    ]);
    const texts = Array.from({ length: 24 }, (_, row) => `token ${row}`);
    expect(await readAllLabels(corpus, "text")).toEqual(texts);
  });

  it("is read by the split that is named, with sequences of any length", async () => {
    await expect(openCorpus([fixture("dataset-dict")])).rejects.toThrow("splits train, validation; name one");
    await using corpus = await openCorpus([fixture("dataset-dict/train")]);
    expect(corpus).toMatchObject({ rows: 8, dIn: 3, type: "float16" });
    const tokens = [4, 1, 3].flatMap((length, s) => Array.from({ length }, (_, t) => ({ s, t })));
    const values = tokens.flatMap(({ s, t }) => [0, 1, 2].map((i) => 10 * s + t + i / 8));
    expect([...(await readAll(corpus))]).toEqual(values);
    expect(await readAllLabels(corpus, "words")).toEqual(tokens.map(({ s, t }) => `${s}.${t}`));
    expect(await readAllLabels(corpus, "document")).toEqual(tokens.map(({ s }) => `document ${s}`));
  });
});

describe("an activation cache of SAELens", () => {
  it("is read unchanged: a row per token, with its id, sequence and position", async () => {
    await using corpus = await openCorpus([fixture("sae-lens-cache")], { blockBytes: 7 * 3 * 4 });
    expect(corpus).toMatchObject({ rows: 40, dIn: 3, type: "float32", column: "blocks.0.hook_mlp_out" });
    expect(corpus.notes).toEqual(["10 sequences are read as one row per vector"]);
    const files = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"];
    expect(corpus.files.map((file) => basename(file.path))).toEqual(files);
    const tokens = Array.from({ length: 40 }, (_, row) => ({ s: Math.floor(row / 4), t: row % 4 }));
    const values = tokens.flatMap(({ s, t }) => [0, 1, 2].map((i) => 10 * s + t + i / 8));
    expect([...(await readAll(corpus))]).toEqual(values);
    expect(corpus.labels.map((label) => label.name)).toEqual(["token_ids", "sequence", "position"]);
    expect(await readAllLabels(corpus, "token_ids")).toEqual(tokens.map(({ s, t }) => 100 * s + t));
    expect(await readAllLabels(corpus, "sequence")).toEqual(tokens.map(({ s }) => s));
    expect(await readAllLabels(corpus, "position")).toEqual(tokens.map(({ t }) => t));
  });
});
