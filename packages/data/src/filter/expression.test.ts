import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CorpusError } from "../errors.ts";
import { parseExpression } from "./expression.ts";
import type { Column, Comparison, Expression, Literal } from "./expression.ts";

/** An expression without the places of its parts. */
type Bare = unknown;

function bare(expression: Expression): Bare {
  return JSON.parse(
    JSON.stringify(expression, (key, value: unknown) =>
      key === "at" ? undefined : typeof value === "bigint" ? `${value}n` : value,
    ),
  );
}

/** Writes an expression down with all its parentheses. */
function print(expression: Expression): string {
  switch (expression.kind) {
    case "and":
    case "or":
      return `(${expression.parts.map(print).join(` ${expression.kind} `)})`;
    case "not":
      return `not (${print(expression.of)})`;
    case "compare":
      return `${operand(expression.left)}${expression.comparison} ${operand(expression.right)}`;
    case "in":
      return `${operand(expression.of)} IN (${expression.values.map(operand).join(" ,")})`;
    case "null":
      return `${operand(expression.of)} is null`;
    case "flag":
      return operand(expression.of);
  }
}

function operand(of: Column | Literal): string {
  if (of.kind === "column") return `\`${of.name.replaceAll(/[\\`]/g, "\\$&")}\` `;
  if (typeof of.value === "string") return `'${of.value.replaceAll(/[\\']/g, "\\$&")}'`;
  return String(of.value);
}

/** What parsing a text comes to, or says. */
function outcome(text: string): string {
  try {
    parseExpression(text);
    return "a tree";
  } catch (error) {
    if (error instanceof CorpusError) return error.message;
    throw error;
  }
}

const at = fc.constant(0);
const column = fc.record({ kind: fc.constant("column" as const), name: fc.string(), at });
const value = fc.oneof(
  fc.string(),
  fc.integer(),
  // Whole ones beyond 2^53 are read as bigints.
  fc.double({ min: -(2 ** 52), max: 2 ** 52, noNaN: true }).map((x) => x + 0),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n }),
  fc.boolean(),
);
const literal = fc.record({ kind: fc.constant("literal" as const), value, at });
const comparison = fc.constantFrom<Comparison[]>("=", "!=", "<", "<=", ">", ">=");
const { expression } = fc.letrec<{ expression: Expression }>((tie) => ({
  expression: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({
      kind: fc.constant("compare" as const),
      comparison,
      left: fc.oneof(column, literal),
      right: fc.oneof(column, literal),
      at,
    }),
    fc.record({ kind: fc.constant("in" as const), of: column, values: fc.array(literal, { minLength: 1 }) }),
    fc.record({ kind: fc.constant("null" as const), of: column }),
    fc.record({ kind: fc.constant("flag" as const), of: column }),
    fc.record({ kind: fc.constant("not" as const), of: tie("expression") }),
    fc.record({
      kind: fc.constantFrom("and" as const, "or" as const),
      parts: fc.array(tie("expression"), { minLength: 2, maxLength: 3 }),
    }),
  ),
}));

describe("the language of label expressions", () => {
  it("reads back what is written down", () => {
    fc.assert(
      fc.property(expression, (tree) => {
        expect(bare(parseExpression(print(tree)))).toEqual(bare(tree));
      }),
    );
  });

  it("binds not before and, and before or, and knows its words in any case", () => {
    const found = bare(parseExpression("a = 1 OR not b = 2 And c.d is Not Null"));
    expect(found).toEqual(bare(parseExpression("(a = 1) or ((not (b = 2)) and (not (c.d is null)))")));
    expect(bare(parseExpression("x not in (1, 2)"))).toEqual(bare(parseExpression("not (x in (1,2))")));
    expect(bare(parseExpression("x <> 1"))).toEqual(bare(parseExpression("x != 1")));
    expect(bare(parseExpression("x == 1"))).toEqual(bare(parseExpression("x = 1")));
  });

  it("reads strings in either quotes, with escapes for line breaks, tabs and quotes", () => {
    for (const text of [String.raw`t = 'it\'s\n\t\\'`, String.raw`t = "it's\n\t\\"`]) {
      expect(parseExpression(text)).toMatchObject({ right: { value: "it's\n\t\\" } });
    }
  });

  it("reads numbers with signs, fractions and exponents, and whole ones beyond 2^53 exactly", () => {
    const valueOf = (text: string): unknown =>
      (parseExpression(`x = ${text}`) as { right: Literal }).right.value;
    expect(["-1", "+2.5", ".5", "1e3", "9007199254740993"].map(valueOf)).toEqual([
      -1,
      2.5,
      0.5,
      1000,
      9007199254740993n,
    ]);
  });

  it.each([
    ["position >", 11, "expected a column or a value, got the end"],
    ["", 1, "expected a column, a value, not, or (, got the end"],
    ["position > 3 and", 17, "expected a column, a value, not, or (, got the end"],
    ["(position > 3", 14, "expected ), got the end"],
    ["position > 3)", 13, "expected and, or, or the end, got )"],
    ["position > 3 4", 14, "expected and, or, or the end, got 4"],
    ["position in 3", 13, "expected (, got 3"],
    ["position in (3, token)", 17, "expected a number, a string, true or false, got token"],
    ["position in ()", 14, "expected a number, a string, true or false, got )"],
    ["position is 3", 13, "expected null, got 3"],
    ["position not 3", 14, "expected in, got 3"],
    ["token = 'the", 9, "the quote ' is not closed"],
    ["token = the'", 12, "the quote ' is not closed"],
    ["position ; 3", 10, "; does not belong here"],
    ["position = 3abc", 12, "3 does not belong here"],
    ["3", 2, "expected a comparison, got the end"],
    ["eval('x')", 5, "expected and, or, or the end, got ("],
  ])("says of %j that character %i is wrong", (text, character, what) => {
    expect(() => parseExpression(text)).toThrow(
      `the label expression is wrong at character ${character}: ${what} (in: ${text})`,
    );
  });

  it("refuses nesting that would exhaust the stack", () => {
    const deep = 100_000;
    expect(() => parseExpression(`${"(".repeat(deep)}x${")".repeat(deep)}`)).toThrow(
      /nested more than 100 deep/,
    );
    expect(() => parseExpression(`${"not ".repeat(deep)}x`)).toThrow(/nested more than 100 deep/);
    expect(parseExpression(Array.from({ length: 5000 }, () => "(not x)").join(" and "))).toBeDefined();
  });

  it("gives a tree or its own error for any text", () => {
    const words = fc.constantFrom(
      "x",
      "1",
      "'a'",
      "(",
      ")",
      "and",
      "or",
      "not",
      "in",
      "is",
      "null",
      "=",
      ",",
      '"',
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(words, { maxLength: 12 }).map((parts) => parts.join(" ")),
    );
    fc.assert(
      fc.property(text, (any) => {
        expect(outcome(any)).toMatch(/^(a tree|the label expression is wrong at character \d+: .*)/s);
      }),
      { numRuns: 200 },
    );
  });
});
