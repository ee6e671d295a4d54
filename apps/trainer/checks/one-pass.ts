/**
 * What training three models in one pass saves: its time against that of the three trained one after the other, from a
 * file in the page cache, and from a server that sends less than one model could train on. Prints ratios of one run's
 * minima, and what the server sent; compares the models' bytes.
 *
 *   node apps/trainer/checks/one-pass.ts [--d 128] [--latents 1024] [--batch 1024] [--rows 100000] [--repeats 3]
 *     [--share 0.2]    the server's speed, as a share of what one model trains on in a second; 0: none
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createSynthetic, writeCorpus } from "@sparseloom/data";
import { expandGrid } from "../src/group/grid.ts";
import { trainGroup } from "../src/group/train-group.ts";
import { train } from "../src/train.ts";

const { values: flags } = parseArgs({
  options: {
    d: { type: "string", default: "128" },
    latents: { type: "string", default: "1024" },
    batch: { type: "string", default: "1024" },
    rows: { type: "string", default: "100000" },
    repeats: { type: "string", default: "3" },
    share: { type: "string", default: "0.2" },
  },
});
const [dIn, latents, batch, rows, repeats, share] = (
  ["d", "latents", "batch", "rows", "repeats", "share"] as const
).map((key) => Number(flags[key]));

/** Sends byte ranges of one file, all connections together at `bytesPerSecond`. */
class SlowServer {
  bytesPerSecond = Number.POSITIVE_INFINITY;
  sent = 0;
  readonly #bytes: Uint8Array;
  readonly #server = createServer((request, response) => {
    const [, first = "0", last = "0"] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    void this.#send(Number(first), Number(last) + 1, response);
  });
  /** When the line is free again. */
  #free = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/corpus.arrow`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #send(from: number, asked: number, response: ServerResponse): Promise<void> {
    const { length } = this.#bytes;
    const to = Math.min(asked, length);
    const headers = { etag: '"1"', "content-length": to - from };
    response.writeHead(206, { ...headers, "content-range": `bytes ${from}-${to - 1}/${length}` });
    for (let at = from; at < to && !response.destroyed; at += 65536) {
      const part = this.#bytes.subarray(at, Math.min(to, at + 65536));
      const now = performance.now();
      this.#free = Math.max(this.#free, now) + (1000 * part.length) / this.bytesPerSecond;
      if (this.#free - now > 2) await sleep(this.#free - now);
      this.sent += part.length;
      response.write(part);
    }
    response.end();
  }
}

const folder = mkdtempSync(join(tmpdir(), "sparseloom-one-pass-"));
process.env["SPARSELOOM_CACHE_SIZE"] = "0";
let runs = 0;
let server: SlowServer | undefined;
const grid = expandGrid({ latents, batch, k: [8, 16, 32], lr: 1e-3, windowMb: 4, checkpointEvery: 1e6 });

interface Timed {
  readonly seconds: number;
  /** Bytes that the server sent. */
  readonly sent: number;
  readonly directories: readonly string[];
}

async function timed(run: (out: string) => Promise<string[]>): Promise<Timed> {
  const began = performance.now();
  const sent = server?.sent ?? 0;
  const directories = await run(join(folder, `run-${runs++}`));
  const seconds = (performance.now() - began) / 1000;
  return { seconds, sent: (server?.sent ?? 0) - sent, directories };
}

async function oneAfterTheOther(corpus: string): Promise<Timed> {
  return await timed(async (out) => {
    const directories = grid.map(({ name }) => join(out, name));
    for (const [i, { options }] of grid.entries()) await train([corpus], options, directories[i]);
    return directories;
  });
}

async function inOnePass(corpus: string): Promise<Timed> {
  return await timed(async (out) => {
    await trainGroup([corpus], grid, out);
    return grid.map(({ name }) => join(out, name));
  });
}

/** Times both ways several times in turn; prints the ratio of the minima. */
async function compare(what: string, corpus: string, times: number, bound: number): Promise<void> {
  let [apart, together] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let time = 0; time < times; time++) {
    const alone = await oneAfterTheOther(corpus);
    const group = await inOnePass(corpus);
    apart = Math.min(apart, alone.seconds);
    together = Math.min(together, group.seconds);
    if (server !== undefined) {
      const [per, all] = [alone.sent / 3e6, group.sent / 1e6].map((megabytes) => megabytes.toFixed(1));
      process.stdout.write(`sent: ${per} MB for a model alone, ${all} MB for the three in one pass\n`);
    }
    for (const [i, directory] of group.directories.entries()) {
      const [one, other] = [directory, alone.directories[i]].map((path) =>
        readFileSync(join(path, "model", "sae_weights.safetensors")),
      );
      if (!one.equals(other)) throw new Error(`${directory} is not the model trained alone`);
    }
  }
  const ratio = together / apart;
  process.stdout.write(
    `${what}: one after the other ${apart.toFixed(2)} s, in one pass ${together.toFixed(2)} s: ratio ${ratio.toFixed(2)}, ` +
      `bound ${bound}: ${ratio <= bound ? "ok" : "TOO SLOW"}\n`,
  );
  if (ratio > bound) process.exitCode = 1;
}

try {
  const corpus = join(folder, "corpus.arrow");
  const synthetic = createSynthetic({
    dIn,
    features: 2 * dIn,
    seed: 1,
    active: { kind: "exactly", count: 8 },
    magnitude: { kind: "uniform", low: 0.5, high: 1.5 },
  });
  const values = new Float32Array(rows * dIn);
  synthetic.fill(values, 0, rows);
  await writeCorpus(corpus, { dIn, type: "float32" }, [{ values }]);
  const { activationsPerSecond } = await train([corpus], grid[1].options, join(folder, "warm-up"));
  process.stdout.write(
    `d ${dIn}, ${latents} latents, mini-batches of ${batch}, ${rows} rows, k 8, 16, 32; k 16 alone: ${Math.round(activationsPerSecond)} activations/s\n`,
  );
  await compare("from the page cache", corpus, repeats, 1.02);
  if (share > 0) {
    server = new SlowServer(await readFile(corpus));
    const url = await server.listen();
    server.bytesPerSecond = share * activationsPerSecond * 4 * dIn;
    const megabytes = (server.bytesPerSecond / 1e6).toFixed(1);
    await compare(`from a server at ${megabytes} MB/s`, url, 1, 0.45);
  }
} finally {
  server?.close();
  rmSync(folder, { recursive: true });
}
