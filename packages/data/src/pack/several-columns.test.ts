/** Packing and splitting corpora whose rows are the vectors of several columns. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { tableFromIPC } from "apache-arrow";
import { describe, expect, it } from "vitest";
import { intColumn, vectorColumn, writeArrow } from "../../test/arrow-files.ts";
import { readAll, readAllLabels } from "../../test/read-all.ts";
import { useTemporaryFolder } from "../../test/temporary-folder.ts";
import type { CorpusColumn } from "../corpus.ts";
import { openCorpus } from "../open-corpus.ts";
import { readStatistics } from "../sidecar.ts";
import { fullStatistics } from "../statistics.ts";
import { packCorpus } from "./pack.ts";
import { splitCorpus } from "./split-files.ts";

const at = useTemporaryFolder();
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url));

/** Exact in float16 for the rows below. */
const valueA = (row: number, i: number): number => row + i / 8;
const valueB = (row: number, i: number): number => 3 - row / 4 + 16 * i;
const [WIDTH_A, WIDTH_B] = [3, 2];
const BATCHES = [7, 30, 11];
const ROWS = 48;

/** Columns a, of 3 dimensions, and b, of 2, with documents of four rows. */
async function layers(name: string, firstRow = 0): Promise<string> {
  const columns = {
    a: vectorColumn({ dIn: WIDTH_A, value: valueA }, "list"),
    document: intColumn((row) => row >> 2),
    b: vectorColumn({ dIn: WIDTH_B, value: valueB }),
  };
  return await writeArrow(at(name), columns, BATCHES, "file", firstRow);
}

/** Rows `0 .. rows - 1` of columns b and a. */
function rowsOfBoth(rows: number): Float32Array {
  return Float32Array.from({ length: rows * 5 }, (_, n) => {
    const [row, i] = [Math.floor(n / 5), n % 5];
    return i < WIDTH_B ? valueB(row, i) : valueA(row, i - WIDTH_B);
  });
}

/** An array for a safetensors file. */
type Tensor = readonly [type: "F32" | "F16" | "I64", shape: readonly number[], numbers: readonly number[]];

