/** Reads a whole corpus the plain way, for tests to compare with. */
import type { Corpus } from "../src/index.ts";
import { createFloat16Table } from "../src/float16.ts";

/** All values as float32, `[rows, dIn]`, block by block. */
export async function readAll(corpus: Corpus): Promise<Float32Array> {
  const all = new Float32Array(corpus.rows * corpus.dIn);
  const table = createFloat16Table();
  for (const block of corpus.blocks) {
    const bytes = new Uint8Array(block.byteLength);
    await corpus.readBlock(block, bytes);
    const stored = corpus.type === "float32" ? new Float32Array(bytes.buffer) : new Uint16Array(bytes.buffer);
    for (const [i, value] of stored.entries()) {
      all[block.firstRow * corpus.dIn + i] = corpus.type === "float32" ? value : table[value]!;
    }
  }
  return all;
}

/** All values of one label column. */
export async function readAllLabels(corpus: Corpus, name: string): Promise<unknown[]> {
  const all: unknown[] = [];
  for (const block of corpus.blocks) {
    const labels = (await corpus.readLabels(block, [name])).get(name);
    if (labels !== undefined) all.push(...labels);
  }
  return all;
}
