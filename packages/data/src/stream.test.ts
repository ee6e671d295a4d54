import fc from "fast-check";
import { Float16, Float32 } from "apache-arrow";
import { truncate } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { expectedValue, textColumn, vectorColumn, writeArrow } from "../test/arrow-files.ts";
import { readAll } from "../test/read-all.ts";
import { rowsOfSplit } from "../test/split-model.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";
import type { Corpus } from "./corpus.ts";
import { layerNormRows } from "./layer-norm.ts";
import { planWindows } from "./shuffle.ts";
import { RowStream } from "./stream.ts";
import type { RowStreamOptions, StreamPosition } from "./stream.ts";

const path = useTemporaryFolder();

interface Delivered {
  readonly rowIds: number[];
  readonly values: number[];
  readonly positions: StreamPosition[];
}

/** Runs a stream to its end (or for `most` rows) in fills of these sizes, taken in turn. */
async function deliver(
  corpus: Corpus,
  options: RowStreamOptions,
  sizes: readonly number[],
  most = Infinity,
): Promise<Delivered> {
  await using stream = new RowStream(corpus, options);
  const delivered: Delivered = { rowIds: [], values: [], positions: [stream.position] };
  for (let turn = 0; delivered.rowIds.length < most; turn++) {
    const rows = Math.min(sizes[turn % sizes.length]!, most - delivered.rowIds.length);
    const into = new Float32Array(rows * corpus.dIn);
    const rowIds = new Float64Array(rows);
    const count = await stream.fill(into, rows, rowIds);
    delivered.rowIds.push(...rowIds.subarray(0, count));
    delivered.values.push(...into.subarray(0, count * corpus.dIn));
    delivered.positions.push(stream.position);
    if (count < rows) break;
  }
  return delivered;
}

/** Corpora and streams of all kinds. */
const corpusCases = fc.record({
  files: fc.array(fc.array(fc.nat(12), { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 3 }),
  dIn: fc.integer({ min: 1, max: 5 }),
  half: fc.boolean(),
  documents: fc.boolean(),
  blockBytes: fc.integer({ min: 1, max: 100 }),
});
const streamCases = fc.record({
  seed: fc.maxSafeInteger(),
  shuffle: fc.constantFrom("window" as const, "none" as const, "full" as const),
  windowBytes: fc.integer({ min: 1, max: 400 }),
  split: fc.constantFrom("train" as const, "held-out" as const, "all" as const),
  heldOut: fc.record({ fraction: fc.constantFrom(0.02, 0.3, 0.8) }),
  epochs: fc.integer({ min: 1, max: 3 }),
});
const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 4 });

async function withCorpus(
  shape: typeof corpusCases extends fc.Arbitrary<infer T> ? T : never,
  test: (corpus: Corpus) => Promise<void>,
): Promise<void> {
  const names: string[] = [];
  let row = 0;
  for (const [i, batches] of shape.files.entries()) {
    const x = vectorColumn({ dIn: shape.dIn, item: shape.half ? new Float16() : new Float32() });
    const columns = shape.documents ? { x, document: textColumn((r) => `${Math.floor(r / 3)}`) } : { x };
    const name = path(`random-${i}`);
    names.push(await writeArrow(name, columns, batches, i % 2 === 0 ? "file" : "stream", row));
    row += batches.reduce((sum, rows) => sum + rows, 0);
  }
  fc.pre(row > 0);
  await using corpus = await openCorpus(names, { blockBytes: shape.blockBytes });
  await test(corpus);
}

