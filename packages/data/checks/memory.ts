/**
 * Streams corpora of several sizes in a bare process and compares its peak resident memory with its bound: 110 MB
 * plus two windows and the slots, however large the corpus and however its batches are cut. Of these, 50 MB are for the
 * pages of Node's own program, which are not counted: they are the page cache's, and how many of them are mapped is the
 * kernel's choice. The files are sparse, and larger corpora are one file under many names, so that the disk need not
 * hold them. Linux only: reads /proc.
 *
 * V8 lets the space for young objects grow to 96 MB in a process that runs for long, whatever the corpus; the process
 * is told to keep it at 3 x 4 MB, as whoever counts megabytes would (`--semi-space-mb 0` leaves it to V8).
 *
 *   node packages/data/checks/memory.ts [--gb 2,50] [--shuffle window|full|none] [--window-mb 12] [--semi-space-mb 4]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { FileEncoder } from "../src/arrow/encode.ts";
import { openCorpus, RowStream } from "../src/index.ts";
import type { Shuffle } from "../src/index.ts";

const BOUND_MB = 110;
const PROGRAM_MB = 50;
/** What a larger corpus may add within the bound: some 70 bytes per batch and 4 per block, and slack of the collector. */
const GROWTH_MB = 10;
/** What a full shuffle adds: the garbage of reading rows one by one. */
const FULL_MB = 45;
const D_IN = 768;
const BATCH_ROWS = 4096;
const BLOCK_BYTES = 2 ** 20;
const FILE_GB = 3;

const { values: flags, positionals } = parseArgs({
  options: {
    gb: { type: "string", default: "2,50" },
    shuffle: { type: "string", default: "window" },
    "window-mb": { type: "string", default: "12" },
    "semi-space-mb": { type: "string", default: "4" },
  },
  allowPositionals: true,
});
const windowBytes = Number(flags["window-mb"]) * 1e6;
const slotBytes = 2 * BATCH_ROWS * D_IN * 4;

/** What the streaming process reports. */
interface Peak {
  readonly rows: number;
  readonly seconds: number;
  /** The most that was resident, without the pages of mapped files: Node's own program, which only become more. */
  readonly peakMb: number;
  readonly windowMb: number;
}

if (positionals[0] === "stream") process.stdout.write(JSON.stringify(await streamAll(positionals.slice(1))));
else await compare();

/** In the bare process: one epoch into two slots of shared memory. */
async function streamAll(paths: readonly string[]): Promise<Peak> {
  const began = performance.now();
  await using corpus = await openCorpus(paths, { blockBytes: BLOCK_BYTES });
  const transform = { mean: new Float32Array(D_IN).fill(1), scale: 2 };
  const shuffle = flags.shuffle as Shuffle;
  await using stream = new RowStream(corpus, { seed: 1, windowBytes, shuffle, transform });
  const slots = [0, 1].map(() => new Float32Array(new SharedArrayBuffer(slotBytes / 2)));
  let rows = 0;
  for (let slot = 0, count; (count = await stream.fill(slots[slot]!, BATCH_ROWS)) > 0; slot = 1 - slot) {
    rows += count;
  }
  if (rows !== corpus.rows) throw new Error(`${rows} rows were delivered of ${corpus.rows}`);
  const status = readFileSync("/proc/self/status", "utf8");
  const megabytes = (name: string) => {
    const found = new RegExp(`${name}:\\s+(\\d+) kB`).exec(status);
    if (found === null) throw new Error(`this check needs Linux: /proc/self/status has no ${name}`);
    return (Number(found[1]) * 1024) / 1e6;
  };
  return {
    rows,
    seconds: (performance.now() - began) / 1000,
    peakMb: megabytes("VmHWM") - megabytes("RssFile"),
    windowMb: stream.windows.bytesPerWindow / 1e6,
  };
}

