import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import { afterAll, describe, expect, it } from "vitest";
import { type SparseRows, SparseRowWriter } from "./sparse-row-writer.ts";

const folder = mkdtempSync(join(tmpdir(), "sparseloom-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string): string => join(folder, name);

/** Rows from lists of [latent, value]. */
function rowsOf(
  first: number,
  lists: readonly (readonly (readonly [number, number])[])[],
  labels: SparseRows["labels"] = new Map(),
): SparseRows {
  const entries = lists.flat();
  const offsets = new Int32Array(lists.length + 1);
  for (const [row, list] of lists.entries()) offsets[row + 1] = offsets[row]! + list.length;
  return {
    rowIds: Float64Array.from(lists, (_, row) => first + row),
    offsets,
    latents: Uint32Array.from(entries, ([latent]) => latent),
    values: Float32Array.from(entries, ([, value]) => value),
    labels,
  };
}

describe("SparseRowWriter", () => {
  it("writes rows part by part, empty ones among them, with labels that may be null", async () => {
    const file = path("rows.arrow");
    await using writer = await SparseRowWriter.open(file, {
      labels: { token: "utf8", document: "int64", sure: "bool" },
    });
    const labels = (token: (string | null)[], document: (number | null)[], sure: (boolean | null)[]) =>
      new Map<string, (string | number | boolean | null)[]>([
        ["token", token],
        ["document", document],
        ["sure", sure],
      ]);
    await writer.add(
      rowsOf(
        2 ** 40,
        [
          [
            [3, 0.5],
            [70_000, 2],
          ],
          [],
        ],
        labels(["a", null], [7, null], [null, true]),
      ),
    );
    await writer.add(rowsOf(9, []));
    await writer.add(rowsOf(5, [[[0, 1.25]]], labels(["ü"], [2 ** 33], [false])));
    const result = await writer.finish();
    expect(result).toMatchObject({ rows: 3, entries: 3 });
    const bytes = await readFile(file);
    expect(result.bytes).toBe(bytes.length);
    const rows = tableFromIPC(bytes)
      .toArray()
      .map(
        (row) =>
          JSON.parse(
            JSON.stringify(row, (_, value: unknown) => (typeof value === "bigint" ? Number(value) : value)),
          ) as object,
      );
    expect(rows).toEqual([
      { row: 2 ** 40, latents: [3, 70_000], values: [0.5, 2], token: "a", document: 7, sure: null },
      { row: 2 ** 40 + 1, latents: [], values: [], token: null, document: null, sure: true },
      { row: 5, latents: [0], values: [1.25], token: "ü", document: 2 ** 33, sure: false },
    ]);
    expect(readdirSync(folder)).toEqual(["rows.arrow"]);
  });

  it("leaves nothing of a file that is not finished", async () => {
    const file = path("broken.arrow");
    await expect(
      (async () => {
        await using writer = await SparseRowWriter.open(file);
        await writer.add(rowsOf(0, [[[1, 1]]]));
        throw new Error("broken off");
      })(),
    ).rejects.toThrow("broken off");
    expect(readdirSync(folder).filter((name) => name.startsWith("broken"))).toEqual([]);
  });

  it("refuses a file that exists or is being written, and a label with the name of a column of features", async () => {
    const file = path("taken.arrow");
    await using first = await SparseRowWriter.open(file);
    await expect(SparseRowWriter.open(file)).rejects.toMatchObject({
      kind: "busy",
      message: `${file}: is being written by process ${process.pid}: wait for it to end, or choose another name`,
    });
    await first.finish();
    await expect(SparseRowWriter.open(file)).rejects.toMatchObject({ kind: "exists" });
    await using again = await SparseRowWriter.open(file, { overwrite: true });
    await again.finish();
    await expect(
      SparseRowWriter.open(path("named.arrow"), { labels: { values: "utf8" } }),
    ).rejects.toMatchObject({ kind: "invalid-option", column: "values" });
    expect(existsSync(path("named.arrow.partial"))).toBe(false);
  });

  it("takes over the lock of a process that is gone", async () => {
    const file = path("left.arrow");
    const gone = { pid: 2 ** 22 + 1, host: hostname(), started: "1", token: "theirs" };
    await writeFile(`${file}.partial.lock`, JSON.stringify({ ...gone, host: "elsewhere" }));
    await expect(SparseRowWriter.open(file)).rejects.toMatchObject({
      kind: "busy",
      message: `${file}: is being written by process ${gone.pid} on elsewhere: if that is gone, remove ${file}.partial.lock`,
    });
    await writeFile(`${file}.partial.lock`, JSON.stringify(gone));
    await using writer = await SparseRowWriter.open(file);
    expect(await writer.finish()).toMatchObject({ rows: 0, entries: 0 });
    expect(tableFromIPC(await readFile(file)).numRows).toBe(0);
  });
});
