/**
 * Runs a label expression on rows. Columns and kinds are checked once against the corpus; a comparison with a null
 * (or NaN) label is neither true nor false, as in SQL, and a row is kept only when the whole is true.
 */
import { whyIgnored } from "../arrow/label-columns.ts";
import type { IgnoredColumn, LabelColumn } from "../arrow/label-columns.ts";
import type { LabelValue } from "../arrow/label-values.ts";
import type { LabelValues } from "../corpus.ts";
import { mistakeAt, parseExpression } from "./expression.ts";
import type { Column, Comparison, Expression, Literal, LiteralValue } from "./expression.ts";

/** Tells of a row of a block: true, false, or null for unknown. */
export type RowTest = (row: number) => boolean | null;

/** An expression ready to run. */
export interface LabelPredicate {
  /** Names of the label columns that it reads. */
  readonly columns: readonly string[];
  /** Binds it to the labels of a block. */
  readonly bind: (labels: ReadonlyMap<string, LabelValues>) => RowTest;
}

/** What values of a column are. */
export type LabelKind = "string" | "number" | "boolean";

/** What an Arrow type's labels are, by the type's name; for dictionaries, what their entries are. */
export function labelKind({ type }: LabelColumn): LabelKind {
  const entries = type.startsWith("Dictionary") ? type.slice(type.lastIndexOf(" ") + 1) : type;
  if (/utf8/i.test(entries)) return "string";
  return /bool/i.test(entries) ? "boolean" : "number";
}

/**
 * Parses an expression and checks it against a corpus's label columns.
 * @throws CorpusError invalid-option, with the character: a mistake, an unknown column, kinds that cannot be compared.
 */
export function compilePredicate(
  text: string,
  labels: readonly LabelColumn[],
  ignored: readonly IgnoredColumn[] = [],
): LabelPredicate {
  const columns = new Set<string>();
  const kindOf = (operand: Column | Literal): LabelKind => {
    if (operand.kind === "literal") return kindOfValue(operand.value);
    const label = labels.find(({ name }) => name === operand.name);
    if (label === undefined) {
      const known = labels.map(({ name }) => name).join(", ") || "none";
      const why = whyIgnored(ignored, operand.name);
      const hint =
        labels.length === 0 || why !== "" ? "" : `; a string takes quotes, as in '${operand.name}'`;
      throw mistakeAt(
        text,
        operand.at,
        `there is no label column ${operand.name}${why}, there are: ${known}${hint}`,
      );
    }
    columns.add(operand.name);
    return labelKind(label);
  };
  const requireKind = (operand: Column | Literal, kind: LabelKind, beside: string): void => {
    const found = kindOf(operand);
    if (found === kind) return;
    const what = operand.kind === "column" ? `column ${operand.name}` : "this";
    throw mistakeAt(text, operand.at, `${what} is a ${found}, ${beside} a ${kind}`);
  };
  const check = (expression: Expression): void => {
    switch (expression.kind) {
      case "and":
      case "or":
        expression.parts.forEach(check);
        break;
      case "not":
        check(expression.of);
        break;
      case "compare": {
        const { left, right } = expression;
        requireKind(
          right,
          kindOf(left),
          left.kind === "column" ? `column ${left.name}` : "what is before it",
        );
        break;
      }
      case "in": {
        const kind = kindOf(expression.of);
        for (const value of expression.values) requireKind(value, kind, `column ${expression.of.name}`);
        break;
      }
      case "flag":
        requireKind(expression.of, "boolean", "what stands by itself must be");
        break;
      case "null":
        kindOf(expression.of);
        break;
    }
  };
  const expression = parseExpression(text);
  check(expression);
  return { columns: [...columns], bind: (values) => bind(expression, values) };
}

function kindOfValue(value: LiteralValue): LabelKind {
  return typeof value === "bigint" ? "number" : (typeof value as LabelKind);
}

function bind(expression: Expression, labels: ReadonlyMap<string, LabelValues>): RowTest {
  switch (expression.kind) {
    case "and":
      return joined(expression.parts, labels, false);
    case "or":
      return joined(expression.parts, labels, true);
    case "not": {
      const of = bind(expression.of, labels);
      return (row) => {
        const answer = of(row);
        return answer === null ? null : !answer;
      };
    }
    case "compare": {
      const left = reader(expression.left, labels);
      const right = reader(expression.right, labels);
      const holds = HOLDS[expression.comparison];
      return (row) => {
        const order = orderOf(left(row), right(row));
        return order === null ? null : holds(order);
      };
    }
    case "in": {
      const read = reader(expression.of, labels);
      const wanted = new Set(expression.values.map(({ value }) => keyOf(value)));
      return (row) => {
        const value = read(row);
        return isUnknown(value) ? null : wanted.has(keyOf(value));
      };
    }
    case "flag": {
      const read = reader(expression.of, labels);
      return (row) => {
        const value = read(row);
        return value === null ? null : value === true;
      };
    }
    case "null": {
      const read = reader(expression.of, labels);
      return (row) => isUnknown(read(row));
    }
  }
}

/** The parts joined by or (`decisive` true) or by and (false): one decisive part decides. */
function joined(
  parts: readonly Expression[],
  labels: ReadonlyMap<string, LabelValues>,
  decisive: boolean,
): RowTest {
  const tests = parts.map((part) => bind(part, labels));
  return (row) => {
    let unknown = false;
    for (const test of tests) {
      const answer = test(row);
      if (answer === decisive) return decisive;
      if (answer === null) unknown = true;
    }
    return unknown ? null : !decisive;
  };
}

function reader(
  operand: Column | Literal,
  labels: ReadonlyMap<string, LabelValues>,
): (row: number) => LabelValue {
  if (operand.kind === "literal") return () => operand.value;
  const values = labels.get(operand.name);
  if (values === undefined) throw new Error(`internal: the labels ${operand.name} were not read`);
  return (row) => values.get(row);
}

const HOLDS: Readonly<Record<Comparison, (order: number) => boolean>> = {
  "=": (order) => order === 0,
  "!=": (order) => order !== 0,
  "<": (order) => order < 0,
  "<=": (order) => order <= 0,
  ">": (order) => order > 0,
  ">=": (order) => order >= 0,
};

/** Numbers of both sorts by value, strings by code units, false before true; null when one is unknown. */
function orderOf(left: LabelValue, right: LabelValue): number | null {
  if (isUnknown(left) || isUnknown(right)) return null;
  return left < right ? -1 : left > right ? 1 : 0;
}

function isUnknown(value: LabelValue): value is null {
  return value === null || Number.isNaN(value);
}

/** Equal numbers have one key, whether they are stored in 32 or 64 bits. */
function keyOf(value: string | number | bigint | boolean): string | number | bigint | boolean {
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
