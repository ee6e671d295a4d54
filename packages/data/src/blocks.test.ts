import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findRow, planBlocks } from "./blocks.ts";

const files = fc.array(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 6 }), { maxLength: 5 });

describe("the blocks of a corpus", () => {
  it("hold every row once, in order, each within one file", () => {
    fc.assert(
      fc.property(files, fc.integer({ min: 1, max: 12 }), (batches, rowsPerBlock) => {
        const blocks = planBlocks(
          batches.map((rows) => Float64Array.from(rows)),
          8,
          rowsPerBlock,
        );
        const rows = batches.flatMap((file, f) =>
          file.flatMap((count, batch) =>
            Array.from({ length: count }, (_, row) => ({ file: f, batch, row })),
          ),
        );
        const read = [...blocks].flatMap((block) => {
          expect(block.rows).toBeGreaterThan(0);
          expect(block.byteLength).toBe(8 * block.rows);
          expect(new Set(block.segments.map(({ file }) => file)).size).toBe(1);
          return block.segments.flatMap(({ file, batch, firstRow, rows: count }) =>
            Array.from({ length: count }, (_, i) => ({ file, batch, row: firstRow + i })),
          );
        });
        expect(read).toEqual(rows);
      }),
    );
  });

  it("are found by their index, from either end, and by a row that they hold", () => {
    fc.assert(
      fc.property(files, fc.integer({ min: 1, max: 12 }), (batches, rowsPerBlock) => {
        const blocks = planBlocks(
          batches.map((rows) => Float64Array.from(rows)),
          8,
          rowsPerBlock,
        );
        let row = 0;
        for (const [index, block] of [...blocks].entries()) {
          expect(blocks.at(index)).toMatchObject({ index, firstRow: row, rows: block.rows });
          expect(blocks.at(index - blocks.length)?.index).toBe(index);
          for (const { batch, firstRow, rows } of block.segments) {
            for (let i = 0; i < rows; i++, row++) {
              expect(blocks.holding(row).index).toBe(index);
              expect(findRow(blocks, row)).toMatchObject({ segment: { batch }, batchRow: firstRow + i });
            }
          }
        }
        for (const none of [blocks.length, -1 - blocks.length, 0.5]) expect(blocks.at(none)).toBeUndefined();
        for (const none of [row, -1, 0.5]) expect(() => blocks.holding(none)).toThrow(RangeError);
      }),
    );
  });
});
