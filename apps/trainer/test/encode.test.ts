/** Features of a corpus as a file: those of the model's own arithmetic, row by row, with the rows' labels. */
import { existsSync, readdirSync } from "node:fs";
import { copyFile, link, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { SparseAutoencoder } from "@sparseloom/core";
import { tableFromIPC } from "apache-arrow";
import { createSynthetic, writeCorpus } from "@sparseloom/data";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeCorpus, type EncodeReport } from "../src/encode.ts";
import { evaluateModel } from "../src/eval/evaluate-model.ts";
import { checkTrainRequest } from "../src/options.ts";
import { readModel } from "../src/run/model-folder.ts";
import { train } from "../src/train.ts";
import { foreign, runCli, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const corpus = at("corpus.arrow");
const ROWS = 3000;
const D = 12;
const values = new Float32Array(ROWS * D);

beforeAll(async () => {
  createSynthetic({
    dIn: D,
    features: 24,
    seed: 5,
    active: { kind: "bernoulli", probability: 0.15 },
    magnitude: { kind: "normal", mean: 1, sd: 0.3 },
  }).fill(values, 0, ROWS);
  const rows = [...Array(ROWS).keys()];
  const labels = { position: rows.map((row) => row % 10), token: rows.map((row) => `t${row % 7}`) };
  await writeCorpus(
    corpus,
    { dIn: D, type: "float32", labels: { position: "int32", token: "utf8" }, rowsPerBatch: 700 },
    [{ values, labels }],
  );
  const options = { batch: 100, workers: 1, latents: 30 };
  await train([corpus], checkTrainRequest({ ...options, k: 4 }), at("topk"));
  await train(
    [corpus],
    checkTrainRequest({ ...options, arch: "batch-topk", k: 4, excludePositions: [0] }),
    at("batch"),
  );
});

interface EncodedRow {
  readonly row: number;
  readonly latents: number[];
  readonly values: number[];
  readonly position?: number;
  readonly token?: string;
}

async function read(path: string): Promise<EncodedRow[]> {
  return tableFromIPC(await readFile(path))
    .toArray()
    .map((row) => ({ ...(JSON.parse(JSON.stringify(row, toNumber)) as EncodedRow) }));
}

function toNumber(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}

describe("encode", () => {
  it("writes each row's active latents as the model gives them, with all labels, in the order of the corpus", async () => {
    const report = await encodeCorpus(at("topk"), [corpus], { out: at("all.arrow"), workers: 2 });
    expect(report).toMatchObject({ rows: ROWS, filteredRows: 0, warnings: [] });
    const rows = await read(at("all.arrow"));
    const { model } = await readModel(at("topk"));
    if (!(model instanceof SparseAutoencoder)) throw new Error("not sparse");
    const features = model.encode(values);
    expect(report.entries).toBe(features.values.length);
    expect(report.l0).toBe(features.values.length / ROWS);
    for (const [row, found] of rows.entries()) {
      const [begin, end] = [features.offsets[row], features.offsets[row + 1]];
      expect([found.row, found.position, found.token]).toEqual([row, row % 10, `t${row % 7}`]);
      expect(found.latents).toEqual([...features.latents.subarray(begin, end)]);
      for (const [i, value] of found.values.entries())
        expect(value).toBeCloseTo(features.values[begin! + i]!, 4);
    }
  });

  it("leaves out the rows that the model was trained without, and labels that are not wanted", async () => {
    const out = at("filtered.arrow");
    const flags = ["--out", out, "--labels", "position", "--rows", "600", "--json"];
    const { status, stdout } = await runCli(["encode", at("batch"), corpus, ...flags]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ rows: 600, out });
    const rows = await read(out);
    const kept = [...Array(ROWS).keys()].filter((row) => row % 10 !== 0).slice(0, 600);
    expect(rows.map(({ row }) => row)).toEqual(kept);
    expect(rows.map(({ position }) => position)).toEqual(kept.map((row) => row % 10));
    expect(rows[0]).not.toHaveProperty("token");
    expect(rows.every((row) => row.values.every((value) => value > 0))).toBe(true);
    const all = ["encode", at("batch"), corpus, "--no-filters", "--out", out];
    expect((await runCli(all)).stderr).toMatch(
      /^error: .*filtered\.arrow: the file exists.*\(--overwrite\)\n$/,
    );
    expect((await runCli([...all, "--overwrite"])).stdout).toMatch(
      /^.*filtered\.arrow: 3,000 rows, L0 \d\.\d, /,
    );
  });

  it("and eval need no document column for all rows, which the model was trained with and files lack", async () => {
    await writeSmallCorpus(at("documents-1.arrow"), 500, 10);
    await writeSmallCorpus(at("documents-2.arrow"), 300);
    const first = at("documents-1.arrow");
    const all = at("documents-*.arrow");
    const options = { batch: 100, workers: 1, latents: 30, k: 4, documentColumn: "document" };
    await train([first], checkTrainRequest(options), at("documents"));
    const measured = { split: "all", rows: 1000, workers: 1 } as const;
    expect(await evaluateModel(at("documents"), [all], measured)).toMatchObject({ rows: 800 });
    const heldOut = evaluateModel(at("documents"), [all], { ...measured, split: "held-out" });
    await expect(heldOut).rejects.toThrow(/"document": cannot serve to hold out whole documents/);
    const report = await encodeCorpus(at("documents"), [all], { out: at("documents.arrow"), workers: 1 });
    expect(report.rows).toBe(800);
  });

  it("says which columns it does not copy, and why; strings are copied in whatever form they are stored", async () => {
    const columns = foreign("float32.file.arrow");
    const options = { batch: 5, workers: 1, latents: 8, k: 2, heldOut: 0 };
    await train([columns], checkTrainRequest(options), at("foreign"));
    const line = `columns that are not copied: "when" (type Timestamp<SECOND> is not read as a label)`;
    const all = ["encode", at("foreign"), columns, "--out", at("foreign.arrow"), "--json", "--overwrite"];
    const { status, stdout, stderr } = await runCli(all);
    expect([status, stderr]).toEqual([0, `warning: ${line}\n`]);
    expect((JSON.parse(stdout) as EncodeReport).warnings).toEqual([line]);
    expect((await runCli([...all, "--labels", "token"])).stderr).toBe("");
    expect((await runCli([...all, "--labels", "when"])).stderr).toMatch(
      /^error: --labels: the corpus has no label column when \(type Timestamp<SECOND> is not read as a label\); it has token, /,
    );
    const views = foreign("polars-lz4.newest.stream.arrow");
    await encodeCorpus(at("foreign"), [views], { out: at("views.arrow"), workers: 1 });
    expect((await read(at("views.arrow")))[21]).toMatchObject({
      text: "a text of more than twelve bytes 21",
    });
  });

  it("leaves nothing of a file when it is interrupted", async () => {
    const controller = new AbortController();
    const out = at("interrupted.arrow");
    const options = {
      out,
      workers: 1,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("stop")),
    };
    await expect(encodeCorpus(at("topk"), [corpus], options)).rejects.toThrow("stop");
    expect(readdirSync(folder).filter((name) => name.startsWith("interrupted"))).toEqual([]);
  });

  it("refuses to write over its corpus, under whatever name, and writes no empty file; labels can be left out", async () => {
    await copyFile(corpus, at("own.arrow"));
    await link(at("own.arrow"), at("other-name.arrow"));
    const over = await runCli([
      "encode",
      at("topk"),
      at("own.arrow"),
      "--out",
      at("other-name.arrow"),
      "--overwrite",
    ]);
    expect([over.status, over.stderr]).toEqual([
      2,
      `error: ${at("other-name.arrow")}: is one of the files that are read; choose another name\n`,
    ]);
    expect(await readFile(at("own.arrow"))).toEqual(await readFile(corpus));
    await symlink(at("elsewhere"), at("a-link.arrow"));
    const linked = await runCli(["encode", at("topk"), corpus, "--out", at("a-link.arrow"), "--overwrite"]);
    expect(linked.stderr).toMatch(/is there and is not a regular file/);
    const none = await runCli([
      "encode",
      at("topk"),
      corpus,
      "--where",
      "position > 99",
      "--out",
      at("none.arrow"),
    ]);
    expect([none.status, none.stderr]).toEqual([
      2,
      expect.stringMatching(/^error: the row filters leave out all 3000 rows: there is nothing to write\n$/),
    ]);
    expect(existsSync(at("none.arrow"))).toBe(false);
    const bare = await runCli(["encode", at("topk"), corpus, "--no-labels", "--out", at("bare.arrow")]);
    expect(bare.status).toBe(0);
    expect(Object.keys((await read(at("bare.arrow")))[0]!)).toEqual(["row", "latents", "values"]);
  });

  it.each([
    [
      "a label that is not there",
      ["--labels", "position,page"],
      /--labels: the corpus has no label column page; it has position, token/,
    ],
    ["a folder that is not there", ["--out", at("none/f.arrow")], /its folder does not exist/],
  ])("refuses %s", async (_, flags, message) => {
    const { status, stderr } = await runCli([
      "encode",
      at("topk"),
      corpus,
      "--out",
      at("never.arrow"),
      ...flags,
    ]);
    expect([status, stderr.trim().split("\n")]).toEqual([2, [expect.stringMatching(message)]]);
  });
});
