/** Rows of a corpus as a training run sees them: in their order, without those that are held out. */
import { open } from "node:fs/promises";
import { openCorpus, RowStream } from "@sparseloom/data";

/** Share of the rows that no training sees, and the seed that decides which. */
export const HELD_OUT = 0.02;
export const DATA_SEED = 0;

/** Which rows. */
export interface RowChoice {
  readonly corpus: string;
  readonly split: "train" | "held-out";
  /** Rows at most. */
  readonly rows: number;
}

/** Rows at a time. */
const CHUNK = 4096;

/** Some rows. */
interface Chunk {
  /** [rows, dIn]; overwritten by the next chunk. */
  readonly values: Float32Array;
  readonly dIn: number;
}

async function* chunksOf({ corpus: path, split, rows }: RowChoice): AsyncGenerator<Chunk> {
  await using corpus = await openCorpus([path]);
  const { dIn } = corpus;
  const heldOut = { fraction: HELD_OUT };
  await using stream = new RowStream(corpus, { seed: DATA_SEED, heldOut, split, shuffle: "none", epochs: 1 });
  const buffer = new Float32Array(new SharedArrayBuffer(4 * CHUNK * dIn));
  for (let left = rows; left > 0; ) {
    const filled = await stream.fill(buffer, Math.min(CHUNK, left));
    if (filled === 0) return;
    yield { values: buffer.subarray(0, filled * dIn), dIn };
    left -= filled;
  }
}

/** The rows in memory of their own. */
export async function readRows(choice: RowChoice): Promise<Chunk> {
  const chunks: Float32Array[] = [];
  let width = 0;
  for await (const { values, dIn } of chunksOf(choice)) {
    chunks.push(values.slice());
    width = dIn;
  }
  const all = new Float32Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return { values: all, dIn: width };
}

/** Writes the rows as bare float32 numbers. */
export async function writeRows(path: string, choice: RowChoice): Promise<void> {
  await using file = await open(path, "wx");
  for await (const { values } of chunksOf(choice)) {
    await file.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
}
