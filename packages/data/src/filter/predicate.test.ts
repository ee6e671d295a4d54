import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LabelColumn } from "../arrow/label-columns.ts";
import type { LabelValue } from "../arrow/label-values.ts";
import type { LabelValues } from "../corpus.ts";
import { compilePredicate, labelKind } from "./predicate.ts";

const COLUMNS: readonly LabelColumn[] = [
  { name: "n", type: "Int32" },
  { name: "id", type: "Int64" },
  { name: "x", type: "Float32" },
  { name: "s", type: "Dictionary<Int32, Utf8>" },
  { name: "b", type: "Bool" },
];

type Row = Readonly<Record<string, LabelValue>>;

function valuesOf(values: readonly LabelValue[]): LabelValues {
  return {
    length: values.length,
    get: (i) => values[i]!,
    [Symbol.iterator]: () => values[Symbol.iterator](),
  };
}

/** What the expression says of one row. */
function answer(text: string, row: Row): boolean | null {
  const { bind } = compilePredicate(text, COLUMNS);
  return bind(new Map(Object.entries(row).map(([name, value]) => [name, valuesOf([value])])))(0);
}

const ROW: Row = { n: 3, id: 2n ** 60n, x: 0.5, s: "the", b: true };

describe("a label expression on rows", () => {
  it.each([
    ["n = 3", true],
    ["3 < n", false],
    ["n >= 3 and n < 4", true],
    ["n in (1, 2, 3)", true],
    ["n not in (1, 2, 3)", false],
    ["n = 3.0", true],
    ["x > .25 and x != 1", true],
    ["id = 1152921504606846976", true],
    ["id in (1152921504606846977)", false],
    ["id > n", true],
    ["s = 'the'", true],
    ["s < 'thf'", true],
    [`s in ("a", "the")`, true],
    ["b", true],
    ["not b or n = 4", false],
    ["b = false", false],
    ["s is null", false],
    ["s is not null", true],
    ["1 < 2", true],
  ])("%s is %j", (text, expected) => {
    expect(answer(text, ROW)).toBe(expected);
  });

  it("knows neither true nor false of a null, unless the rest decides", () => {
    const row: Row = { ...ROW, n: null, x: NaN, b: null };
    expect(answer("n = 3", row)).toBeNull();
    expect(answer("n != 3", row)).toBeNull();
    expect(answer("not n in (3)", row)).toBeNull();
    expect(answer("b", row)).toBeNull();
    expect(answer("x = x", row)).toBeNull();
    expect(answer("n = 3 or s = 'the'", row)).toBe(true);
    expect(answer("n = 3 and s = 'a'", row)).toBe(false);
    expect(answer("n = 3 and s = 'the'", row)).toBeNull();
    expect(answer("n is null and x is null", row)).toBe(true);
  });

  it("keeps the laws of not, and, or for any labels", () => {
    const label = fc.oneof(fc.constant(null), fc.integer({ min: 0, max: 3 }));
    fc.assert(
      fc.property(label, label, (n, id) => {
        const row: Row = { n, id: id === null ? null : BigInt(id) };
        const same = (left: string, right: string): void =>
          expect(answer(left, row)).toBe(answer(right, row));
        same("not (n = 1 and id = 2)", "not n = 1 or not id = 2");
        same("not (n = 1 or id = 2)", "n != 1 and id != 2");
        same("n in (1, 2)", "n = 1 or n = 2");
        same("n < id", "not n >= id");
        same("n = id", "n <= id and id <= n");
      }),
    );
  });

  it("reads only the columns that it names", () => {
    expect(compilePredicate("n = 1 or (b and n > id)", COLUMNS).columns).toEqual(["n", "b", "id"]);
  });

  it.each([
    ["page = 3", 1, "there is no label column page, there are: n, id, x, s, b"],
    ["s = the", 5, "there is no label column the.*a string takes quotes, as in 'the'"],
    ["s = 3", 5, "this is a number, column s a string"],
    ["n = 'the'", 5, "this is a string, column n a number"],
    ["n in (1, 'a')", 10, "this is a string, column n a number"],
    ["n = s", 5, "column s is a string, column n a number"],
    ["n and b", 1, "column n is a number, what stands by itself must be a boolean"],
    ["b = 1", 5, "this is a number, column b a boolean"],
  ])("refuses %j at character %i", (text, character, what) => {
    expect(() => compilePredicate(text, COLUMNS)).toThrow(
      new RegExp(`wrong at character ${character}: .*${what}`),
    );
  });

  it("tells kinds from Arrow's names of types", () => {
    const kinds = ["Utf8", "LargeUtf8", "Dictionary<Int8, Utf8>", "Bool", "Uint16", "Float64"].map((type) =>
      labelKind({ name: "a", type }),
    );
    expect(kinds).toEqual(["string", "string", "string", "boolean", "number", "number"]);
  });
});
