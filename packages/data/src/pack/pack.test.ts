import { readdir, readFile, rm, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readAll, readAllLabels } from "../../test/read-all.ts";
import { useTemporaryFolder } from "../../test/temporary-folder.ts";
import { openCorpus } from "../open-corpus.ts";
import { readStatistics } from "../sidecar.ts";
import { fullStatistics } from "../statistics.ts";
import { writeCorpus } from "../writer.ts";
import { packCorpus } from "./pack.ts";

const at = useTemporaryFolder();
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url));
/** What make_arrays.py wrote to the npy files: exact in every type. */
const ROWS = Float32Array.from({ length: 15 }, (_, i) => i / 4 - 1);

async function packed(
  name: string,
  inputs: string[],
  options?: Parameters<typeof packCorpus>[2],
): Promise<Float32Array> {
  await packCorpus(at(name), inputs, options);
  await using corpus = await openCorpus([at(name)]);
  return await readAll(corpus);
}

describe("packing arrays of Python", () => {
  it("takes npy files of every float type and header version, bit for bit", async () => {
    for (const name of ["f2", "f4", "f8", "version-2"]) {
      expect(await packed(`${name}.arrow`, [fixture(`arrays/${name}.npy`)])).toEqual(ROWS);
    }
  });

  it("flattens sequences to rows, and says which token of which sequence each is", async () => {
    const values = await packed("sequences.arrow", [fixture("arrays/sequences.npy")]);
    expect(values).toEqual(Float32Array.from({ length: 24 }, (_, i) => i));
    await using corpus = await openCorpus([at("sequences.arrow")]);
    expect(await readAllLabels(corpus, "sequence")).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect(await readAllLabels(corpus, "position")).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
  });

  it("takes safetensors chunks in the order of their names, bfloat16 and labels of each token", async () => {
    const values = await packed("chunks.arrow", [fixture("arrays/chunk-*.safetensors")]);
    const chunk = Array.from({ length: 24 }, (_, i) => i / 8);
    // 10 + i / 8 has more digits than bfloat16: to nearest, ties to even.
    const second = chunk.map((x) => Math.round((10 + x - 1e-9) * 16) / 16);
    expect(values.slice(0, 24)).toEqual(Float32Array.from(chunk));
    for (const [i, value] of values.slice(24).entries())
      expect(Math.abs(value - second[i]!)).toBeLessThan(0.0626);
    await using corpus = await openCorpus([at("chunks.arrow")]);
    expect(corpus.labels.map(({ name, type }) => `${name} ${type}`)).toEqual([
      "tokens Int64",
      "mask Bool",
      "sequence Uint32",
      "position Int32",
    ]);
    expect((await readAllLabels(corpus, "tokens")).map(Number)).toEqual(
      Array.from({ length: 16 }, (_, i) => (i % 8) + 100 * Math.floor(i / 8)),
    );
    expect(await readAllLabels(corpus, "sequence")).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
    expect((await readAllLabels(corpus, "mask")).slice(0, 8)).toEqual([
      true,
      true,
      true,
      false,
      true,
      true,
      false,
      false,
    ]);
  });

  it("keeps the labels that are asked for, takes the array that is named, and rounds to float16", async () => {
    const inputs = [fixture("arrays/chunk-00000000.safetensors")];
    await packCorpus(at("few.arrow"), inputs, { labels: ["tokens"], type: "float16" });
    await using corpus = await openCorpus([at("few.arrow")]);
    expect([corpus.type, corpus.labels.map(({ name }) => name)]).toEqual(["float16", ["tokens"]]);
    expect(await packed("b.arrow", [fixture("arrays/two.safetensors")], { column: "b" })).toEqual(
      new Float32Array(6).fill(1),
    );
  });

  it("refuses what it would read wrongly, saying what to do", async () => {
    const cases: readonly (readonly [name: string, message: RegExp])[] = [
      ["fortran.npy", /Fortran order.*ascontiguousarray/],
      ["big-endian.npy", /big-endian \(>f4\)/],
      ["integers.npy", /no array holds vectors.*int64 \[2, 3\]/],
      ["two.safetensors", /several arrays hold vectors.*"a".*"b"/],
      ["*.nothing", /matches no file/],
      ["../zstd.stream.arrow", /column "token": a label is null.*leave the column out/],
    ];
    for (const [name, message] of cases) {
      await expect(packCorpus(at("refused.arrow"), [fixture(`arrays/${name}`)])).rejects.toThrow(message);
    }
    const both = [fixture("arrays/f4.npy"), fixture("float32.file.arrow")];
    await expect(packCorpus(at("refused.arrow"), both)).rejects.toThrow(/one corpus has one/);
    await expect(
      packCorpus(at("refused.arrow"), [fixture("arrays/f4.npy")], { labels: ["x"] }),
    ).rejects.toThrow(/labels "x" of one type; all have: none/);
    await expect(packCorpus(at("refused.arrow"), [])).rejects.toThrow(/no input/);
    expect((await readdir(at("."))).filter((name) => name.startsWith("refused"))).toEqual([]);
  });

  it("names the input and the row of a number that cannot be stored", async () => {
    const values = Float32Array.from({ length: 12 }, (_, i) => (i === 7 ? 70_000 : i));
    await writeCorpus(at("large.arrow"), { dIn: 3, type: "float32" }, [{ values }]);
    await expect(
      packCorpus(at("half.arrow"), [at("large.arrow")], { type: "float16" }),
    ).rejects.toMatchObject({
      message: expect.stringMatching(
        /large\.arrow, batch 0, row 2, column "activation": 70000 is too large for float16; take float32$/,
      ),
      option: "type",
    });
  });
});

