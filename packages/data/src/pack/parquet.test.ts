import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readAll, readAllLabels } from "../../test/read-all.ts";
import { useTemporaryFolder } from "../../test/temporary-folder.ts";
import { openCorpus } from "../open-corpus.ts";
import { packCorpus } from "./pack.ts";
import { openParquet } from "./parquet.ts";

const at = useTemporaryFolder();
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../test/fixtures/parquet/${name}.parquet`, import.meta.url));
/** What make_parquet.py wrote: exact in every type. */
const values = (rows: number): Float32Array =>
  Float32Array.from({ length: rows * 6 }, (_, n) => Math.floor(n / 6) + (n % 6) / 8);

describe("packing Parquet files written by pyarrow", () => {
  for (const name of ["float32.snappy", "float16.zstd", "float64.gzip"]) {
    it(`takes vectors and labels, bit for bit, of several row groups: ${name}`, async () => {
      await packCorpus(at(`${name}.arrow`), [fixture(name)]);
      await using corpus = await openCorpus([at(`${name}.arrow`)]);
      expect(await readAll(corpus)).toEqual(values(22));
      expect(corpus.labels.map((label) => `${label.name} ${label.type}`)).toEqual([
        "token Int64",
        "the document Utf8",
        "final Bool",
        "score Float64",
      ]);
      const rows = Array.from({ length: 22 }, (_, row) => row);
      expect(await readAllLabels(corpus, "token")).toEqual(rows.map((row) => BigInt(row) * 10n));
      expect(await readAllLabels(corpus, "the document")).toEqual(
        rows.map((row) => `dokument-${Math.floor(row / 4)} ä`),
      );
      expect(await readAllLabels(corpus, "final")).toEqual(rows.map((row) => row % 5 === 0));
      expect(await readAllLabels(corpus, "score")).toEqual(rows.map((row) => row / 4));
    });
  }

  it("flattens sequences to rows, with the labels of each token, and numbers sequences on across files", async () => {
    await packCorpus(at("sequences.arrow"), [fixture("sequences"), fixture("sequences")]);
    await using corpus = await openCorpus([at("sequences.arrow")]);
    expect(await readAll(corpus)).toEqual(Float32Array.of(...values(8), ...values(8)));
    const twice = <T>(list: T[]): T[] => [...list, ...list];
    expect((await readAllLabels(corpus, "token_ids")).map(Number)).toEqual(
      twice([100, 101, 102, 103, 104, 105, 106, 107]),
    );
    expect(await readAllLabels(corpus, "text")).toEqual(twice(["a", "a", "a", "b", "d", "d", "d", "d"]));
    expect(await readAllLabels(corpus, "position")).toEqual(twice([0, 1, 2, 0, 0, 1, 2, 3]));
    expect(await readAllLabels(corpus, "sequence")).toEqual(
      [0, 0, 0, 1, 3, 3, 3, 3].concat([4, 4, 4, 5, 7, 7, 7, 7]),
    );
  });

  it("goes on where it was broken off", async () => {
    for (const name of ["float32.snappy", "sequences"]) {
      const inputs = [fixture(name), fixture(name)];
      const out = at(`resumed-${name}.arrow`);
      const stop = new AbortController();
      const onProgress = (rows: number): void => {
        if (rows >= 8) stop.abort(new Error("enough"));
      };
      const often = { rowsPerBatch: 2, noteEveryBytes: 1 };
      await expect(packCorpus(out, inputs, { ...often, onProgress, signal: stop.signal })).rejects.toThrow(
        "enough",
      );
      const { resumedRows } = await packCorpus(out, inputs, often);
      expect(resumedRows).toBeGreaterThan(0);
      await packCorpus(at("whole.arrow"), inputs, { ...often, overwrite: true });
      expect(await readFile(out)).toEqual(await readFile(at("whole.arrow")));
    }
  });

  it("reads a name that looks like a pattern", async () => {
    const odd = at("it's [0-9]*.parquet");
    await writeFile(odd, await readFile(fixture("float32.snappy")));
    await packCorpus(at("odd.arrow"), [odd]);
    await using corpus = await openCorpus([at("odd.arrow")]);
    expect(corpus.rows).toBe(22);
  });

  it("names what is wrong, and where", async () => {
    const refusal = async (name: string, column?: string): Promise<string> =>
      String(await packCorpus(at("refused.arrow"), [name], { column }).catch((error: unknown) => error));
    expect(await refusal(fixture("null"))).toMatch(/null\.parquet, row 1, column "x": number 1 of 2 is null/);
    expect(await refusal(fixture("ragged"))).toMatch(
      /several columns hold vectors; name one; .*"y" \(FLOAT\[\]\)/,
    );
    expect(await refusal(fixture("ragged"), "y")).toMatch(/row 1, column "y": has 1 numbers where .* 2;/);
    expect(await refusal(fixture("ragged"), "z")).toMatch(
      /no column "z" holds lists of floats; there are: "x"/,
    );
    await writeFile(at("damaged.parquet"), "PAR1 and what follows");
    expect(await refusal(at("damaged.parquet"))).toMatch(
      /damaged\.parquet: the Parquet file cannot be read \(/,
    );
  });

  it("says what to install where DuckDB is not", async () => {
    const file = { path: "x.parquet", size: 9, identity: "", isRemote: false, read: () => Promise.resolve() };
    const missing = Object.assign(new Error("no such package"), { code: "ERR_MODULE_NOT_FOUND" });
    await expect(openParquet(file, { firstSequence: 0 }, () => Promise.reject(missing))).rejects.toThrow(
      /^x\.parquet: is Parquet, which needs .* npm install @duckdb\/node-api; or write the file as Arrow$/,
    );
    const broken = new Error("GLIBC_9 not found");
    await expect(openParquet(file, { firstSequence: 0 }, () => Promise.reject(broken))).rejects.toThrow(
      "cannot be loaded (GLIBC_9 not found)",
    );
  });
});
