/**
 * The language of conditions on rows: comparisons of label columns, joined by and, or, not. This file turns text into
 * a tree; it knows no columns and runs nothing. Mistakes name the character. Depends on errors only.
 *
 *   expression = conjunction { "or" conjunction }
 *   conjunction = negation { "and" negation }
 *   negation = "not" negation | primary
 *   primary = "(" expression ")" | operand [ test ]
 *   test = ( "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=" ) operand
 *        | [ "not" ] "in" "(" literal { "," literal } ")" | "is" [ "not" ] "null"
 *   operand = column | literal
 */
import { CorpusError } from "../errors.ts";

/** How two operands are compared. */
export type Comparison = "=" | "!=" | "<" | "<=" | ">" | ">=";

/** A value written in the expression. Whole numbers beyond 2^53 are bigints. */
export type LiteralValue = string | number | bigint | boolean;

/** A value that the expression names. `at`: index of its first character. */
export type Literal = { readonly kind: "literal"; readonly value: LiteralValue; readonly at: number };
/** A label column that the expression names. */
export type Column = { readonly kind: "column"; readonly name: string; readonly at: number };

/** An expression as a tree. */
export type Expression =
  | { readonly kind: "and" | "or"; readonly parts: readonly Expression[] }
  | { readonly kind: "not"; readonly of: Expression }
  | {
      readonly kind: "compare";
      readonly comparison: Comparison;
      readonly left: Column | Literal;
      readonly right: Column | Literal;
      /** Index of the operator's first character. */
      readonly at: number;
    }
  | { readonly kind: "in"; readonly of: Column; readonly values: readonly Literal[] }
  | { readonly kind: "null"; readonly of: Column }
  /** A column of booleans by itself. */
  | { readonly kind: "flag"; readonly of: Column };

/** What the text is made of. */
type Token =
  | { readonly kind: "symbol" | "keyword"; readonly text: string; readonly at: number }
  | { readonly kind: "end"; readonly at: number }
  | Column
  | Literal;

const KEYWORDS: ReadonlySet<string> = new Set(["and", "or", "not", "in", "is", "null"]);
const COMPARISONS: ReadonlyMap<string, Comparison> = new Map([
  ["=", "="],
  ["==", "="],
  ["!=", "!="],
  ["<>", "!="],
  ["<", "<"],
  ["<=", "<="],
  [">", ">"],
  [">=", ">="],
]);
/** Deeper nesting is no filter that a person wrote, and would exhaust the stack. */
const MOST_DEPTH = 100;

/**
 * Parses an expression.
 * @throws CorpusError invalid-option, with the character (from 1) at which the text makes no sense.
 */
export function parseExpression(text: string): Expression {
  return new Parser(text).parse();
}

/** The error for a mistake at a place of an expression. */
export function mistakeAt(text: string, at: number, what: string): CorpusError {
  return new CorpusError(
    "invalid-option",
    `the label expression is wrong at character ${at + 1}: ${what} (in: ${text})`,
  );
}