describe("RowStream", () => {
  it("delivers each row of the split exactly once per epoch, with its values", async () => {
    const property = fc.asyncProperty(corpusCases, streamCases, sizes, (shape, options, turns) =>
      withCorpus(shape, async (corpus) => {
        const expected = await rowsOfSplit(corpus, options);
        // A small split may be empty by chance, which has tests of its own.
        fc.pre(expected.length > 0);
        const { rowIds, values, positions } = await deliver(corpus, options, turns);
        expect(rowIds).toHaveLength(expected.length * options.epochs);
        for (let epoch = 0; epoch < options.epochs; epoch++) {
          const part = rowIds.slice(epoch * expected.length, (epoch + 1) * expected.length);
          if (options.shuffle !== "none") part.sort((a, b) => a - b);
          expect(part).toEqual(expected);
        }
        const row = (id: number): number[] =>
          Array.from({ length: corpus.dIn }, (_, i) => expectedValue(id, i));
        expect(values).toEqual(rowIds.flatMap(row));
        expect(positions.at(-1)).toEqual({ epoch: options.epochs, window: 0, offset: 0 });
      }),
    );
    await fc.assert(property, { numRuns: 150 });
  });

  it("is the same for the same seed, however it is asked for, and continues exactly from any position", async () => {
    const property = fc.asyncProperty(
      corpusCases,
      streamCases,
      sizes,
      sizes,
      (shape, options, turns, others) =>
        withCorpus(shape, async (corpus) => {
          fc.pre((await rowsOfSplit(corpus, options)).length > 0);
          const first = await deliver(corpus, options, turns);
          const second = await deliver(corpus, options, others);
          expect(second.rowIds).toEqual(first.rowIds);
          expect(second.values).toEqual(first.values);
          let done = 0;
          for (const [i, from] of first.positions.entries()) {
            const restored: unknown = JSON.parse(JSON.stringify(from));
            const rest = await deliver(corpus, { ...options, from: restored as StreamPosition }, others);
            expect(rest.rowIds).toEqual(first.rowIds.slice(done));
            done = Math.min(done + turns[i % turns.length]!, first.rowIds.length);
          }
        }),
    );
    await fc.assert(property, { numRuns: 60 });
  });

  it("changes its order with the seed and the epoch", async () => {
    const name = await writeArrow(path("order"), { x: vectorColumn({ dIn: 1 }) }, [200]);
    await using corpus = await openCorpus([name], { blockBytes: 40 });
    const options = { seed: 1, windowBytes: 200, epochs: 2 };
    const { rowIds } = await deliver(corpus, options, [64]);
    expect(rowIds.slice(0, 200)).not.toEqual(rowIds.slice(200));
    expect((await deliver(corpus, { ...options, seed: 2 }, [64])).rowIds).not.toEqual(rowIds);
  });

  it("takes the rows of a full shuffle from everywhere, in an order that changes with seed and epoch", async () => {
    await using corpus = await openCorpus([path("order")], { blockBytes: 40 });
    const options = { seed: 1, windowBytes: 80, epochs: 2, shuffle: "full" as const };
    const { rowIds } = await deliver(corpus, options, [64]);
    expect(rowIds.slice(0, 200)).not.toEqual(rowIds.slice(200));
    expect((await deliver(corpus, { ...options, seed: 2 }, [64])).rowIds).not.toEqual(rowIds);
    // 20 rows from 20 blocks of 10: 12.9 blocks on average, where windows of 2 blocks have 2.
    expect(new Set(rowIds.slice(0, 20).map((row) => Math.floor(row / 10))).size).toBeGreaterThan(8);
  });

  it("mixes rows of all the blocks of a window, and blocks of the whole corpus", async () => {
    await using corpus = await openCorpus([path("order")], { blockBytes: 40 });
    const { rowIds } = await deliver(corpus, { seed: 1, windowBytes: 200 }, [50], 50);
    const blocks = rowIds.map((row) => Math.floor(row / 10));
    expect(new Set(blocks).size).toBe(5);
    expect(new Set(blocks.slice(0, 10)).size).toBeGreaterThan(2);
    expect(Math.max(...blocks) - Math.min(...blocks)).toBeGreaterThan(5);
  });

  it("runs on for ever when asked to", async () => {
    const name = await writeArrow(path("for-ever"), { x: vectorColumn({ dIn: 1 }) }, [3]);
    await using corpus = await openCorpus([name]);
    const { rowIds, positions } = await deliver(corpus, { seed: 1, epochs: Infinity }, [100], 1000);
    expect(rowIds).toHaveLength(1000);
    expect(positions.at(-1)).toEqual({ epoch: 333, window: 0, offset: 1 });
  });

  it("delivers nothing for no epochs, and nothing more at the end", async () => {
    await using corpus = await openCorpus([path("for-ever")]);
    expect((await deliver(corpus, { seed: 1, epochs: 0 }, [4])).rowIds).toEqual([]);
    await using stream = new RowStream(corpus, { seed: 1 });
    expect(await stream.fill(new Float32Array(8), 8)).toBe(3);
    expect(await stream.fill(new Float32Array(8), 8)).toBe(0);
  });

  it("refuses to run over a split without rows again and again", async () => {
    await using corpus = await openCorpus([path("for-ever")]);
    const options = { seed: 1, split: "held-out" as const, heldOut: { fraction: 0 } };
    const endless = new RowStream(corpus, { ...options, epochs: Infinity });
    await expect(endless.fill(new Float32Array(1), 1)).rejects.toMatchObject({ kind: "empty" });
    await endless.close();
    expect((await deliver(corpus, options, [4])).rowIds).toEqual([]);
  });

  it("writes to shared memory, and only as many rows as it says", async () => {
    await using corpus = await openCorpus([path("for-ever")]);
    await using stream = new RowStream(corpus, { seed: 1, shuffle: "none" });
    const into = new Float32Array(new SharedArrayBuffer(128), 64, 8);
    into.fill(9);
    expect(await stream.fill(into, 8)).toBe(3);
    expect([...into]).toEqual([0, 1, 2, 9, 9, 9, 9, 9]);
  });
});