describe("packing corpora", () => {
  it("takes a SAELens cache, a dataset's folder and compressed files, with their labels", async () => {
    for (const name of ["sae-lens-cache", "dataset", "repetitive.zstd.file.arrow"]) {
      await using before = await openCorpus([fixture(name)]);
      expect(await packed("again.arrow", [fixture(name)], { overwrite: true })).toEqual(
        await readAll(before),
      );
      await using after = await openCorpus([at("again.arrow")]);
      expect(after.labels.map((label) => label.name)).toEqual(before.labels.map((label) => label.name));
      for (const label of before.labels) {
        expect(await readAllLabels(after, label.name)).toEqual(await readAllLabels(before, label.name));
      }
    }
  });

  it("leaves the statistics that a pass over the file would find", async () => {
    for (const type of ["float32", "float16"] as const) {
      const result = await packCorpus(at("stats.arrow"), ["synth:toy-1@3000"], { type, overwrite: true });
      expect(result).toMatchObject({ rows: 3000, sources: 1, resumedRows: 0 });
      await using corpus = await openCorpus([at("stats.arrow")]);
      const kept = await readStatistics(corpus);
      const passed = await fullStatistics(corpus, { seed: 0 });
      expect(kept).toMatchObject({ rows: 3000, exact: true, sampledRows: 3000 });
      expect(kept?.totalVariance).toBeCloseTo(passed.totalVariance, 8);
      expect(kept?.meanNorm).toBeCloseTo(passed.meanNorm, 8);
    }
  });

  it("goes on where it was broken off, to the same bytes", async () => {
    const input = ["synth:toy-1@200000"];
    const broken = new AbortController();
    const half = packCorpus(at("broken.arrow"), input, {
      noteEveryBytes: 1,
      rowsPerBatch: 10_000,
      signal: broken.signal,
      onProgress: (rows) => rows > 100_000 && broken.abort(new Error("broken off")),
    });
    await expect(half).rejects.toThrow("broken off");
    expect((await readdir(at("."))).filter((name) => name.startsWith("broken")).sort()).toEqual([
      "broken.arrow.partial",
      "broken.arrow.partial.json",
    ]);
    const again = await packCorpus(at("broken.arrow"), input, { rowsPerBatch: 10_000 });
    expect(again.resumedRows).toBeGreaterThan(60_000);
    expect(again).toMatchObject({ rows: 200_000, statistics: undefined });
    await packCorpus(at("whole.arrow"), input, { rowsPerBatch: 10_000 });
    expect((await stat(at("broken.arrow"))).size).toBe((await stat(at("whole.arrow"))).size);
    expect((await readFile(at("broken.arrow"))).equals(await readFile(at("whole.arrow")))).toBe(true);
    expect((await readdir(at("."))).filter((name) => name.includes(".partial"))).toEqual([]);
  });

  it("starts anew when the inputs are others, or what was written is gone", async () => {
    const start = async (): Promise<void> => {
      const broken = new AbortController();
      const half = packCorpus(at("anew.arrow"), ["synth:toy-1@90000"], {
        noteEveryBytes: 1,
        rowsPerBatch: 10_000,
        signal: broken.signal,
        onProgress: (rows) => rows > 50_000 && broken.abort(new Error("broken off")),
      });
      await expect(half).rejects.toThrow("broken off");
    };
    await start();
    const other = await packCorpus(at("anew.arrow"), ["synth:toy-1@100"]);
    expect(other).toMatchObject({ rows: 100, resumedRows: 0 });
    await rm(at("anew.arrow"));
    await start();
    await rm(at("anew.arrow.partial"));
    const again = await packCorpus(at("anew.arrow"), ["synth:toy-1@90000"], { rowsPerBatch: 10_000 });
    expect(again).toMatchObject({ rows: 90_000, resumedRows: 0 });
  });
});