class Parser {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokensOf(text);
  }

  parse(): Expression {
    const expression = this.#disjunction();
    const rest = this.#peek();
    if (rest.kind !== "end") throw this.#expected("and, or, or the end", rest);
    return expression;
  }

  #disjunction(): Expression {
    return this.#joined("or", () => this.#joined("and", () => this.#negation()));
  }

  #joined(kind: "and" | "or", part: () => Expression): Expression {
    const first = part();
    const parts = [first];
    while (this.#takes("keyword", kind)) parts.push(part());
    return parts.length === 1 ? first : { kind, parts };
  }

  #negation(): Expression {
    const start = this.#peek();
    if (++this.#depth > MOST_DEPTH) {
      throw mistakeAt(this.#text, start.at, `it is nested more than ${MOST_DEPTH} deep`);
    }
    const found: Expression = this.#takes("keyword", "not")
      ? { kind: "not", of: this.#negation() }
      : this.#primary();
    this.#depth--;
    return found;
  }

  #primary(): Expression {
    if (this.#takes("symbol", "(")) {
      const inner = this.#disjunction();
      this.#require("symbol", ")");
      return inner;
    }
    const left = this.#operand("a column, a value, not, or (");
    const token = this.#peek();
    const comparison = token.kind === "symbol" ? COMPARISONS.get(token.text) : undefined;
    if (comparison !== undefined) {
      this.#next++;
      return { kind: "compare", comparison, left, right: this.#operand("a column or a value"), at: token.at };
    }
    if (left.kind === "literal") throw this.#expected("a comparison", token);
    if (this.#takes("keyword", "is")) {
      const negated = this.#takes("keyword", "not");
      this.#require("keyword", "null");
      return negatedIf(negated, { kind: "null", of: left });
    }
    if (this.#takes("keyword", "in")) return { kind: "in", of: left, values: this.#literals() };
    if (this.#takes("keyword", "not")) {
      this.#require("keyword", "in");
      return negatedIf(true, { kind: "in", of: left, values: this.#literals() });
    }
    return { kind: "flag", of: left };
  }

  #literals(): Literal[] {
    this.#require("symbol", "(");
    const values: Literal[] = [];
    do {
      const token = this.#peek();
      if (token.kind !== "literal") throw this.#expected("a number, a string, true or false", token);
      this.#next++;
      values.push(token);
    } while (this.#takes("symbol", ","));
    this.#require("symbol", ")");
    return values;
  }

  #operand(what: string): Column | Literal {
    const token = this.#peek();
    if (token.kind !== "column" && token.kind !== "literal") throw this.#expected(what, token);
    this.#next++;
    return token;
  }

  #peek(): Token {
    return this.#tokens[this.#next]!;
  }

  #takes(kind: "symbol" | "keyword", text: string): boolean {
    const token = this.#peek();
    if (token.kind !== kind || token.text !== text) return false;
    this.#next++;
    return true;
  }

  #require(kind: "symbol" | "keyword", text: string): void {
    if (!this.#takes(kind, text)) throw this.#expected(text, this.#peek());
  }

  #expected(what: string, token: Token): CorpusError {
    const found = token.kind === "end" ? "the end" : this.#text.slice(token.at, this.#endOf(token));
    return mistakeAt(this.#text, token.at, `expected ${what}, got ${found}`);
  }

  /** Where the token's text ends: before the blanks in front of the next one. */
  #endOf(token: Token): number {
    const following = this.#tokens[this.#tokens.indexOf(token) + 1];
    return token.at + this.#text.slice(token.at, following?.at).trimEnd().length;
  }
}

function negatedIf(negated: boolean, of: Expression): Expression {
  return negated ? { kind: "not", of } : of;
}

const BLANK = /\s+/y;
const NUMBER = /[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])/y;
const WORD = /[\p{L}_][\p{L}\p{N}_.]*/uy;
const SYMBOL = /==|!=|<>|<=|>=|[=<>(),]/y;

/** The tokens of a text, the last of which is its end. */
function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const match = (pattern: RegExp): string | undefined => {
      pattern.lastIndex = at;
      return pattern.exec(text)?.[0];
    };
    const blank = match(BLANK);
    if (blank !== undefined) {
      at += blank.length;
      continue;
    }
    const first = text[at]!;
    if (first === "'" || first === '"' || first === "`") {
      const { value, end } = quoted(text, at);
      tokens.push(first === "`" ? { kind: "column", name: value, at } : { kind: "literal", value, at });
      at = end;
      continue;
    }
    const number = match(NUMBER);
    const word = match(WORD);
    const symbol = match(SYMBOL);
    if (number !== undefined) tokens.push({ kind: "literal", value: numberOf(number), at });
    else if (word !== undefined) tokens.push(wordToken(word, at));
    else if (symbol !== undefined) tokens.push({ kind: "symbol", text: symbol, at });
    else throw mistakeAt(text, at, `${first} does not belong here`);
    at += (number ?? word ?? symbol ?? "").length;
  }
  return [...tokens, { kind: "end", at: text.length }];
}

function wordToken(word: string, at: number): Token {
  const lower = word.toLowerCase();
  if (KEYWORDS.has(lower)) return { kind: "keyword", text: lower, at };
  if (lower === "true" || lower === "false") return { kind: "literal", value: lower === "true", at };
  return { kind: "column", name: word, at };
}

function numberOf(text: string): number | bigint {
  const value = Number(text);
  const isWhole = /^[+-]?\d+$/.test(text);
  return isWhole && !Number.isSafeInteger(value) ? BigInt(text.replace("+", "")) : value;
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "0": "\0" };

/** The text between quotes from `start` on; a backslash escapes the next character, or means n, r, t, 0. */
function quoted(text: string, start: number): { value: string; end: number } {
  const quote = text[start];
  let value = "";
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at]!;
    if (character === quote) return { value, end: at + 1 };
    if (character !== "\\") {
      value += character;
      continue;
    }
    at++;
    const escaped = text[at] ?? "";
    value += ESCAPES[escaped] ?? escaped;
  }
  throw mistakeAt(text, start, `the quote ${quote ?? ""} is not closed`);
}