async function compare(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "sparseloom-memory-"));
  try {
    for (const rowsPerBatch of [1000, Infinity]) {
      let smallest: number | undefined;
      for (const gb of flags.gb.split(",").map(Number)) {
        const { name, paths } = await corpusOf(folder, gb, rowsPerBatch);
        // Once to fill the compile cache: what is measured starts as compiled JavaScript would.
        if (smallest === undefined) run(folder, paths.slice(0, 1));
        const { peakMb, windowMb, seconds } = run(folder, paths);
        const bound =
          BOUND_MB - PROGRAM_MB + (flags.shuffle === "full" ? FULL_MB : 0) + 2 * windowMb + slotBytes / 1e6;
        smallest ??= peakMb;
        const fits = peakMb <= bound && peakMb <= smallest + GROWTH_MB;
        if (!fits) process.exitCode = 1;
        process.stdout.write(
          `${gb} GB, ${name}, shuffle ${flags.shuffle}: peak ${peakMb.toFixed(0)} MB, bound ${bound.toFixed(0)} MB, ` +
            `${(gb / seconds).toFixed(1)} GB/s: ${fits ? "ok" : "TOO MUCH"}\n`,
        );
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Streams in a process of its own. */
function run(folder: string, paths: readonly string[]): Peak {
  const options = [`--shuffle=${flags.shuffle}`, `--window-mb=${flags["window-mb"]}`];
  const youngMb = Number(flags["semi-space-mb"]);
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...(youngMb > 0 ? [`--max-semi-space-size=${youngMb}`] : []),
      fileURLToPath(import.meta.url),
      ...options,
      "stream",
      ...paths,
    ],
    { encoding: "utf8", env: { ...process.env, NODE_COMPILE_CACHE: join(folder, "compile-cache") } },
  );
  if (status !== 0) throw new Error(`the streaming process ended with status ${status}: ${stderr}`);
  return JSON.parse(stdout) as Peak;
}

/** A corpus of about `gb` 10⁹ bytes: files of the same contents. */
async function corpusOf(
  folder: string,
  gb: number,
  rowsPerBatch: number,
): Promise<{ name: string; paths: string[] }> {
  const files = Math.ceil(gb / FILE_GB);
  const rows = Math.ceil((gb * 1e9) / files / (4 * D_IN));
  const name = rowsPerBatch === Infinity ? "one batch per file" : `batches of ${rowsPerBatch} rows`;
  const stem = join(folder, `${gb}-${rowsPerBatch}`);
  const first = `${stem}-0.arrow`;
  await writeSparse(first, rows, Math.min(rows, rowsPerBatch));
  const paths = [first];
  for (let i = 1; i < files; i++) {
    const path = `${stem}-${i}.arrow`;
    symlinkSync(first, path);
    paths.push(path);
  }
  return { name: `${files} files, ${name}`, paths };
}

/** An Arrow file of rows of zeros that are not on the disk. */
async function writeSparse(path: string, rows: number, rowsPerBatch: number): Promise<void> {
  const encoder = new FileEncoder({
    columns: [{ name: "activation", dIn: D_IN }],
    type: "float32",
    labels: {},
  });
  // Never written to nor read, so it takes no memory.
  const zeros = new Uint8Array(rowsPerBatch * D_IN * 4);
  const file = await open(path, "w");
  try {
    let position = 0;
    const write = async (chunks: readonly Uint8Array[]): Promise<void> => {
      for (const chunk of chunks) {
        if (chunk.buffer !== zeros.buffer) await file.write(chunk, 0, chunk.length, position);
        position += chunk.length;
      }
    };
    await write(encoder.start());
    for (let done = 0; done < rows; done += rowsPerBatch) {
      const count = Math.min(rowsPerBatch, rows - done);
      await write(encoder.batch(count, [zeros.subarray(0, count * D_IN * 4)], []));
    }
    await write(encoder.end());
  } finally {
    await file.close();
  }
}
