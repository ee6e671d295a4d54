/**
 * How fast blocks come from a server on loopback, over HTTP and S3, with and without the cache, and from the same file
 * on disk: the cost of the client, since no network is in between; then with a round trip of 30 ms.
 *
 *   node packages/data/checks/remote-speed.ts [--mb 256] [--in-flight 4]
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import PQueue from "p-queue";
import { openCorpus, writeCorpus } from "../src/index.ts";
import type { RemoteOptions } from "../src/index.ts";
import { ObjectServer } from "../test/object-server.ts";

const D = 768;
const { values: options } = parseArgs({
  options: {
    mb: { type: "string", default: "256" },
    "in-flight": { type: "string", default: "4" },
    serve: { type: "string" },
    delay: { type: "string", default: "0" },
  },
});
if (options.serve === undefined) await measure();
else await serve(options.serve, Number(options.delay));

/** The other process: serves one file until its parent is gone. */
async function serve(file: string, delayMs: number): Promise<void> {
  const server = await ObjectServer.start();
  server.put("/acts/file.arrow", await readFile(file));
  if (delayMs > 0) server.fault = () => ({ kind: "delay", ms: delayMs });
  process.send?.(server.origin);
  process.on("disconnect", () => process.exit());
}

async function measure(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "sparseloom-speed-"));
  try {
    const file = join(folder, "file.arrow");
    const rows = Math.round((Number(options.mb) * 1e6) / (4 * D));
    const values = Float32Array.from({ length: 1000 * D }, (_, i) => Math.sin(i));
    const batches = function* (): Generator<{ values: Float32Array }> {
      for (let row = 0; row < rows; row += 1000) yield { values };
    };
    await writeCorpus(file, { dIn: D, type: "float32" }, batches());
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: "any", AWS_SECRET_ACCESS_KEY: "any" });
    for (const delayMs of [0, 30]) {
      const child = fork(import.meta.filename, ["--serve", file, "--delay", String(delayMs)]);
      const [origin] = (await once(child, "message")) as [string];
      const cacheFolder = join(folder, `cache-${delayMs}`);
      const uncached = { cacheBytes: 0, s3Endpoint: origin };
      const cached = { cacheBytes: 1e12, cacheFolder };
      const http = `${origin}/acts/file.arrow`;
      process.stdout.write(`round trip ${delayMs} ms, ${options["in-flight"]} blocks of 4 MiB in flight\n`);
      if (delayMs === 0) await time("file", file, {});
      await time("http", http, uncached);
      await time("s3", "s3://acts/file.arrow", uncached);
      await time("http, filling the cache", http, cached);
      await time("http, from the cache", http, cached);
      child.disconnect();
      await once(child, "exit");
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Prints the best of three readings; the first one of a cache that is being filled. */
async function time(name: string, path: string, remote: RemoteOptions): Promise<void> {
  const opening = performance.now();
  await using corpus = await openCorpus([path], { remote });
  const openMs = performance.now() - opening;
  let best = { rate: 0, cpu: 0 };
  for (let repeat = 0; repeat < (name.includes("filling") ? 1 : 3); repeat++) {
    const queue = new PQueue({ concurrency: Number(options["in-flight"]) });
    const slots: Uint8Array[] = Array.from(
      { length: queue.concurrency },
      () => new Uint8Array(new SharedArrayBuffer(2 ** 22)),
    );
    const began = performance.now();
    const cpu = process.cpuUsage();
    let bytes = 0;
    const jobs = Array.from(corpus.blocks, (block) =>
      queue.add(async () => {
        const slot = slots.pop() ?? new Uint8Array(2 ** 22);
        await corpus.readBlock(block, slot);
        bytes += block.byteLength;
        slots.push(slot);
      }),
    );
    await Promise.all(jobs);
    const { user, system } = process.cpuUsage(cpu);
    const rate = bytes / (performance.now() - began) / 1e6;
    if (rate > best.rate) best = { rate, cpu: (user + system) / 1e6 / (bytes / 1e9) };
  }
  process.stdout.write(
    `  ${name.padEnd(24)} ${best.rate.toFixed(2)} GB/s  ${best.cpu.toFixed(2)} CPU s/GB  opened in ${openMs.toFixed(0)} ms\n`,
  );
}
