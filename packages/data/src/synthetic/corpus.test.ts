import { readdir } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readAll } from "../../test/read-all.ts";
import { useTemporaryFolder } from "../../test/temporary-folder.ts";
import { openCorpus } from "../open-corpus.ts";
import { estimateStatistics } from "../statistics.ts";
import { readStatistics, writeStatistics } from "../sidecar.ts";
import { RowStream } from "../stream.ts";
import { openKnownFeatures } from "./known-features.ts";
import { isSyntheticPath, parseSyntheticPath } from "./path.ts";

const at = useTemporaryFolder();
beforeEach(() => {
  vi.stubEnv("XDG_CACHE_HOME", at("cache"));
});
afterEach(() => {
  vi.unstubAllEnvs();
});

describe("a synth: path", () => {
  it("names preset, scale, rows and seed", () => {
    expect(parseSyntheticPath("synth:toy-1")).toMatchObject({
      rows: 10_000_000,
      options: { seed: 42, dIn: 32 },
    });
    expect(parseSyntheticPath("synth:synthsaebench-16k:1/4@2e6#7")).toMatchObject({
      rows: 2_000_000,
      options: { seed: 7, dIn: 384, features: 4096 },
    });
    expect(parseSyntheticPath("synth:toy-2#3")).toMatchObject({ rows: 10_000_000, options: { seed: 3 } });
    expect([
      isSyntheticPath("synth:x"),
      isSyntheticPath("./synth:x"),
      isSyntheticPath("synth.arrow"),
    ]).toEqual([true, false, false]);
  });

  it("is refused when it is not one, saying what would be right", async () => {
    const cases: readonly (readonly [path: string, message: RegExp])[] = [
      ["synth:", /such as synth:toy-1@20000/],
      ["synth:toy-7", /no preset "toy-7"; there are: toy-1/],
      ["synth:toy-1@", /rows must be a whole number/],
      ["synth:toy-1@1.5", /rows must be a whole number, got "1.5"/],
      ["synth:toy-1@0", /no rows/],
      ["synth:toy-1#x", /seed must be a whole number/],
      ["synth:toy-1:3", /such as 1\/4/],
    ];
    for (const [path, message] of cases) await expect(openCorpus([path])).rejects.toThrow(message);
    await expect(openCorpus(["synth:toy-1", "synth:toy-2"])).rejects.toThrow(/stands alone/);
    await expect(openCorpus(["synth:toy-1"], { column: "x" })).rejects.toThrow(/one column "activation"/);
  });
});

