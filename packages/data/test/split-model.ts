/** The plain way to say which rows of a corpus belong to a split, for tests to compare with. */
import type { Corpus, SplitOptions } from "../src/index.ts";
import { keptRows } from "../src/index.ts";

/** Global indices of the rows of a split, ascending. */
export async function rowsOfSplit(corpus: Corpus, options: SplitOptions): Promise<number[]> {
  const rows: number[] = [];
  for (const block of corpus.blocks) {
    for (const row of await keptRows(corpus, block, options)) rows.push(block.firstRow + row);
  }
  return rows;
}
