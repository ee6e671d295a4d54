import fc from "fast-check";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { arrowBytes, textColumn, vectorColumn, writeArrow } from "../test/arrow-files.ts";
import { readAll, readAllLabels } from "../test/read-all.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { checkCorpus } from "./check.ts";
import type { CheckResult } from "./check.ts";
import { openCorpus } from "./open-corpus.ts";
import type { CorpusError } from "./errors.ts";
import { isCorpusError } from "./errors.ts";

const path = useTemporaryFolder();
/** Of four compressed batches. */
const COMPRESSED = "zstd.stream.arrow";
const fixture = (name: string): string => fileURLToPath(new URL(`../test/fixtures/${name}`, import.meta.url));

async function check(
  ...patterns: string[]
): Promise<CheckResult & { readonly named: readonly CorpusError[] }> {
  const named: CorpusError[] = [];
  const result = await checkCorpus(patterns, { onFault: (fault) => named.push(fault) });
  expect(result.faults).toBe(named.length);
  return { ...result, named };
}

/** True when everything can be opened and read, and is finite. */
async function isSound(name: string): Promise<boolean> {
  try {
    await using corpus = await openCorpus([name]);
    const all = await readAll(corpus);
    for (const label of corpus.labels) await readAllLabels(corpus, label.name);
    return all.every(Number.isFinite);
  } catch (error) {
    if (isCorpusError(error)) return false;
    throw error;
  }
}

describe("checking a corpus", () => {
  it("finds no fault in sound files of any writer, type and codec", async () => {
    const names = (await readdir(fixture("."))).filter((name) => /\.(arrow|feather)$/.test(name));
    expect(names.length).toBeGreaterThan(20);
    for (const name of [...names, "dataset", "sae-lens-cache"]) {
      const { faults, faultyFiles, rows } = await check(fixture(name));
      await using corpus = await openCorpus([fixture(name)]);
      expect([name, faults, faultyFiles, rows]).toEqual([name, 0, 0, corpus.rows]);
    }
  });

  it("names every row that is not finite, and goes on", async () => {
    const bad = new Map([
      [3, NaN],
      [12, Infinity],
      [13, -Infinity],
    ]);
    const x = vectorColumn({ dIn: 2, value: (row, i) => (i === 1 ? (bad.get(row) ?? row) : row) });
    const name = await writeArrow(path("rows"), { x }, [10, 10]);
    const progress: number[] = [];
    const named: string[] = [];
    const found = await checkCorpus([name], {
      onFault: ({ kind, batch, row, message }) => {
        expect(message).toContain(`${name}, batch ${batch}, row ${row}, column "x": number 1 of 2 is`);
        named.push(`${kind} ${batch} ${row}`);
      },
      onProgress: (done, files) => progress.push(done / files),
    });
    expect(found).toEqual({ files: 1, faultyFiles: 1, rows: 20, faults: 3 });
    expect(named).toEqual(["non-finite 0 3", "non-finite 1 2", "non-finite 1 3"]);
    expect(progress.at(-1)).toBe(1);
  });

  it("goes on with the next file after one that cannot be opened, or that does not agree", async () => {
    const x = vectorColumn({ dIn: 3 });
    const whole = arrowBytes({ x }, [8, 8], "stream");
    await writeArrow(path("several-1.arrow"), { x }, [5]);
    await writeFile(path("several-2.arrow"), whole.subarray(0, whole.length - 40));
    await writeFile(path("several-3.arrow"), "no Arrow at all");
    await writeArrow(path("several-4.arrow"), { x: vectorColumn({ dIn: 4 }) }, [5]);
    await writeArrow(path("several-5.arrow"), { x }, []);
    await writeArrow(path("several-6.arrow"), { x }, [7]);
    const { named, ...found } = await check(path("several-*.arrow"));
    expect(named.map(({ kind, path: file }) => [kind, file?.at(-7)])).toEqual([
      ["truncated", "2"],
      ["not-arrow", "3"],
      ["dimension-mismatch", "4"],
    ]);
    expect(found).toEqual({ files: 6, faultyFiles: 3, rows: 17, faults: 3 });
  });

  it("goes on with the next batch after a damaged one, which it names once", async () => {
    const name = path("damaged-batch.arrow");
    const original = await readFile(fixture(COMPRESSED));
    const batchRows = [7, 1, 9, 5];
    const rows = 22;
    const damagedBatches = new Set<number>();
    for (let place = 0; place < original.length; place += 40) {
      const bytes = Uint8Array.from(original);
      bytes.fill(0xff, place, place + 8);
      await writeFile(name, bytes);
      const found = await check(name);
      // Damage to headers refuses the file, and damage to labels loses no rows.
      if (found.rows === 0 || found.rows === rows) continue;
      const [fault] = found.named.filter(({ column }) => column === "activation");
      expect(fault).toMatchObject({ kind: "malformed", path: name, batch: expect.any(Number) });
      expect([found.rows, found.faults]).toEqual([rows - batchRows[fault!.batch!]!, 1]);
      damagedBatches.add(fault!.batch!);
    }
    expect(damagedBatches.size).toBeGreaterThan(1);
  });

  it("finds damaged labels", async () => {
    const text = textColumn((row) => `label ${row}`);
    const bytes = Uint8Array.from(arrowBytes({ x: vectorColumn({ dIn: 2 }), text }, [6], "file"));
    // The offsets of the strings: 0, 7, 14, …; the second becomes greater than the third.
    const view = new DataView(bytes.buffer);
    let at = 0;
    while (view.getInt32(at, true) !== 7 || view.getInt32(at + 4, true) !== 14) at += 4;
    view.setInt32(at, 30, true);
    await writeFile(path("labels"), bytes);
    const { named, rows } = await check(path("labels"));
    expect(named).toHaveLength(1);
    expect(named[0]).toMatchObject({ kind: "malformed", batch: 0, column: "text" });
    expect(rows).toBe(6);
  });

  it("of files without rows finds that there is nothing, and of no files that there are none", async () => {
    const name = await writeArrow(path("nothing"), { x: vectorColumn({ dIn: 3 }) }, []);
    expect(await check(name)).toMatchObject({
      faults: 1,
      faultyFiles: 1,
      rows: 0,
      named: [{ kind: "empty" }],
    });
    await expect(checkCorpus([path("absent")])).rejects.toMatchObject({ kind: "not-found" });
    await expect(checkCorpus(["synth:toy-1"])).rejects.toMatchObject({ kind: "invalid-option" });
  });

  it("finds a fault just where reading does, whatever bytes are damaged", async () => {
    const originals = await Promise.all(
      ["float32.file.arrow", "float32.stream.arrow", COMPRESSED].map((name) => readFile(fixture(name))),
    );
    const name = path("fuzzed");
    const places = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(255)), {
      minLength: 1,
      maxLength: 3,
    });
    const property = fc.asyncProperty(fc.nat(originals.length - 1), places, async (which, changes) => {
      const bytes = Uint8Array.from(originals[which]!);
      for (const [place, value] of changes) bytes[Math.floor(place * (bytes.length - 1))] = value;
      await writeFile(name, bytes);
      expect((await check(name)).faults === 0).toBe(await isSound(name));
    });
    await fc.assert(property, { numRuns: 300 });
  });
});
