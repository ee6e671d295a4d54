import fc from "fast-check";
import { tableFromIPC } from "apache-arrow";
import { readFile, readdir, stat, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { readAll, readAllLabels } from "../test/read-all.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";
import { writeCorpus } from "./writer.ts";
import type { RowsToWrite } from "./writer.ts";

const path = useTemporaryFolder();
const options = { dIn: 2, type: "float32" as const };

async function exists(name: string): Promise<boolean> {
  const names = await readdir(path("."));
  return names.some((file) => path(file) === name);
}

describe("writeCorpus", () => {
  it("writes what openCorpus reads back, however the rows are cut", async () => {
    const cases = fc.record({
      parts: fc.array(fc.nat(10), { maxLength: 6 }),
      dIn: fc.integer({ min: 1, max: 4 }),
      type: fc.constantFrom("float16" as const, "float32" as const),
      rowsPerBatch: fc.integer({ min: 1, max: 12 }),
    });
    const property = fc.asyncProperty(cases, async ({ parts, dIn, type, rowsPerBatch }) => {
      const rows = parts.reduce((sum, count) => sum + count, 0);
      fc.pre(rows > 0);
      const values = Float32Array.from({ length: rows * dIn }, (_, i) => i / 8);
      const texts = Array.from({ length: rows }, (_, row) => "ä".repeat(row % 4) + row);
      const source = function* (): Generator<RowsToWrite> {
        let at = 0;
        for (const count of parts) {
          const labels = { text: texts.slice(at, at + count) };
          yield { values: values.subarray(at * dIn, (at + count) * dIn), labels };
          at += count;
        }
      };
      const name = path("round.arrow");
      const labels = { text: "utf8" as const };
      const result = await writeCorpus(name, { dIn, type, rowsPerBatch, labels, overwrite: true }, source());
      const batches = Math.ceil(rows / rowsPerBatch);
      expect(result).toEqual({ rows, batches, bytes: (await stat(name)).size });
      await using corpus = await openCorpus([name]);
      expect(corpus).toMatchObject({ rows, dIn, type, column: "activation" });
      expect(corpus.files).toMatchObject([{ format: "file", batches }]);
      expect(await readAll(corpus)).toEqual(values);
      expect(await readAllLabels(corpus, "text")).toEqual(texts);
    });
    await fc.assert(property, { numRuns: 60 });
  });

  it("writes labels without a name, and with the name of an object's prototype", async () => {
    const name = path("odd-names.arrow");
    const labels = Object.fromEntries([
      ["", "int32"],
      ["__proto__", "utf8"],
    ] as const);
    const given = Object.fromEntries<readonly (number | string)[]>([
      ["", [1, 2]],
      ["__proto__", ["a", "b"]],
    ]);
    await writeCorpus(name, { ...options, labels }, [{ values: new Float32Array(4).fill(1), labels: given }]);
    await using corpus = await openCorpus([name]);
    expect(await readAllLabels(corpus, "")).toEqual([1, 2]);
    expect(await readAllLabels(corpus, "__proto__")).toEqual(["a", "b"]);
  });

  it("refuses a file that is being written, and the one that is first is whole", async () => {
    const name = path("twice.arrow");
    const values = new Float32Array(4).fill(1);
    let second: Promise<unknown> | undefined;
    const parts = async function* (): AsyncGenerator<RowsToWrite> {
      second = writeCorpus(name, options, [{ values: values.map(() => 2) }]);
      await expect(second).rejects.toMatchObject({
        kind: "busy",
        message: `${name}: is being written by process ${process.pid}: wait for it to end, or choose another name`,
      });
      yield { values };
    };
    await writeCorpus(name, options, parts());
    expect(second).toBeDefined();
    await using corpus = await openCorpus([name]);
    expect(await readAll(corpus)).toEqual(values);
    expect(await exists(`${name}.partial.lock`)).toBe(false);
  });

  it("writes every type of label, at its limits", async () => {
    const labels = {
      text: { type: "utf8", values: ["", "zwei 2"] },
      flag: { type: "bool", values: [true, false] },
      i8: { type: "int8", values: [-128, 127] },
      i16: { type: "int16", values: [-32768, 32767] },
      i32: { type: "int32", values: [-2147483648, 2147483647] },
      i64: { type: "int64", values: [-(2n ** 63n), 2n ** 63n - 1n] },
      u8: { type: "uint8", values: [0, 255] },
      u16: { type: "uint16", values: [0, 65535] },
      u32: { type: "uint32", values: [0, 4294967295] },
      u64: { type: "uint64", values: [0n, 2n ** 64n - 1n] },
      f32: { type: "float32", values: [0.5, -Infinity] },
      f64: { type: "float64", values: [0.1, 1e300] },
    } as const;
    const columns = Object.entries(labels);
    const types = Object.fromEntries(columns.map(([name, { type }]) => [name, type]));
    const values = Object.fromEntries(columns.map(([name, label]) => [name, label.values]));
    const rows = { values: new Float32Array(4), labels: values };
    await writeCorpus(path("labels.arrow"), { ...options, labels: types }, [rows]);
    await using corpus = await openCorpus([path("labels.arrow")]);
    for (const [name, label] of columns) expect(await readAllLabels(corpus, name)).toEqual(label.values);
    // A foreign reader agrees.
    const table = tableFromIPC(await readFile(path("labels.arrow")));
    for (const [name, label] of columns) expect([...table.getChild(name)!]).toEqual(label.values);
    expect(table.getChild("activation")!.get(1)!.toArray()).toEqual(new Float32Array(2));
  });

  it("aligns every batch's numbers to 64 bytes in the file", async () => {
    const values = Float32Array.from({ length: 14 }, (_, i) => i + 0.3);
    const part = { values, labels: { text: ["a", "b", "c", "d", "e", "f", "g"] } };
    await writeCorpus(path("aligned.arrow"), { ...options, rowsPerBatch: 3, labels: { text: "utf8" } }, [
      part,
    ]);
    const bytes = await readFile(path("aligned.arrow"));
    const starts = [0, 6, 12].map((first) =>
      bytes.indexOf(new Uint8Array(values.slice(first, first + 6).buffer)),
    );
    expect(starts.map((start) => start > 0 && start % 64)).toEqual([0, 0, 0]);
  });

  it("rounds to float16, to nearest and to even", async () => {
    const values = Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 0.1, 65504);
    await writeCorpus(path("half.arrow"), { dIn: 2, type: "float16" }, [{ values }]);
    await using corpus = await openCorpus([path("half.arrow")]);
    expect([...(await readAll(corpus))]).toEqual([1, 1 + 2 ** -9, 0.0999755859375, 65504]);
  });

  it("takes rows as they come, without running ahead of the disk", async () => {
    let asked = 0;
    const source = async function* (): AsyncGenerator<RowsToWrite> {
      for (; asked < 5; asked++) yield { values: new Float32Array(2).fill(asked) };
    };
    const { rows } = await writeCorpus(path("async.arrow"), options, source());
    expect(rows).toBe(5);
    await using corpus = await openCorpus([path("async.arrow")]);
    expect([...(await readAll(corpus))]).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
  });

  it("writes a file without rows, which is Arrow but no corpus", async () => {
    const result = await writeCorpus(path("none.arrow"), options, []);
    expect(result).toMatchObject({ rows: 0, batches: 0 });
    expect(tableFromIPC(await readFile(path("none.arrow"))).numRows).toBe(0);
    await expect(openCorpus([path("none.arrow")])).rejects.toMatchObject({ kind: "empty" });
  });

  it("does not replace a file unless told to", async () => {
    const name = path("kept.arrow");
    await writeFile(name, "mine");
    await expect(writeCorpus(name, options, [])).rejects.toMatchObject({ kind: "exists", path: name });
    expect(await readFile(name, "utf8")).toBe("mine");
    await writeCorpus(name, { ...options, overwrite: true }, [{ values: new Float32Array(2) }]);
    await using corpus = await openCorpus([name]);
    expect(corpus.rows).toBe(1);
  });

  it("leaves nothing behind when the rows, their source or the signal stop it", async () => {
    const name = path("failed.arrow");
    const good = { values: new Float32Array(2) };
    const broken = function* (): Generator<RowsToWrite> {
      yield good;
      throw new Error("the source broke");
    };
    await expect(writeCorpus(name, { ...options, rowsPerBatch: 1 }, broken())).rejects.toThrow(
      "the source broke",
    );
    const aborted = writeCorpus(name, { ...options, signal: AbortSignal.abort(new Error("stop")) }, [good]);
    await expect(aborted).rejects.toThrow("stop");
    const bad = [good, { values: Float32Array.of(0, 0, 1, NaN) }];
    await expect(writeCorpus(name, options, bad)).rejects.toMatchObject({
      kind: "non-finite",
      batch: 1,
      row: 1,
    });
    expect(await exists(name)).toBe(false);
    expect(await exists(`${name}.partial`)).toBe(false);
  });

  it("keeps the old file when replacing it fails", async () => {
    const name = path("kept.arrow");
    const before = await readFile(name);
    const bad = [{ values: Float32Array.of(1, Infinity) }];
    await expect(writeCorpus(name, { ...options, overwrite: true }, bad)).rejects.toMatchObject({
      kind: "non-finite",
    });
    expect(await readFile(name)).toEqual(before);
  });

  it("refuses numbers too large for float16, naming the remedy", async () => {
    const bad = [{ values: Float32Array.of(1, 65520) }];
    const written = writeCorpus(path("x.arrow"), { dIn: 2, type: "float16" }, bad);
    await expect(written).rejects.toThrow("65520 is too large for float16; write float32");
  });

  it("refuses labels that do not fit their column, by row", async () => {
    const write = (
      type: "utf8" | "bool" | "int8" | "uint64" | "float32",
      values: readonly (string | number | boolean)[],
    ) =>
      writeCorpus(path("x.arrow"), { ...options, labels: { label: type } }, [
        { values: new Float32Array(4), labels: { label: values } },
      ]);
    const cases = [
      ["utf8", ["a", 1]],
      ["bool", [true, 1]],
      ["int8", [1, 128]],
      ["int8", [1, 0.5]],
      ["uint64", [1, -1]],
      ["float32", [1, "1"]],
    ] as const;
    for (const [type, values] of cases) {
      await expect(write(type, values)).rejects.toMatchObject({
        kind: "invalid-label",
        row: 1,
        column: "label",
      });
    }
    await expect(write("utf8", ["a"])).rejects.toMatchObject({ kind: "invalid-label", batch: 0 });
  });

  it("refuses options and rows that make no sense", async () => {
    const write = (change: object, values = new Float32Array(2)): Promise<unknown> =>
      writeCorpus(path("x.arrow"), { ...options, ...change }, [{ values }]);
    for (const change of [
      { dIn: 0 },
      { dIn: 1.5 },
      { rowsPerBatch: 0 },
      { rowsPerBatch: 2 ** 28 },
      { labels: { activation: "utf8" } },
    ]) {
      await expect(write(change)).rejects.toMatchObject({ kind: "invalid-option" });
    }
    await expect(write({}, new Float32Array(3))).rejects.toMatchObject({ kind: "dimension-mismatch" });
    await expect(writeCorpus(path("no/folder/x.arrow"), options, [])).rejects.toMatchObject({
      kind: "not-found",
    });
  });
});
