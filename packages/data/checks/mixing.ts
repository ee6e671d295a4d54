/**
 * How well a stream mixes: where rows that are neighbours in the files (tokens of one document) come in it, and how
 * many documents a mini-batch has. The numbers of docs/decisions/008-shuffling.md. What counts is rows per block and
 * per window, so rows of one number stand for rows of `--d`.
 *
 *   node packages/data/checks/mixing.ts [--rows 1000000] [--d 768] [--batch 4096] [--document 128]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openCorpus, RowStream, writeCorpus } from "../src/index.ts";
import type { Shuffle } from "../src/index.ts";

const { values: flags } = parseArgs({
  options: {
    rows: { type: "string", default: "1000000" },
    d: { type: "string", default: "768" },
    batch: { type: "string", default: "4096" },
    document: { type: "string", default: "128" },
  },
});
const rows = Number(flags.rows);
const dIn = Number(flags.d);
const batch = Number(flags.batch);
const document = Number(flags.document);

const MIB = 2 ** 20;
const CASES: readonly { shuffle: Shuffle; blockBytes: number; windowBytes: number }[] = [
  { shuffle: "none", blockBytes: MIB, windowBytes: 12e6 },
  { shuffle: "window", blockBytes: 4 * MIB, windowBytes: 12e6 },
  { shuffle: "window", blockBytes: MIB, windowBytes: 12e6 },
  { shuffle: "window", blockBytes: MIB / 4, windowBytes: 12e6 },
  { shuffle: "window", blockBytes: MIB / 16, windowBytes: 12e6 },
  { shuffle: "window", blockBytes: MIB, windowBytes: 100e6 },
  { shuffle: "window", blockBytes: MIB / 16, windowBytes: 100e6 },
  { shuffle: "window", blockBytes: MIB, windowBytes: 1000e6 },
  { shuffle: "full", blockBytes: MIB, windowBytes: 12e6 },
];

/** The place in the stream of each row of the corpus. */
async function placesOf(
  path: string,
  { shuffle, blockBytes, windowBytes }: (typeof CASES)[number],
): Promise<Uint32Array> {
  await using corpus = await openCorpus([path], { blockBytes: Math.floor(blockBytes / (4 * dIn)) * 4 });
  await using stream = new RowStream(corpus, { seed: 0, shuffle, windowBytes: windowBytes / dIn });
  const places = new Uint32Array(rows);
  const values = new Float32Array(batch);
  const rowIds = new Float64Array(batch);
  let place = 0;
  for (let count; (count = await stream.fill(values, batch, rowIds)) > 0; ) {
    for (const row of rowIds.subarray(0, count)) places[row] = place++;
  }
  return places;
}

function median(values: Uint32Array): number {
  return values.toSorted()[values.length >> 1]!;
}

const folder = mkdtempSync(join(tmpdir(), "sparseloom-mixing-"));
try {
  const path = join(folder, "rows.arrow");
  await writeCorpus(path, { dIn: 1, type: "float32" }, [{ values: new Float32Array(rows) }]);
  process.stdout.write(
    `${rows} rows of ${dIn}, documents of ${document} rows, mini-batches of ${batch}\n` +
      "shuffle  block KiB  window MB  median distance of neighbours  in one mini-batch  documents per mini-batch\n",
  );
  for (const one of CASES) {
    const places = await placesOf(path, one);
    const distances = new Uint32Array(rows);
    let pairs = 0;
    let together = 0;
    for (let row = 0; row + 1 < rows; row++) {
      if ((row + 1) % document === 0) continue;
      distances[pairs++] = Math.abs(places[row]! - places[row + 1]!);
      if (Math.floor(places[row]! / batch) === Math.floor(places[row + 1]! / batch)) together++;
    }
    const inBatch = new Set<number>();
    const batches = Math.ceil(rows / batch);
    for (let row = 0; row < rows; row++) {
      inBatch.add(Math.floor(row / document) * batches + Math.floor(places[row]! / batch));
    }
    const cells = [
      one.shuffle.padEnd(7),
      String(one.blockBytes / 1024).padStart(9),
      String(one.windowBytes / 1e6).padStart(9),
      String(median(distances.subarray(0, pairs))).padStart(29),
      `${((100 * together) / pairs).toFixed(1)} %`.padStart(17),
      String(Math.round(inBatch.size / batches)).padStart(24),
    ];
    process.stdout.write(`${cells.join("  ")}\n`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
