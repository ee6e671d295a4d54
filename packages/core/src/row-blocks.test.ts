import fc from "fast-check";
import { expect, it } from "vitest";
import { blockCount, blockStart, DEEP_ROWS, SPARSE_ROWS } from "./row-blocks.ts";

it.each([
  { kind: "sparse", sizes: SPARSE_ROWS },
  { kind: "deep", sizes: DEEP_ROWS },
])(
  "$kind blocks are whole but the last, cover all rows once, and fit what is planned for them",
  ({ sizes: of }) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 40 }), (rows, workers) => {
        const blocks = blockCount(rows, workers, of);
        const starts = Array.from({ length: blocks + 1 }, (_, block) => blockStart(block, rows, workers, of));
        const sizes = starts.slice(1).map((start, block) => start - starts[block]);
        expect(starts[0]).toBe(0);
        expect(starts[blocks]).toBe(rows);
        for (const size of sizes) expect(size > 0 && size <= of.most).toBe(true);
        for (const size of sizes.slice(0, -1)) expect(size % of.multiple).toBe(0);
      }),
    );
  },
);

it("every worker's last block is cut in four, or in pieces of two panels", () => {
  const sizes = (rows: number, workers: number, of = SPARSE_ROWS): number[] => {
    const start = (block: number): number => blockStart(block, rows, workers, of);
    return Array.from(
      { length: blockCount(rows, workers, of) },
      (_, block) => start(block + 1) - start(block),
    );
  };
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
  expect(sizes(2048, 2, DEEP_ROWS)).toEqual([
    ...Array.from({ length: 19 }, () => 96),
    ...Array.from({ length: 9 }, () => 24),
    8,
  ]);
  expect(sizes(256, 16)).toEqual(Array.from({ length: 16 }, () => 16));
});
