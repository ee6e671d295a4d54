import fc from "fast-check";
import { Float16, Int32, List, Field, Float32, TimestampSecond, Uint16, Utf8 } from "apache-arrow";
import { writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import {
  anyColumn,
  arrowBytes,
  expectedValue,
  intColumn,
  textColumn,
  vectorColumn,
  writeArrow,
} from "../test/arrow-files.ts";
import { readAll } from "../test/read-all.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";
import { SparseRowWriter } from "./sparse-row-writer.ts";

const path = useTemporaryFolder();

function expectedValues(rows: number, dIn: number): Float32Array {
  return Float32Array.from({ length: rows * dIn }, (_, n) => expectedValue(Math.floor(n / dIn), n % dIn));
}

describe("openCorpus reads", () => {
  for (const kind of ["fixed", "list", "large-list"] as const) {
    for (const format of ["file", "stream"] as const) {
      for (const item of [new Float32(), new Float16()]) {
        it(`${kind} columns of ${String(item)} in a ${format}`, async () => {
          const name = path(`${kind}-${format}-${String(item)}`);
          await writeArrow(name, { x: vectorColumn({ dIn: 3, item }, kind) }, [4, 0, 1, 7], format);
          await using corpus = await openCorpus([name], { blockBytes: 40 });
          expect(corpus).toMatchObject({ rows: 12, dIn: 3, column: "x" });
          expect(corpus.type).toBe(item instanceof Float16 ? "float16" : "float32");
          expect(corpus.files).toMatchObject([{ path: name, format, rows: 12, batches: 4 }]);
          expect(await readAll(corpus)).toEqual(expectedValues(12, 3));
        });
      }
    }
  }

  it("several files as one corpus, ordered by path bytes, whatever the order they were given in", async () => {
    const column = vectorColumn({ dIn: 2 });
    const first = await writeArrow(path("m-B.arrow"), { x: column }, [3], "stream", 0);
    const second = await writeArrow(path("m-a.arrow"), { x: column }, [2], "file", 3);
    await using corpus = await openCorpus([second, path("m-*.arrow"), first]);
    expect(corpus.files.map((file) => file.path)).toEqual([first, second]);
    expect(await readAll(corpus)).toEqual(expectedValues(5, 2));
    expect(corpus.locate(4)).toEqual({ path: second, batch: 0, row: 1 });
  });

  it("the named one of several vector columns, after columns with many buffers", async () => {
    const list = new List(new Field("item", new Utf8(), true));
    const name = await writeArrow(
      path("two.arrow"),
      {
        words: anyColumn(list, (row) => ["a", "b".repeat(row)]),
        other: vectorColumn({ dIn: 5, value: () => -1 }),
        text: textColumn((row) => (row === 1 ? null : "t")),
        x: vectorColumn({ dIn: 2 }),
      },
      [2, 3],
    );
    await using corpus = await openCorpus([name], { column: "x" });
    expect(await readAll(corpus)).toEqual(expectedValues(5, 2));
    expect(corpus.labels).toEqual([{ name: "text", type: "Utf8" }]);
    expect(corpus.ignoredColumns.map((column) => column.name)).toEqual(["words", "other"]);
  });

  it("list rows that do not begin at the child's first number", async () => {
    // Writers rebase offsets, the format does not ask for it: of lists of 4, 2 and 2 numbers the first is cut.
    const lengths = vectorColumn({ dIn: 2, length: (row) => (row === 0 ? 4 : 2) }, "list");
    const bytes = Buffer.from(arrowBytes({ x: lengths }, [3], "file"));
    const offsets = bytes.indexOf(new Uint8Array(Int32Array.of(0, 4, 6, 8).buffer));
    bytes.writeInt32LE(2, offsets);
    await writeFile(path("sliced.arrow"), bytes);
    await using corpus = await openCorpus([path("sliced.arrow")]);
    expect(corpus).toMatchObject({ rows: 3, dIn: 2 });
    expect([...(await readAll(corpus))]).toEqual([0.25, 0.375, 1, 1.125, 2, 2.125]);
  });

  it("blocks into shared memory, and nothing outside of the block's bytes", async () => {
    const name = await writeArrow(path("shared.arrow"), { x: vectorColumn({ dIn: 2 }) }, [3, 3]);
    await using corpus = await openCorpus([name]);
    const memory = new Uint8Array(new SharedArrayBuffer(128)).fill(7);
    await corpus.readBlock(corpus.blocks.at(0)!, memory.subarray(64));
    expect(memory.subarray(0, 64).every((byte) => byte === 7)).toBe(true);
    expect(new Float32Array(memory.buffer, 64, 12)).toEqual(expectedValues(6, 2));
    expect(memory.subarray(112).every((byte) => byte === 7)).toBe(true);
  });

  it("single rows of a block", async () => {
    const name = await writeArrow(path("rows.arrow"), { x: vectorColumn({ dIn: 2 }) }, [3, 1, 5]);
    await using corpus = await openCorpus([name]);
    const rows = Uint32Array.of(0, 2, 3, 4, 5, 8);
    const into = new Float32Array(12);
    await corpus.readRows(corpus.blocks.at(0)!, rows, new Uint8Array(into.buffer));
    const all = expectedValues(9, 2);
    expect([...into]).toEqual([...rows].flatMap((row) => [all[2 * row]!, all[2 * row + 1]!]));
    await expect(corpus.readRows(corpus.blocks.at(0)!, Uint32Array.of(9), new Uint8Array(8))).rejects.toThrow(
      RangeError,
    );
  });

  it("a file whose name says nothing about its format", async () => {
    const name = await writeArrow(path("renamed.parquet"), { x: vectorColumn({ dIn: 2 }) }, [3], "stream");
    await using corpus = await openCorpus([name]);
    expect(corpus.files[0]?.format).toBe("stream");
  });

  it("more files than are kept open", async () => {
    for (let i = 0; i < 70; i++) {
      const name = path(`many-${String(i).padStart(2, "0")}.arrow`);
      await writeArrow(name, { x: vectorColumn({ dIn: 1 }) }, [1], "file", i);
    }
    await using corpus = await openCorpus([path("many-*")]);
    expect(await readAll(corpus)).toEqual(expectedValues(70, 1));
    expect(await readAll(corpus)).toEqual(expectedValues(70, 1));
  });
});

describe("blocks", () => {
  it("hold every row once, in order, within the size asked for, whatever the batches", async () => {
    const name = path("blocks.arrow");
    const cases = fc.record({
      batches: fc.array(fc.nat(9), { minLength: 1, maxLength: 8 }),
      dIn: fc.integer({ min: 1, max: 5 }),
      blockBytes: fc.integer({ min: 1, max: 120 }),
      format: fc.constantFrom("file" as const, "stream" as const),
    });
    const property = fc.asyncProperty(cases, async ({ batches, dIn, blockBytes, format }) => {
      const rows = batches.reduce((sum, count) => sum + count, 0);
      fc.pre(rows > 0);
      await writeArrow(name, { x: vectorColumn({ dIn }) }, batches, format);
      await using corpus = await openCorpus([name], { blockBytes });
      let next = 0;
      for (const [index, block] of [...corpus.blocks].entries()) {
        expect(block).toMatchObject({ index, firstRow: next, byteLength: block.rows * dIn * 4 });
        expect(block.byteLength).toBeLessThanOrEqual(Math.max(blockBytes, dIn * 4));
        next += block.rows;
      }
      expect(next).toBe(rows);
      expect(await readAll(corpus)).toEqual(expectedValues(rows, dIn));
    });
    await fc.assert(property, { numRuns: 60 });
  });

  it("are cut from one batch, and joined from many", async () => {
    const big = await writeArrow(path("big.arrow"), { x: vectorColumn({ dIn: 1 }) }, [100]);
    await using cut = await openCorpus([big], { blockBytes: 40 });
    expect(Array.from(cut.blocks, (block) => block.segments.length)).toEqual(Array(10).fill(1));
    const small = await writeArrow(path("small.arrow"), { x: vectorColumn({ dIn: 1 }) }, Array(20).fill(2));
    await using joined = await openCorpus([small], { blockBytes: 80 });
    expect(Array.from(joined.blocks, (block) => block.segments.length)).toEqual([10, 10]);
  });

  it("refuse sizes beyond 16 MiB", async () => {
    await expect(openCorpus([path("big.arrow")], { blockBytes: 16 * 2 ** 20 + 1 })).rejects.toMatchObject({
      kind: "invalid-option",
    });
  });
});

describe("locate", () => {
  it("finds file, batch and row of every row", async () => {
    const batches = [3, 0, 4, 1];
    const name = await writeArrow(path("locate.arrow"), { x: vectorColumn({ dIn: 1 }) }, batches);
    await using corpus = await openCorpus([name], { blockBytes: 8 });
    const places = batches.flatMap((rows, batch) =>
      Array.from({ length: rows }, (_, row) => ({ batch, row })),
    );
    for (const [row, place] of places.entries()) expect(corpus.locate(row)).toEqual({ path: name, ...place });
    expect(() => corpus.locate(8)).toThrow(RangeError);
  });
});

describe("fingerprint", () => {
  it("is the same for another block size, and another one for other content, name or column", async () => {
    const columns = { x: vectorColumn({ dIn: 2 }), y: vectorColumn({ dIn: 2 }) };
    const fingerprintOf = async (name: string, column: string, blockBytes?: number): Promise<string> => {
      await using corpus = await openCorpus([name], { column, blockBytes });
      return corpus.fingerprint;
    };
    const name = await writeArrow(path("print.arrow"), columns, [9]);
    const other = await writeArrow(path("print2.arrow"), columns, [9]);
    const original = await fingerprintOf(name, "x");
    expect(original).toMatch(/^[0-9a-f]{64}$/);
    expect(await fingerprintOf(name, "x", 8)).toBe(original);
    expect(await fingerprintOf(name, "y")).not.toBe(original);
    expect(await fingerprintOf(other, "x")).not.toBe(original);
    await writeArrow(name, { ...columns, x: vectorColumn({ dIn: 2, value: (row, i) => row - i }) }, [9]);
    expect(await fingerprintOf(name, "x")).not.toBe(original);
  });
});

describe("openCorpus refuses", () => {
  const refusal = async (name: string, column?: string): Promise<unknown> =>
    openCorpus([path(name)], { column }).then(
      (corpus) => corpus.close().then(() => "was opened"),
      (error: unknown) => error,
    );

  it("paths and patterns that match nothing", async () => {
    expect(await refusal("absent.arrow")).toMatchObject({ kind: "not-found", path: path("absent.arrow") });
    expect(await refusal("absent-*.arrow")).toMatchObject({ kind: "not-found" });
    await expect(openCorpus([])).rejects.toMatchObject({ kind: "not-found" });
  });

  it("empty files, files without rows, and files that are not Arrow", async () => {
    await writeFile(path("empty"), "");
    expect(await refusal("empty")).toMatchObject({ kind: "empty" });
    await writeArrow(path("no-rows"), { x: vectorColumn({ dIn: 2 }) }, [0]);
    expect(await refusal("no-rows")).toMatchObject({ kind: "empty" });
    await writeFile(path("text.arrow"), "this is not an Arrow file at all");
    expect(await refusal("text.arrow")).toMatchObject({ kind: "not-arrow" });
    await writeFile(path("parquet.arrow"), "PAR1....PAR1");
    expect(await refusal("parquet.arrow")).toMatchObject({
      kind: "not-packed",
      message: expect.stringContaining("is a Parquet file; an Arrow IPC file or stream is needed") as string,
    });
    await writeFile(path("safetensors.arrow"), Buffer.from('\x10\0\0\0\0\0\0\0{"x":{}}', "latin1"));
    expect(await refusal("safetensors.arrow")).toMatchObject({
      kind: "not-packed",
      message: expect.stringMatching(/is a safetensors file; .*convert it first$/) as string,
    });
    await writeFile(path("npz.arrow"), "PK\x03\x04....");
    expect(await refusal("npz.arrow")).toMatchObject({
      kind: "not-arrow",
      message: expect.stringMatching(/is a zip archive, as \.npz and PyTorch's files are; /) as string,
    });
    await writeFile(path("short.arrow"), "AR");
    expect(await refusal("short.arrow")).toMatchObject({ kind: "not-arrow" });
  });

  it("a table without vectors, listing its columns", async () => {
    await writeArrow(path("plain"), { a: intColumn((row) => row), b: textColumn(() => "x") }, [3]);
    const error = await refusal("plain");
    expect(error).toMatchObject({ kind: "no-vector-column" });
    expect(String(error)).toContain('"a" Int32, "b" Utf8');
    expect(await refusal("plain", "c")).toMatchObject({ kind: "no-vector-column" });
    expect(await refusal("plain", "a")).toMatchObject({ kind: "no-vector-column", column: "a" });
  });

  it("two candidates, naming both", async () => {
    await writeArrow(path("pair"), { left: vectorColumn({ dIn: 2 }), right: vectorColumn({ dIn: 3 }) }, [3]);
    const error = await refusal("pair");
    expect(error).toMatchObject({ kind: "ambiguous-column" });
    expect(String(error)).toContain('"left", "right"');
  });

  it("integers, lists of lists of lists, and 16-bit integers that might be bfloat16, with what would be right", async () => {
    const integers = new List(new Field("item", new Uint16(), true));
    await writeArrow(path("ints"), { x: anyColumn(integers, () => [1, 2]) }, [3]);
    expect(await refusal("ints")).toMatchObject({ kind: "no-vector-column", column: "x" });
    expect(String(await refusal("ints", "x"))).toContain("give the field the metadata dtype=bfloat16");
    let type: List = new List(new Field("item", new Float32(), true));
    for (let level = 0; level < 2; level++) type = new List(new Field("item", type, true));
    await writeArrow(path("deep"), { x: anyColumn(type, () => [[[1]]]) }, [3]);
    expect(await refusal("deep", "x")).toMatchObject({ kind: "no-vector-column" });
    expect(String(await refusal("deep"))).toContain("no column holds lists of floating-point numbers");
  });

  for (const kind of ["list", "large-list"] as const) {
    it(`ragged ${kind} columns, by batch and row`, async () => {
      const column = vectorColumn({ dIn: 2, length: (row) => (row === 6 ? 3 : 2) }, kind);
      await writeArrow(path("ragged"), { x: column }, [4, 5]);
      expect(await refusal("ragged")).toMatchObject({ kind: "ragged", batch: 1, row: 2, column: "x" });
    });
  }

  it("a batch whose lists are longer than the first batch's", async () => {
    const column = vectorColumn({ dIn: 2, length: (row) => (row < 4 ? 2 : 3) }, "list");
    await writeArrow(path("ragged2"), { x: column }, [4, 5]);
    expect(await refusal("ragged2")).toMatchObject({ kind: "ragged", batch: 1, row: 0 });
  });

  for (const kind of ["fixed", "list", "large-list"] as const) {
    it(`null vectors and null numbers in ${kind} columns, by batch and row`, async () => {
      await writeArrow(path("null-row"), { x: vectorColumn({ dIn: 2, nullRows: [5] }, kind) }, [4, 5]);
      expect(await refusal("null-row")).toMatchObject({ kind: "nulls", batch: 1, row: 1 });
      const column = vectorColumn({ dIn: 3, nullNumbers: [[7, 2]] }, kind);
      await writeArrow(path("null-number"), { x: column }, [4, 5]);
      expect(await refusal("null-number")).toMatchObject({ kind: "nulls", batch: 1, row: 3 });
    });
  }

  it("files that disagree, naming both", async () => {
    await writeArrow(path("d-2"), { x: vectorColumn({ dIn: 2 }) }, [3]);
    await writeArrow(path("d-3"), { x: vectorColumn({ dIn: 3 }) }, [3]);
    const error = await refusal("d-*");
    expect(error).toMatchObject({ kind: "dimension-mismatch", path: path("d-3") });
    expect(String(error)).toContain(path("d-2"));
    await writeArrow(path("d-3"), { x: vectorColumn({ dIn: 2, item: new Float16() }) }, [3]);
    expect(await refusal("d-*")).toMatchObject({ kind: "dimension-mismatch" });
    await writeArrow(path("d-3"), { y: vectorColumn({ dIn: 2 }) }, [3]);
    expect(await refusal("d-*")).toMatchObject({ kind: "no-vector-column", path: path("d-3") });
    expect(String(await refusal("d-*"))).toContain(
      `there is no column "x", which holds the vectors of ${path("d-2")}; its columns are "y"`,
    );
    expect(String(await refusal("d-*", "x"))).toContain(`there is no column "x"; its columns are "y"`);
  });

  it("a file of sparse rows, whose values are lists of numbers too, unless its column is named", async () => {
    await using writer = await SparseRowWriter.open(path("sparse"));
    const part = { rowIds: Float64Array.of(0), offsets: Int32Array.of(0, 2), labels: new Map() };
    await writer.add({ ...part, latents: Uint32Array.of(3, 5), values: Float32Array.of(1, 2) });
    await writer.finish();
    expect(await refusal("sparse")).toMatchObject({
      kind: "no-vector-column",
      message: expect.stringContaining("holds which features are active in rows") as string,
    });
    expect(await refusal("sparse", "values")).toBe("was opened");
  });

  it("nothing that only concerns other columns", async () => {
    const columns = {
      when: anyColumn(new TimestampSecond(), (row) => 1000 * row),
      x: vectorColumn({ dIn: 2 }),
      label: anyColumn(new Int32(), (row) => (row === 2 ? null : row)),
    };
    await writeArrow(path("others"), columns, [4]);
    await using corpus = await openCorpus([path("others")]);
    expect(corpus.ignoredColumns).toEqual([
      { name: "when", why: "type Timestamp<SECOND> is not read as a label" },
    ]);
    expect(await readAll(corpus)).toEqual(expectedValues(4, 2));
  });
});

describe("an open corpus", () => {
  it("says so when a file becomes shorter", async () => {
    const name = await writeArrow(path("shrinks"), { x: vectorColumn({ dIn: 64 }) }, [64]);
    await using corpus = await openCorpus([name]);
    await writeFile(name, "");
    const into = new Uint8Array(corpus.blocks.at(0)!.byteLength);
    await expect(corpus.readBlock(corpus.blocks.at(0)!, into)).rejects.toMatchObject({
      kind: "changed",
      path: name,
    });
  });

  it("stops reading when the signal is aborted", async () => {
    const name = await writeArrow(path("abort"), { x: vectorColumn({ dIn: 2 }) }, [4]);
    await using corpus = await openCorpus([name]);
    const reason = new Error("enough");
    const read = corpus.readBlock(corpus.blocks.at(0)!, new Uint8Array(64), AbortSignal.abort(reason));
    await expect(read).rejects.toBe(reason);
  });

  it("refuses to read into too little room, and after it was closed", async () => {
    const name = await writeArrow(path("closed"), { x: vectorColumn({ dIn: 2 }) }, [4]);
    const corpus = await openCorpus([name]);
    await expect(corpus.readBlock(corpus.blocks.at(0)!, new Uint8Array(31))).rejects.toThrow(RangeError);
    await corpus.close();
    await corpus.close();
    await expect(corpus.readBlock(corpus.blocks.at(0)!, new Uint8Array(32))).rejects.toThrow("closed");
  });
});
