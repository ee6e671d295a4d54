import fc from "fast-check";
import { expect, it } from "vitest";
import { ROW_BLOCK } from "./block-sizes.ts";
import { blockCount, blockStart } from "./row-blocks.ts";
import { PANEL } from "./tiles.ts";

it("blocks are whole panels but the last, cover all rows once, and fit what is planned for them", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 40 }), (rows, workers) => {
      const blocks = blockCount(rows, workers);
      const starts = Array.from({ length: blocks + 1 }, (_, block) => blockStart(block, rows, workers));
      const sizes = starts.slice(1).map((start, block) => start - starts[block]);
      expect(starts[0]).toBe(0);
      expect(starts[blocks]).toBe(rows);
      for (const size of sizes) expect(size > 0 && size <= ROW_BLOCK).toBe(true);
      for (const size of sizes.slice(0, -1)) expect(size % PANEL).toBe(0);
    }),
  );
});

it("every worker's last block is cut in four, or in pieces of two panels", () => {
  const sizes = (rows: number, workers: number): number[] =>
    Array.from(
      { length: blockCount(rows, workers) },
      (_, block) => blockStart(block + 1, rows, workers) - blockStart(block, rows, workers),
    );
  expect(sizes(4096, 2)).toEqual([
    ...Array.from({ length: 30 }, () => 128),
    ...Array.from({ length: 8 }, () => 32),
  ]);
  expect(sizes(1024, 2)).toEqual([
    ...Array.from({ length: 9 }, () => 88),
    ...Array.from({ length: 9 }, () => 24),
    16,
  ]);
  expect(sizes(260, 1)).toEqual([128, 128, 4]);
  expect(sizes(256, 16)).toEqual(Array.from({ length: 16 }, () => 16));
});