describe("planWindows", () => {
  it("gives as many blocks, or rows, as the memory holds, but one", async () => {
    await using corpus = await openCorpus([path("order")], { blockBytes: 40 });
    const plans = (["window", "none", "full"] as const).flatMap((shuffle) =>
      [1, 130, 1e9].map((windowBytes) => planWindows(corpus, { shuffle, windowBytes })),
    );
    const blocks = [
      { blocksPerWindow: 1, rowsPerWindow: 10, windowsPerEpoch: 20, bytesPerWindow: 40 },
      { blocksPerWindow: 3, rowsPerWindow: 30, windowsPerEpoch: 7, bytesPerWindow: 120 },
      { blocksPerWindow: 20, rowsPerWindow: 200, windowsPerEpoch: 1, bytesPerWindow: 800 },
    ];
    expect(plans).toEqual([
      ...blocks.map((plan) => ({ shuffle: "window", ...plan })),
      ...blocks.map((plan) => ({ shuffle: "none", ...plan })),
      { shuffle: "full", blocksPerWindow: 1, rowsPerWindow: 1, windowsPerEpoch: 200, bytesPerWindow: 4 },
      { shuffle: "full", blocksPerWindow: 20, rowsPerWindow: 32, windowsPerEpoch: 7, bytesPerWindow: 128 },
      { shuffle: "full", blocksPerWindow: 20, rowsPerWindow: 200, windowsPerEpoch: 1, bytesPerWindow: 800 },
    ]);
  });
});

