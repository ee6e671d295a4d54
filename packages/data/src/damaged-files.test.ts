/** Files cut short and files with flipped bytes: refused by name or read, never a crash or a hang. */
import { writeFile } from "node:fs/promises";
import { Field, Int32, Map_, Schema, Table, tableToIPC } from "apache-arrow";
import { describe, expect, it } from "vitest";
import { arrowBytes, textColumn, vectorColumn } from "../test/arrow-files.ts";
import { readSpecimens, writeDamaged } from "../test/mutations.ts";
import { readAll, readAllLabels } from "../test/read-all.ts";
import { readEverything } from "../test/read-everything.ts";
import { useTemporaryFolder } from "../test/temporary-folder.ts";
import { openCorpus } from "./open-corpus.ts";
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

describe("two streams in one file", () => {
  it("are refused, not read by half", async () => {
    const one = arrowBytes(columns, [3, 4], "stream");
    await writeFile(path("two"), Buffer.concat([one, one]));
    const error = await tryRead(path("two"));
    expect(isCorpusError(error, "unsupported")).toBe(true);
    expect(String(error)).toContain(
      `another stream begins after 2 record batches, at byte ${one.length}: give each a file of its own`,
    );
    // What else follows a stream is none of ours.
    await writeFile(path("padded"), Buffer.concat([one, Buffer.alloc(64)]));
    expect(await tryRead(path("padded"))).toBe("read");
  });
});

describe("two columns of one name", () => {
  it("are not told apart by it", async () => {
    const { x } = columns;
    const bytes = arrowBytes({ x, y: x }, [3], "file");
    // The names are one byte long: wherever the schema says y it then says x.
    const renamed = Buffer.from(
      Buffer.from(bytes).toString("latin1").replaceAll("y\0\0\0", "x\0\0\0"),
      "latin1",
    );
    await writeFile(path("same-names"), renamed);
    await expect(openCorpus([path("same-names")], { column: "x" })).rejects.toMatchObject({
      kind: "no-vector-column",
      message: `${path("same-names")}, column "x": several columns have this name; rename all but one`,
    });
  });
});

describe("a map that does not say of what", () => {
  it("is refused", async () => {
    const field = new Field("m", new Map_(new Field("entries", new Int32(), false) as never), true);
    await writeFile(path("map"), tableToIPC(new Table(new Schema([field])), "file"));
    const error = await tryRead(path("map"));
    expect(isCorpusError(error, "malformed")).toBe(true);
    expect(String(error)).toContain("a map does not say of what");
  });
});

describe("a damaged corpus of any kind", () => {
  it("is read, or refused by a CorpusError that names the file, never anything else", async () => {
    const specimens = await readSpecimens();
    const counts = { read: 0, refused: 0 };
    // Others than those of checks/fuzz.ts with its default seed, but the same each time.
    for (let index = 0; index < 400; index++) {
      const { path: name, what } = await writeDamaged(specimens, 1000, index, path("damaged"));
      const outcome = await readEverything(name, [16, 1000, 2 ** 20][index % 3]!);
      if (outcome.kind === "fault") throw new Error(what, { cause: outcome.error });
      counts[outcome.kind]++;
    }
    expect(counts.read).toBeGreaterThan(40);
    expect(counts.refused).toBeGreaterThan(200);
  });
});