describe("a synthetic corpus", () => {
  it("has the rows of its model, whatever the blocks and wherever they are read to", async () => {
    const expected = new Float32Array(1000 * 32);
    (await openKnownFeatures("toy-1")).fill(expected, 0, 1000);
    for (const blockBytes of [1, 128 * 90, 16 * 1024 * 1024]) {
      await using corpus = await openCorpus(["synth:toy-1@1000"], { blockBytes });
      expect(corpus).toMatchObject({
        rows: 1000,
        dIn: 32,
        type: "float32",
        column: "activation",
        labels: [],
      });
      expect(await readAll(corpus)).toEqual(expected);
      const block = corpus.blocks.at(-1)!;
      const unaligned = new Uint8Array(block.byteLength + 1).subarray(1);
      await corpus.readBlock(block, unaligned);
      expect(new Float32Array(unaligned.slice().buffer)).toEqual(expected.slice(block.firstRow * 32));
    }
  });

  it("gives single rows", async () => {
    await using corpus = await openCorpus(["synth:toy-2@500"]);
    const all = await readAll(corpus);
    const rows = Uint32Array.of(0, 3, 4, 5, 77, 499);
    const into = new Float32Array(rows.length * 28);
    await corpus.readRows(corpus.blocks.at(0)!, rows, new Uint8Array(into.buffer));
    for (const [i, row] of rows.entries()) {
      expect(into.subarray(i * 28, (i + 1) * 28)).toEqual(all.subarray(row * 28, (row + 1) * 28));
    }
    await expect(
      corpus.readRows(corpus.blocks.at(0)!, Uint32Array.of(500), new Uint8Array(112)),
    ).rejects.toThrow(RangeError);
    await expect(corpus.readBlock(corpus.blocks.at(0)!, new Uint8Array(9))).rejects.toThrow(RangeError);
    expect(corpus.locate(499)).toEqual({ path: "synth:toy-2@500", batch: 0, row: 499 });
    expect(() => corpus.locate(500)).toThrow(RangeError);
  });

  it("is shuffled, each row once, and goes on from any position", async () => {
    await using corpus = await openCorpus(["synth:toy-1@700"], { blockBytes: 128 * 40 });
    const options = { seed: 3, windowBytes: 128 * 200, split: "train", epochs: 1 } as const;
    const all = await readAll(corpus);
    const ids = new Float64Array(700);
    const values = new Float32Array(700 * 32);
    await using stream = new RowStream(corpus, options);
    const rows = await stream.fill(values, 300, ids);
    const rest = await stream.fill(values.subarray(300 * 32), 400, ids.subarray(300));
    expect(new Set(ids.subarray(0, rows + rest)).size).toBe(rows + rest);
    expect(rest).toBeLessThan(400);
    for (let i = 0; i < rows + rest; i++) {
      expect(values.subarray(i * 32, (i + 1) * 32)).toEqual(all.subarray(ids[i]! * 32, (ids[i]! + 1) * 32));
    }
    await using first = new RowStream(corpus, options);
    await first.fill(values.slice(), 123);
    await using second = new RowStream(corpus, { ...options, from: first.position });
    const again = new Float64Array(700);
    await second.fill(new Float32Array(700 * 32), 700, again);
    expect(again.subarray(0, rows + rest - 123)).toEqual(ids.subarray(123, rows + rest));
  });

  it("has a fingerprint of model, seed and rows, not of blocks", async () => {
    const print = async (path: string, blockBytes?: number): Promise<string> => {
      await using corpus = await openCorpus([path], { blockBytes });
      return corpus.fingerprint;
    };
    const prints = ["synth:toy-1@100", "synth:toy-1@101", "synth:toy-1@100#1", "synth:toy-2@100"];
    expect(new Set(await Promise.all(prints.map((path) => print(path)))).size).toBe(4);
    expect(await print("synth:toy-1@100", 500)).toBe(await print("synth:toy-1@100#42"));
  });

  it("keeps its statistics in the cache folder", async () => {
    await using corpus = await openCorpus(["synth:toy-1@2000"]);
    const statistics = await estimateStatistics(corpus, { seed: 0 });
    expect(await writeStatistics(corpus, statistics)).toBe(at(`cache/sparseloom/${corpus.fingerprint}.json`));
    expect(await readStatistics(corpus)).toEqual(statistics);
    expect(await readdir(".")).not.toContain("synth:toy-1@2000.sparseloom.json");
    // E|x|^2: 16 features at a quarter, of magnitude 1 +- 0.05.
    expect(Math.abs(statistics.meanSquareNorm - 16 * 0.25 * (1 + 0.05 ** 2))).toBeLessThan(0.2);
  });

  it("of any length has blocks that fit into memory", async () => {
    await using corpus = await openCorpus(["synth:toy-1@1e9"], { blockBytes: 2 ** 20 });
    expect(corpus.blocks.length).toBeLessThanOrEqual(65_536);
    const last = corpus.blocks.at(-1)!;
    const bytes = new Uint8Array(last.byteLength);
    await corpus.readBlock(last, bytes);
    const row = new Float32Array(32);
    (await openKnownFeatures("toy-1")).fill(row, 1e9 - 1, 1);
    expect(new Float32Array(bytes.buffer).slice(-32)).toEqual(row);
  });

  it("stops when it is told to", async () => {
    await using corpus = await openCorpus(["synth:toy-1@1000"]);
    const signal = AbortSignal.abort(new Error("enough"));
    const into = new Uint8Array(corpus.blocks.at(0)!.byteLength);
    await expect(corpus.readBlock(corpus.blocks.at(0)!, into, signal)).rejects.toThrow("enough");
  });
});