async function writeSafetensors(name: string, tensors: Readonly<Record<string, Tensor>>): Promise<string> {
  const header: Record<string, object> = {};
  const bodies: Uint8Array[] = [];
  let end = 0;
  for (const [key, [dtype, shape, numbers]] of Object.entries(tensors)) {
    const array =
      dtype === "I64"
        ? BigInt64Array.from(numbers, BigInt)
        : dtype === "F16"
          ? Float16Array.from(numbers)
          : Float32Array.from(numbers);
    bodies.push(new Uint8Array(array.buffer));
    header[key] = { dtype, shape, data_offsets: [end, (end += array.byteLength)] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(json.length));
  await writeFile(at(name), Buffer.concat([prefix, json, ...bodies]));
  return at(name);
}

const count = (length: number): number[] => Array.from({ length }, (_, i) => i);

describe("packing several columns", () => {
  it("writes each as a column of its own, in the order asked for, with the labels and the statistics of all", async () => {
    const inputs = [await layers("first.arrow"), await layers("second.arrow", ROWS)];
    for (const type of ["float32", "float16"] as const) {
      const column = ["b", "a"];
      const options = { column, type, rowsPerBatch: 11, overwrite: true };
      const result = await packCorpus(at("both.arrow"), inputs, options);
      expect(result).toMatchObject({ rows: 2 * ROWS, sources: 2 });
      await using corpus = await openCorpus([at("both.arrow")], { column });
      expect(corpus).toMatchObject({ type, rows: 2 * ROWS, dIn: 5 });
      expect(corpus.columns).toEqual<readonly CorpusColumn[]>([
        { name: "b", dIn: WIDTH_B },
        { name: "a", dIn: WIDTH_A },
      ]);
      expect(await readAll(corpus)).toEqual(rowsOfBoth(2 * ROWS));
      expect(await readAllLabels(corpus, "document")).toEqual(count(2 * ROWS).map((row) => row >> 2));
      const kept = await readStatistics(corpus);
      const passed = await fullStatistics(corpus, { seed: 0 });
      expect(kept).toMatchObject({ rows: 2 * ROWS, exact: true });
      expect(kept?.columns?.map((one) => one.column)).toEqual(column);
      for (const [i, expected] of (passed.columns ?? []).entries()) {
        const found = kept?.columns?.[i];
        expect(found?.totalVariance).toBeCloseTo(expected.totalVariance, 6);
        expect(found?.meanSquareNorm).toBeCloseTo(expected.meanSquareNorm, 6);
      }
      await using alone = await openCorpus([at("both.arrow")], { column: "a" });
      expect((await readAll(alone)).slice(0, 6)).toEqual(Float32Array.of(0, 1 / 8, 2 / 8, 1, 9 / 8, 10 / 8));
    }
  });

  it("writes files that another reader reads", async () => {
    await packCorpus(at("foreign.arrow"), [await layers("layers.arrow")], { column: ["a", "b"] });
    const table = tableFromIPC(await readFile(at("foreign.arrow")));
    expect(table.schema.fields.map(({ name }) => name)).toEqual(["a", "b", "document"]);
    for (const row of [0, 6, 7, 47]) {
      expect([...table.getChild("a")!.get(row)]).toEqual([0, 1, 2].map((i) => valueA(row, i)));
      expect([...table.getChild("b")!.get(row)]).toEqual([0, 1].map((i) => valueB(row, i)));
    }
  });

  it("takes arrays of one safetensors file, each of its own float type, and sequences of them", async () => {
    const rows = await writeSafetensors("rows.safetensors", {
      small: ["F16", [4, 2], count(8)],
      token: ["I64", [4], [9, 8, 7, 6]],
      large: ["F32", [4, 3], count(12).map((i) => i / 4)],
    });
    await packCorpus(at("rows.arrow"), [rows], { column: ["large", "small"] });
    await using corpus = await openCorpus([at("rows.arrow")], { column: ["large", "small"] });
    expect([...(await readAll(corpus))]).toEqual(
      count(4).flatMap((row) => [0, 1, 2].map((i) => (3 * row + i) / 4).concat([2 * row, 2 * row + 1])),
    );
    expect((await readAllLabels(corpus, "token")).map(Number)).toEqual([9, 8, 7, 6]);

    const sequences = await writeSafetensors("sequences.safetensors", {
      before: ["F32", [2, 3, 1], count(6)],
      after: ["F32", [2, 3, 1], count(6).map((i) => -i)],
    });
    await packCorpus(at("sequences.arrow"), [sequences], { column: ["before", "after"] });
    await using nested = await openCorpus([at("sequences.arrow")], { column: ["before", "after"] });
    expect(await readAll(nested)).toEqual(
      Float32Array.from({ length: 12 }, (_, n) => (n >> 1) * (1 - 2 * (n % 2))),
    );
    expect(await readAllLabels(nested, "sequence")).toEqual([0, 0, 0, 1, 1, 1]);
    expect(await readAllLabels(nested, "position")).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it("takes columns of Parquet files of pyarrow, of vectors and of sequences", async () => {
    const column = ["layer8", "layer6"];
    for (const name of ["two-columns", "two-sequences"]) {
      await packCorpus(at(`${name}.arrow`), [fixture(`parquet/${name}.parquet`)], { column });
      await using corpus = await openCorpus([at(`${name}.arrow`)], { column });
      expect(corpus.columns.map(({ dIn }) => dIn)).toEqual([2, 6]);
      // layer6 is r + i / 8, layer8 its first two numbers, negative.
      expect([...(await readAll(corpus))]).toEqual(
        count(corpus.rows).flatMap((row) => [-row, -row - 1 / 8, ...count(6).map((i) => row + i / 8)]),
      );
      expect((await readAllLabels(corpus, "token")).map(Number)).toEqual(
        count(corpus.rows).map((row) => 10 * row),
      );
    }
  });

  it("goes on where it was broken off, to the same bytes, but not under another order of columns", async () => {
    const inputs = [await layers("resumed-1.arrow"), await layers("resumed-2.arrow", ROWS)];
    const often = { column: ["a", "b"], rowsPerBatch: 5, noteEveryBytes: 1, overwrite: true };
    const breakOff = async (): Promise<void> => {
      const stop = new AbortController();
      const onProgress = (): void => stop.abort(new Error("enough"));
      const half = packCorpus(at("resumed.arrow"), inputs, { ...often, onProgress, signal: stop.signal });
      await expect(half).rejects.toThrow("enough");
    };
    await breakOff();
    const { resumedRows } = await packCorpus(at("resumed.arrow"), inputs, often);
    expect(resumedRows).toBeGreaterThan(0);
    await packCorpus(at("whole.arrow"), inputs, often);
    expect((await readFile(at("resumed.arrow"))).equals(await readFile(at("whole.arrow")))).toBe(true);
    await breakOff();
    const other = await packCorpus(at("resumed.arrow"), inputs, { ...often, column: ["b", "a"] });
    expect(other.resumedRows).toBe(0);
  });

  it("refuses columns that make no rows, saying which and why", async () => {
    const two = await layers("refused-input.arrow");
    const uneven = await writeSafetensors("uneven.safetensors", {
      a: ["F32", [4, 2], count(8)],
      b: ["F32", [5, 2], count(10)],
    });
    const wider = await writeArrow(
      at("wider.arrow"),
      { a: vectorColumn({ dIn: 3 }), b: vectorColumn({ dIn: 4 }) },
      [4],
    );
    const infinite = await writeArrow(
      at("infinite.arrow"),
      {
        a: vectorColumn({ dIn: 2 }),
        b: vectorColumn({ dIn: 3, value: (row, i) => (row + i === 5 ? NaN : i) }),
      },
      [4, 4],
    );
    const cases: readonly (readonly [inputs: string[], column: string[], message: RegExp])[] = [
      [[two], ["a", "c"], /refused-input\.arrow: there is no column "c"/],
      [[two], ["a", "a"], /the column "a" is named twice/],
      [[fixture("arrays/f4.npy")], ["a", "b"], /f4\.npy: an npy file holds one array; keep the columns in/],
      [[uneven], ["a", "b"], /column "b": 5 vectors, but "a" has 4; arrays packed together/],
      [[uneven], ["a", "c"], /no array "c" holds vectors; there are: "a" \(float32 \[4, 2\]\)/],
      [[two, wider], ["a", "b"], /wider\.arrow: has 3 \+ 4 dimensions, but .*input\.arrow has 3 \+ 2/],
      [[infinite], ["a", "b"], /infinite\.arrow, batch 0, row 3, column "b": number 2 of 3 is NaN/],
      [
        [fixture("parquet/two-columns.parquet")],
        ["layer6", "token"],
        /no column "token" holds lists of floats/,
      ],
    ];
    for (const [inputs, column, message] of cases) {
      await expect(packCorpus(at("refused.arrow"), inputs, { column })).rejects.toThrow(message);
    }
    expect((await readdir(at("."))).filter((name) => name.startsWith("refused.arrow"))).toEqual([]);
  });
});

describe("splitting a corpus of several columns", () => {
  it("writes all columns and labels of the rows that a split of one column would write", async () => {
    const path = await layers("split.arrow");
    const options = { seed: 3, heldOut: { fraction: 0.3 } };
    const parts: number[] = [];
    const folders = { both: ["b", "a"], one: "a" } as const;
    for (const [folder, column] of Object.entries(folders)) {
      await using corpus = await openCorpus([path], { column });
      await mkdir(at(folder));
      await splitCorpus(corpus, at(folder), options);
    }
    for (const split of ["train", "held-out"]) {
      await using both = await openCorpus([at(`both/${split}.arrow`)], { column: ["b", "a"] });
      await using one = await openCorpus([at(`one/${split}.arrow`)]);
      expect(both.columns.map(({ name }) => name)).toEqual(["b", "a"]);
      expect(one.column).toBe("a");
      const values = await readAll(both);
      const expected = rowsOfBoth(ROWS);
      const rows = [...(await readAll(one))].filter((_, n) => n % WIDTH_A === 0);
      parts.push(...rows);
      expect([...values]).toEqual(rows.flatMap((row) => [...expected.subarray(row * 5, row * 5 + 5)]));
      expect(await readAllLabels(both, "document")).toEqual(rows.map((row) => row >> 2));
    }
    expect(parts.toSorted((x, y) => x - y)).toEqual(count(ROWS));
  });
});
