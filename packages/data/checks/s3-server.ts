/**
 * Checks S3 reading against a server that others wrote: moto, from PyPI (`pip install "moto[s3,server]"`). Too heavy for
 * the tests, whose own server is held to the same answers here.
 *
 *   node packages/data/checks/s3-server.ts [--python python3]
 *
 * Exit status 0: all agrees, or moto is not there to ask; 1: something does not.
 */
import { deepStrictEqual, ok, rejects } from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { isCorpusError, openCorpus, RowStream, writeCorpus } from "../src/index.ts";
import type { Corpus } from "../src/index.ts";

const D = 64;
const ROWS = 20_000;

const { values: options } = parseArgs({ options: { python: { type: "string", default: "python3" } } });
const folder = await mkdtemp(join(tmpdir(), "sparseloom-s3-"));
const port = await freePort();
const endpoint = `http://127.0.0.1:${port}`;
const server = spawn(options.python, ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)], {
  stdio: ["ignore", "ignore", "ignore"],
});
try {
  process.exitCode = await main();
} finally {
  server.kill();
  await rm(folder, { recursive: true, force: true });
}

async function main(): Promise<number> {
  if (!(await isUp())) {
    process.stdout.write(`skipped: ${options.python} does not start moto's server\n`);
    return 0;
  }
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: "any", AWS_SECRET_ACCESS_KEY: "any" });
  const client = new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: "acts" }));
  const put = async (key: string, path: string): Promise<void> => {
    await client.send(new PutObjectCommand({ Bucket: "acts", Key: key, Body: await readFile(path) }));
  };
  const files = ["a 1.arrow", "b.arrow", "c.arrow"].map((name) => join(folder, name));
  for (const [i, file] of files.entries()) {
    const values = Float32Array.from({ length: ROWS * D }, (_, j) => Math.sin(i + j));
    await writeCorpus(file, { dIn: D, type: "float32" }, [{ values }]);
    await put(`run/${file.slice(folder.length + 1)}`, file);
  }
  const remote = { s3Endpoint: endpoint, cacheFolder: join(folder, "cache"), backoffMs: 10 };
  await using local = await openCorpus(files);
  for (const pattern of ["s3://acts/run/", "s3://acts/*/*.arrow"]) {
    await using corpus = await openCorpus([pattern], { remote });
    deepStrictEqual(corpus.fingerprint, local.fingerprint);
    ok(Buffer.from((await streamed(corpus)).buffer).equals(Buffer.from((await streamed(local)).buffer)));
  }
  await using corpus = await openCorpus(["s3://acts/run/b.arrow"], { remote: { ...remote, cacheBytes: 0 } });
  await put("run/b.arrow", files[2] ?? "");
  await rejects(streamed(corpus), (error) => isCorpusError(error, "changed"));
  const missing = openCorpus(["s3://acts/run/d.arrow"], { remote });
  await rejects(missing, (error) => isCorpusError(error, "not-found"));
  client.destroy();
  process.stdout.write("ok: listed, read, and a changed object noticed, on moto's server\n");
  return 0;
}

async function streamed(corpus: Corpus): Promise<Float32Array> {
  await using stream = new RowStream(corpus, { seed: 1 });
  const all = new Float32Array(corpus.rows * D);
  await stream.fill(all, corpus.rows);
  return all;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port: free } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return free;
}

/** Waits until the server answers, at most 30 s; false when Python or moto is not there. */
async function isUp(): Promise<boolean> {
  let gone = false;
  server.on("error", () => (gone = true));
  server.on("exit", () => (gone = true));
  for (let i = 0; i < 150 && !gone; i++) {
    // Refused until the server listens, which is what is waited for.
    const answer = await fetch(endpoint).catch(() => undefined);
    if (answer !== undefined) return true;
    await delay(200);
  }
  return false;
}
