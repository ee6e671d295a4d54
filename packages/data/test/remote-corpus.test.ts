/** Whole corpora on servers, over HTTP and S3, against the same files on disk. */
import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  countRows,
  fullStatistics,
  openCorpus,
  packCorpus,
  readStatistics,
  RowStream,
  sampleRows,
  writeCorpus,
  writeStatistics,
} from "../src/index.ts";
import { estimateStatistics } from "../src/statistics.ts";
import type { Corpus, RemoteOptions } from "../src/index.ts";
import { S3Connection } from "../src/remote/s3-source.ts";
import { resolveRemoteOptions } from "../src/remote/options.ts";
import { ObjectServer } from "./object-server.ts";
import { useTemporaryFolder } from "./temporary-folder.ts";

const path = useTemporaryFolder();
const D = 16;
const ROWS = 5000;
const KEYS = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG" };

let server: ObjectServer;
let remote: RemoteOptions;
beforeEach(async () => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", KEYS.accessKeyId);
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", KEYS.secretAccessKey);
  vi.stubEnv("XDG_CACHE_HOME", path("cache"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server[Symbol.asyncDispose]();
});

/** Starts a server with three files of a corpus and one that is none. */
async function serve(credentials?: typeof KEYS): Promise<readonly string[]> {
  server = await ObjectServer.start(credentials);
  remote = {
    cacheBytes: 0,
    backoffMs: 1,
    silenceMs: 300,
    s3Endpoint: credentials === undefined ? undefined : server.origin,
  };
  const names = ["a 1.arrow", "b.arrow", "c.arrow"];
  for (const [i, name] of names.entries()) {
    const values = Float32Array.from({ length: ROWS * D }, (_, j) => Math.sin(i + j));
    const document = Int32Array.from({ length: ROWS }, (_, row) => row >> 4);
    await writeCorpus(path(name), { dIn: D, type: "float32", labels: { document: "int32" } }, [
      { values, labels: { document: [...document] } },
    ]).catch((error: Error & { kind?: string }) => {
      if (error.kind !== "exists") throw error;
    });
    server.put(`/acts/run/${name}`, await readFile(path(name)));
  }
  // A folder of datasets has an index beside its data, and splits below.
  for (const other of ["notes.txt", "state.json", "cache-1a2b.arrow", "test/d.arrow"]) {
    server.put(`/acts/run/${other}`, Buffer.from("not activations"));
  }
  return names.map(path);
}

async function streamed(corpus: Corpus): Promise<Float32Array> {
  await using stream = new RowStream(corpus, { seed: 3, split: "train", windowBytes: 2 ** 18 });
  const all = new Float32Array(corpus.rows * D);
  const rows = await stream.fill(all, corpus.rows);
  return all.subarray(0, rows * D);
}

describe("a corpus on an HTTP server", () => {
  it("gives the same stream, sample and fingerprint as the files, in spite of faults", async () => {
    const files = await serve();
    await using local = await openCorpus(files, { blockBytes: 2 ** 17 });
    const urls = ["a%201.arrow", "b.arrow", "c.arrow"].map((name) => `${server.origin}/acts/run/${name}`);
    server.fault = (_request, number) =>
      number % 3 === 1
        ? { kind: "drop", after: 20_000 }
        : number % 11 === 0
          ? { kind: "truncate", after: 100 }
          : undefined;
    await using corpus = await openCorpus(urls, { blockBytes: 2 ** 17, remote });
    expect(await streamed(corpus)).toEqual(await streamed(local));
    const sample = { rows: 100, seed: 1 };
    expect(await sampleRows(corpus, sample)).toEqual(await sampleRows(local, sample));
    expect(corpus.rows).toBe(3 * ROWS);
  });

  it("is measured and counted with several blocks under way, to the same numbers", async () => {
    const [file = ""] = await serve();
    const blockBytes = 100_000;
    await using local = await openCorpus([file], { blockBytes });
    await using corpus = await openCorpus([`${server.origin}/acts/run/a%201.arrow`], { blockBytes, remote });
    // Halves of blocks come in turns: none may end up in the memory of another.
    server.fault = (_request, number) =>
      number % 2 === 0 ? { kind: "drop", after: 60_000 } : { kind: "delay", ms: 5 };
    expect(server.mostAtOnce).toBe(1);
    const options = { seed: 2, split: "train", filters: { where: "document > 2", maxNorm: 2.85 } } as const;
    const measured = await fullStatistics(corpus, options);
    expect(server.mostAtOnce).toBeGreaterThan(1);
    expect(measured).toEqual(await fullStatistics(local, options));
    expect(measured.filteredRows).toBeGreaterThan(0);
    expect(await countRows(corpus, options)).toBe(await countRows(local, options));
  });

  it("keeps its statistics in the user's cache folder", async () => {
    await serve();
    const url = `${server.origin}/acts/run/b.arrow?signature=1`;
    await using corpus = await openCorpus([url], { remote });
    const statistics = await estimateStatistics(corpus, { seed: 0 });
    expect(await writeStatistics(corpus, statistics)).toBe(
      path(`cache/sparseloom/${corpus.fingerprint}.json`),
    );
    await using again = await openCorpus([url.replace("=1", "=2")], { remote });
    expect(await readStatistics(again)).toEqual(statistics);
  });

  it("stops with the address when an object changes in the middle of a stream", async () => {
    await serve();
    const url = `${server.origin}/acts/run/b.arrow`;
    await using corpus = await openCorpus([url], { blockBytes: 2 ** 17, remote });
    await using stream = new RowStream(corpus, { seed: 3, windowBytes: 2 ** 17, split: "all" });
    const into = new Float32Array(100 * D);
    await stream.fill(into, 100);
    server.put("/acts/run/b.arrow", await readFile(path("c.arrow")));
    const reading = async (): Promise<void> => {
      while ((await stream.fill(into, 100)) > 0);
    };
    await expect(reading()).rejects.toMatchObject({ kind: "changed", path: url });
  });
});

describe("a dataset's folder on an HTTP server", () => {
  /** Puts the files of the local corpus in a folder, under these names. */
  async function folder(path: string, names: readonly string[], files: readonly string[]): Promise<void> {
    for (const [i, name] of names.entries()) server.put(`${path}${name}`, await readFile(files[i]!));
  }
  const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  const listed = (...names: string[]): Uint8Array =>
    json({ _data_files: names.map((filename) => ({ filename })) });

  it("is the files that its state.json lists, or that of its only split, with the address's query", async () => {
    const files = await serve();
    await using local = await openCorpus(files);
    await folder("/ds/", ["1 of 3.arrow", "2.arrow", "3.arrow", "cache-1.arrow"], files.concat(files));
    server.put("/ds/state.json", listed("1 of 3.arrow", "2.arrow", "3.arrow"));
    server.failNext({ kind: "status", status: 503 }, { kind: "drop", after: 10 });
    await using corpus = await openCorpus([`${server.origin}/ds/?token=1`], { remote });
    expect(corpus.files.map(({ path }) => path)).toEqual(
      ["1%20of%203.arrow", "2.arrow", "3.arrow"].map((name) => `${server.origin}/ds/${name}?token=1`),
    );
    expect(await streamed(corpus)).toEqual(await streamed(local));

    server.put("/dict/dataset_dict.json", json({ splits: ["train"] }));
    server.put("/dict/train/state.json", listed("only.arrow"));
    await folder("/dict/train/", ["only.arrow"], files);
    await using split = await openCorpus([`${server.origin}/dict/`], { remote });
    expect(split.files.map(({ path }) => path)).toEqual([`${server.origin}/dict/train/only.arrow`]);
  });

  it("is found by the name of its first shard where there is no state.json", async () => {
    const files = await serve();
    const names = [0, 1, 2].map((i) => `data-0000${i}-of-00003.arrow`);
    await folder("/bare/", names, files);
    await using corpus = await openCorpus([`${server.origin}/bare/`], { remote });
    expect(corpus.files.map(({ path }) => path)).toEqual(
      names.map((name) => `${server.origin}/bare/${name}`),
    );
    expect(corpus.rows).toBe(3 * ROWS);
    server.remove("/bare/data-00002-of-00003.arrow");
    await expect(openCorpus([`${server.origin}/bare/`], { remote })).rejects.toThrow(
      "bare/data-00002-of-00003.arrow: there is no such object",
    );
  });

  it("is packed as the corpus it is, with the address's query", async () => {
    const files = await serve();
    await folder("/ds/", ["1.arrow"], files);
    server.put("/ds/state.json", listed("1.arrow"));
    const address = `${server.origin}/ds/?token=1`;
    expect(await packCorpus(path("packed.arrow"), [address])).toMatchObject({ rows: ROWS, sources: 1 });
    await using packed = await openCorpus([path("packed.arrow")]);
    await using local = await openCorpus([files[0]!]);
    expect(await streamed(packed)).toEqual(await streamed(local));
  });

  it("says what to give instead where it cannot be found", async () => {
    await serve();
    const refusal = async (address: string): Promise<string> =>
      String(await openCorpus([`${server.origin}${address}`], { remote }).catch((error: unknown) => error));
    expect(await refusal("/acts/none/")).toMatch(
      /none\/: there is no state\.json to be read, and no data-00000-of-000NN.* give each file's address$/,
    );
    expect(await refusal("/acts/none")).toMatch(
      /none: there is no such object .*; a folder's address ends in \/$/,
    );
    server.put("/dict/dataset_dict.json", json({ splits: ["train", "test"] }));
    expect(await refusal("/dict/")).toMatch(/splits train, test; name one, for example .*\/dict\/train\/$/);
    server.put("/bad/state.json", Buffer.from("<html>"));
    expect(await refusal("/bad/")).toMatch(/bad\/state\.json: is not JSON$/);
    server.put("/up/state.json", listed("../a.arrow"));
    expect(await refusal("/up/")).toMatch(
      /names the data file "\.\.\/a\.arrow", which is not one of its folder$/,
    );
    server.fault = () => ({ kind: "status", status: 500 });
    expect(await refusal("/bad/")).toMatch(/the server did not deliver in 8 attempts .* answered 500/);
  });
});

describe("a corpus in S3", () => {
  it("is found by prefix, glob and key, and read with signed requests", async () => {
    const files = await serve(KEYS);
    await using local = await openCorpus(files, { blockBytes: 2 ** 17 });
    server.fault = (_request, number) => (number % 3 === 1 ? { kind: "drop", after: 20_000 } : undefined);
    for (const patterns of [
      ["s3://acts/run/"],
      ["s3://acts/r*/*.arrow"],
      ["s3://acts/run/{b,c}.arrow", "s3://acts/run/a 1.arrow", "s3://acts/run/b.arrow"],
    ]) {
      await using corpus = await openCorpus(patterns, { blockBytes: 2 ** 17, remote });
      expect(corpus.files.map((file) => file.path)).toEqual(
        ["a 1.arrow", "b.arrow", "c.arrow"].map((name) => `s3://acts/run/${name}`),
      );
      expect(corpus.fingerprint).toBe(local.fingerprint);
      expect(await streamed(corpus)).toEqual(await streamed(local));
    }
  });

  it("is a dataset's folder without state.json, but not its indices", async () => {
    const [file = ""] = await serve(KEYS);
    server.put("/acts/bare/data-00000-of-00001.arrow", await readFile(file));
    for (const name of ["dataset_info.json", "cache-1a2b.arrow"]) {
      server.put(`/acts/bare/${name}`, Buffer.from("not activations"));
    }
    await using corpus = await openCorpus(["s3://acts/bare/"], { remote });
    expect(corpus.files.map(({ path }) => path)).toEqual(["s3://acts/bare/data-00000-of-00001.arrow"]);
  });

  it("waits for servers that fall silent, and gives up on those that stay so", async () => {
    await serve(KEYS);
    await using corpus = await openCorpus(["s3://acts/run/b.arrow"], { remote });
    const [block] = corpus.blocks;
    const into = new Uint8Array(block!.byteLength);
    server.failNext({ kind: "stall" }, { kind: "stall", after: 1000 }, { kind: "status", status: 503 });
    await corpus.readBlock(block!, into);
    server.fault = () => ({ kind: "stall", after: 10 });
    await expect(corpus.readBlock(block!, into)).rejects.toThrow(
      /^s3:\/\/acts\/run\/b.arrow: the server did not deliver in 8 attempts .* no byte came for 0.3 s$/,
    );
  });

  it("fails loudly when an object changes", async () => {
    await serve(KEYS);
    await using corpus = await openCorpus(["s3://acts/run/b.arrow"], { remote });
    server.put("/acts/run/b.arrow", await readFile(path("c.arrow")));
    const [block] = corpus.blocks;
    await expect(corpus.readBlock(block!, new Uint8Array(block!.byteLength))).rejects.toMatchObject({
      kind: "changed",
      message: expect.stringContaining("412: PreconditionFailed"),
    });
  });

  it("says what is wrong with addresses and rights", async () => {
    await serve(KEYS);
    for (const [pattern, words] of [
      ["s3://acts/run/none.arrow", "there is no such object (404: NoSuchKey)"],
      [
        "s3://acts/none/",
        "no .arrow, .arrows, .feather or .ipc object is there; name the folder that holds them, or a glob",
      ],
      ["s3://acts/run/*.feather", "the pattern matches no object"],
      ["s3://", "names no object; an address is s3://bucket/key"],
    ] as const) {
      await expect(openCorpus([pattern], { remote })).rejects.toThrow(`${pattern}: ${words}`);
    }
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "another");
    await expect(openCorpus(["s3://acts/run/b.arrow"], { remote })).rejects.toThrow(
      "the server refuses to give it (403: SignatureDoesNotMatch)",
    );
    await expect(openCorpus(["s3://acts/run/"], { remote })).rejects.toThrow(
      "the bucket cannot be listed (403: SignatureDoesNotMatch)",
    );
  });

  it("names the command that installs the SDK where it is missing", async () => {
    await serve();
    const missing = Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
    await expect(
      S3Connection.open(resolveRemoteOptions(), () => Promise.reject(missing)),
    ).rejects.toMatchObject({
      kind: "unsupported",
      message: "s3:// needs the package @aws-sdk/client-s3; install it with: npm install @aws-sdk/client-s3",
    });
  });
});