describe("RowStream's transform", () => {
  it("is a float32 subtraction and a float32 multiplication, for both number types", async () => {
    for (const item of [new Float32(), new Float16()]) {
      const shape = { dIn: 5, item, value: (row: number, i: number): number => (row - 3) * 2 ** (i - 2) };
      const name = await writeArrow(path("transform"), { x: vectorColumn(shape) }, [9]);
      await using corpus = await openCorpus([name]);
      const raw = await readAll(corpus);
      const mean = Float32Array.of(0.1, -2.7, 1e-3, 3, 1e6);
      const scale = 0.3;
      const cases = [
        { mean, scale, expected: raw.map((x, n) => Math.fround(x - mean[n % 5]!) * Math.fround(scale)) },
        { mean, scale: 1, expected: raw.map((x, n) => x - mean[n % 5]!) },
        { mean: undefined, scale, expected: raw.map((x) => x * Math.fround(scale)) },
        { mean: undefined, scale: 1, expected: raw },
      ];
      for (const { expected, ...transform } of cases) {
        const { values } = await deliver(corpus, { seed: 1, shuffle: "none", transform }, [4]);
        expect(values).toEqual([...expected]);
      }
    }
  });

  it("by LayerNorm gives each row the same bits, whatever the blocks, windows and number types", async () => {
    const value = (row: number, i: number): number => ((row * 13 + i * 7) % 17) - row / 4;
    for (const item of [new Float32(), new Float16()]) {
      const name = await writeArrow(
        path("layer-norm"),
        { x: vectorColumn({ dIn: 5, item, value }) },
        [40, 20],
      );
      const expected = Float32Array.from({ length: 300 }, (_, i) => value(Math.floor(i / 5), i % 5));
      layerNormRows(expected, 0, 60, [5]);
      for (const [blockBytes, windowBytes, shuffle] of [
        [20, 100, "window"],
        [100, 900, "window"],
        [1e6, 1e6, "none"],
        [40, 200, "full"],
      ] as const) {
        await using corpus = await openCorpus([name], { blockBytes });
        const transform = { mean: undefined, scale: 1, layerNorm: [5] };
        const options = { seed: 1, split: "all", shuffle, windowBytes, transform } as const;
        const { rowIds, values } = await deliver(corpus, options, [7, 3]);
        expect(rowIds).toHaveLength(60);
        for (const [place, row] of rowIds.entries())
          expect(values.slice(5 * place, 5 * place + 5)).toEqual([
            ...expected.subarray(5 * row, 5 * row + 5),
          ]);
      }
    }
  });

  it("by LayerNorm names a number that is not finite as it is stored", async () => {
    const value = (row: number, i: number): number => (row === 8 && i === 2 ? -Infinity : row - i);
    const name = await writeArrow(path("not-normal"), { x: vectorColumn({ dIn: 4, value }) }, [10]);
    await using corpus = await openCorpus([name]);
    const transform = { mean: undefined, scale: 1, layerNorm: [4] };
    await expect(
      deliver(corpus, { seed: 1, shuffle: "none", split: "all", transform }, [10]),
    ).rejects.toThrow(/row 8.*-Infinity/);
  });

  it.each([
    [{ layerNorm: [3, 3] }, "widths 3, 3: they must be whole numbers of at least 2 that sum to 4"],
    [{ layerNorm: [3, 1] }, "widths 3, 1: they must"],
    [{ layerNorm: [4], mean: new Float32Array(4) }, "so there must be no mean"],
    [{ layerNorm: [4], scale: 2 }, "scale must be 1"],
  ])("refuses LayerNorm that makes no sense: %o", async (part, message) => {
    const name = await writeArrow(path("refused"), { x: vectorColumn({ dIn: 4 }) }, [10]);
    await using corpus = await openCorpus([name]);
    const transform = { mean: undefined, scale: 1, ...part };
    expect(() => new RowStream(corpus, { seed: 1, transform })).toThrow(message);
  });

  it("does not change when the caller changes its mean", async () => {
    await using corpus = await openCorpus([path("for-ever")]);
    const mean = Float32Array.of(1);
    await using stream = new RowStream(corpus, { seed: 1, shuffle: "none", transform: { mean, scale: 1 } });
    mean.fill(100);
    const into = new Float32Array(3);
    await stream.fill(into, 3);
    expect([...into]).toEqual([-1, 0, 1]);
  });

  it("refuses a mean of another dimension", async () => {
    await using corpus = await openCorpus([path("for-ever")]);
    const transform = { mean: new Float32Array(2), scale: 1 };
    expect(() => new RowStream(corpus, { seed: 1, transform })).toThrow(RangeError);
  });
});

