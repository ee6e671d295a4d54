/** Files cut short and files with flipped bytes: refused by name or read, never a crash or a hang. */
import fc from "fast-check";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { arrowBytes, textColumn, vectorColumn } from "../test/arrow-files.ts";
import { readAll, readAllLabels } from "../test/read-all.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./corpus.ts";
import { isCorpusError } from "./errors.ts";

const path = useTemporaryFolder();

/** Opens and reads everything: gives `read`, or the error. */
async function tryRead(name: string): Promise<unknown> {
  try {
    await using corpus = await openCorpus([name]);
    await readAll(corpus);
    for (const label of corpus.labels) await readAllLabels(corpus, label.name);
    return "read";
  } catch (error) {
    return error;
  }
}

const columns = {
  text: textColumn((row) => (row === 4 ? null : `row ${row}`)),
  x: vectorColumn({ dIn: 3 }, "list"),
};

describe("a file cut short", () => {
  it("is refused at every length, as a file", async () => {
    const bytes = arrowBytes(columns, [3, 4], "file");
    const name = path("cut-file");
    for (let length = 0; length < bytes.length; length++) {
      await writeFile(name, bytes.subarray(0, length));
      const error = await tryRead(name);
      expect(error).toMatchObject({ path: name });
      expect(isCorpusError(error, "empty", "not-arrow", "truncated", "malformed")).toBe(true);
    }
  });

  it("is refused as a stream unless it ends between messages", async () => {
    const bytes = arrowBytes(columns, [3, 4], "stream");
    const name = path("cut-stream");
    const readable: number[] = [];
    for (let length = 0; length < bytes.length; length++) {
      await writeFile(name, bytes.subarray(0, length));
      const outcome = await tryRead(name);
      if (outcome === "read") readable.push(length);
      const refused = isCorpusError(outcome, "empty", "not-arrow", "truncated");
      expect(outcome === "read" || refused).toBe(true);
    }
    // After the first batch, and after the second, where only the end mark is missing.
    expect(readable).toHaveLength(2);
    expect(readable[1]).toBe(bytes.length - 8);
  });

  it("says which batch, and how much is missing", async () => {
    const bytes = arrowBytes({ x: vectorColumn({ dIn: 64 }) }, [8, 8], "stream");
    await writeFile(path("cut"), bytes.subarray(0, bytes.length - 108));
    expect(String(await tryRead(path("cut")))).toContain(
      "batch 1 needs 2048 bytes, but only 1948 are left: the file was not written to its end",
    );
  });
});

describe("a file with damaged bytes", () => {
  const fixtures = ["float32.file.arrow", "float32.stream.arrow", "float32.large-list.file.arrow"];

  it("is read or refused, never anything else", async () => {
    const originals = await Promise.all(
      fixtures.map((name) => readFile(fileURLToPath(new URL(`../test/fixtures/${name}`, import.meta.url)))),
    );
    const name = path("damaged");
    const damage = fc.record({
      which: fc.nat(fixtures.length - 1),
      changes: fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(255)), {
        minLength: 1,
        maxLength: 4,
      }),
    });
    const property = fc.asyncProperty(damage, async ({ which, changes }) => {
      const bytes = Uint8Array.from(originals[which]!);
      for (const [place, value] of changes) bytes[Math.floor(place * (bytes.length - 1))] = value;
      await writeFile(name, bytes);
      const outcome = await tryRead(name);
      // Rethrown, so that a failure shows the stack of our bug.
      if (outcome instanceof Error && !isCorpusError(outcome)) throw outcome;
      expect(outcome === "read" || isCorpusError(outcome)).toBe(true);
    });
    await fc.assert(property, { numRuns: 1500 });
  }, 60_000);
});
