import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BatchTable } from "./batch-table.ts";
import type { BatchHeader } from "./headers.ts";

const length = fc.integer({ min: 0, max: 2 ** 50 });
const headers: fc.Arbitrary<BatchHeader> = fc.record({
  rows: length,
  nodes: fc.array(fc.record({ length, nullCount: length }), { maxLength: 4 }),
  buffers: fc.array(fc.record({ offset: length, length }), { maxLength: 6 }),
  variadicCounts: fc.array(length, { maxLength: 2 }),
  compression: fc.constantFrom(undefined, "lz4", "zstd", "unknown"),
});

describe("a table of batches", () => {
  it("gives back what was entered, in whatever order, shared headers or not", () => {
    const entries = fc.array(fc.tuple(headers, length, fc.nat(4)), { maxLength: 60 });
    fc.assert(
      fc.property(entries, fc.boolean(), (list, backwards) => {
        const batches = list.flatMap(([header, bodyPosition, repeats]) =>
          Array.from({ length: 1 + repeats }, (_, i) => ({ ...header, bodyPosition: bodyPosition + i })),
        );
        const table = new BatchTable();
        const order = backwards ? [...batches.entries()].toReversed() : batches.entries();
        for (const [i, { bodyPosition, ...header }] of order) table.set(i, header, bodyPosition);
        expect(Array.from({ length: table.length }, (_, i) => table.at(i))).toEqual(batches);
        expect(table.at(batches.length)).toBeUndefined();
      }),
    );
  });
});