describe("RowStream refuses", () => {
  it("numbers that are not finite, by file, batch, row and column", async () => {
    for (const item of [new Float32(), new Float16()]) {
      for (const bad of [NaN, Infinity, -Infinity]) {
        const value = (row: number, i: number): number => (row === 6 && i === 2 ? bad : row);
        const name = await writeArrow(path("bad"), { x: vectorColumn({ dIn: 3, item, value }) }, [4, 5]);
        await using corpus = await openCorpus([name], { blockBytes: 24 });
        for (const transform of [undefined, { mean: Float32Array.of(1, 2, 3), scale: 2 }]) {
          await using stream = new RowStream(corpus, { seed: 1, shuffle: "none", transform });
          const error = await stream.fill(new Float32Array(27), 9).catch((reason: unknown) => reason);
          expect(error).toMatchObject({ kind: "non-finite", path: name, batch: 1, row: 2, column: "x" });
          expect(String(error)).toContain(`number 2 of 3 is ${bad}`);
          await expect(stream.fill(new Float32Array(27), 9)).rejects.toBe(error);
        }
      }
    }
  });

  it("numbers that the transform makes infinite", async () => {
    const x = vectorColumn({ dIn: 1, value: (row) => (row === 1 ? 3e38 : 0) });
    await using corpus = await openCorpus([await writeArrow(path("huge"), { x }, [3])]);
    await using stream = new RowStream(corpus, { seed: 1, transform: { mean: undefined, scale: 10 } });
    await expect(stream.fill(new Float32Array(3), 3)).rejects.toMatchObject({ kind: "non-finite", row: 1 });
  });

  it("to go on after a read failed, also when it failed ahead of time", async () => {
    const name = await writeArrow(path("fails"), { x: vectorColumn({ dIn: 16 }) }, [64]);
    await using corpus = await openCorpus([name], { blockBytes: 640 });
    await using stream = new RowStream(corpus, { seed: 1, windowBytes: 640, shuffle: "none" });
    const into = new Float32Array(160);
    expect(await stream.fill(into, 1)).toBe(1);
    await truncate(name, 0);
    // The second window may have been read before the file was cut, the third cannot have been.
    const failed = (async () => {
      for (;;) await stream.fill(into, 10);
    })();
    await expect(failed).rejects.toMatchObject({ kind: "changed", path: name });
    await expect(stream.fill(into, 10)).rejects.toMatchObject({ kind: "changed" });
  });

  it("positions of other streams", async () => {
    await using corpus = await openCorpus([path("order")], { blockBytes: 40 });
    for (const from of [
      { epoch: 0, window: 20, offset: 0 },
      { epoch: -1, window: 0, offset: 0 },
    ]) {
      const make = (): RowStream => new RowStream(corpus, { seed: 1, windowBytes: 40, from });
      expect(make).toThrow(expect.objectContaining({ kind: "invalid-option" }));
    }
    await using stream = new RowStream(corpus, {
      seed: 1,
      windowBytes: 40,
      from: { epoch: 0, window: 0, offset: 11 },
    });
    await expect(stream.fill(new Float32Array(1), 1)).rejects.toMatchObject({ kind: "invalid-option" });
  });

  it("arrays that are too small, and two fills at a time", async () => {
    await using corpus = await openCorpus([path("order")]);
    await using stream = new RowStream(corpus, { seed: 1 });
    await expect(stream.fill(new Float32Array(3), 4)).rejects.toThrow(RangeError);
    await expect(stream.fill(new Float32Array(4), 4, new Float64Array(3))).rejects.toThrow(RangeError);
    const running = stream.fill(new Float32Array(4), 4);
    await expect(stream.fill(new Float32Array(4), 4)).rejects.toThrow("another fill");
    expect(await running).toBe(4);
  });

  it("options that make no sense", async () => {
    await using corpus = await openCorpus([path("order")]);
    for (const options of [
      { windowBytes: 0 },
      { windowBytes: NaN },
      { epochs: -1 },
      { epochs: 1.5 },
      { seed: NaN },
    ]) {
      expect(() => new RowStream(corpus, { seed: 1, ...options })).toThrow(
        expect.objectContaining({ kind: "invalid-option" }),
      );
    }
  });
});

describe("closing a RowStream", () => {
  it("waits for the reads ahead, so that its corpus can be closed", async () => {
    const corpus = await openCorpus([path("order")], { blockBytes: 8 });
    const stream = new RowStream(corpus, { seed: 1, windowBytes: 400 });
    await stream.fill(new Float32Array(4), 4);
    await stream.close();
    await stream.close();
    await corpus.close();
    await expect(stream.fill(new Float32Array(4), 4)).rejects.toThrow("after close");
  });
});
