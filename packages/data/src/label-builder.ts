/**
 * Collects the labels of one record batch of one column, checks that they fit the column's type, and gives them
 * in Arrow's memory layout. Used by the writer only.
 */
import type { WrittenLabelType } from "./arrow/encode.ts";
import { CorpusError } from "./errors.ts";

/** A label to write: a string for `utf8`, a boolean for `bool`, else a number (or bigint, for 64 bits). */
export type WrittenLabel = string | number | bigint | boolean;

/** Where the labels come from, for error messages. */
interface Source {
  readonly path: string;
  /** Index of the part that was given. */
  readonly batch: number;
}

/** Smallest and largest value of each integer type. */
const INTEGER_RANGE: Readonly<Record<string, readonly [bigint, bigint]>> = {
  int8: [-(2n ** 7n), 2n ** 7n - 1n],
  int16: [-(2n ** 15n), 2n ** 15n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint8: [0n, 2n ** 8n - 1n],
  uint16: [0n, 2n ** 16n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

/** Collects labels batch by batch. */
export class LabelBuilder {
  readonly name: string;
  readonly #type: WrittenLabelType;
  readonly #items: WrittenLabel[] = [];
  readonly #mostRows: number;

  constructor(name: string, type: WrittenLabelType, mostRows: number) {
    this.name = name;
    this.#type = type;
    this.#mostRows = mostRows;
  }

  /** Takes labels `from .. from + count - 1`. @throws CorpusError invalid-label, with the row. */
  append(labels: readonly WrittenLabel[], from: number, count: number, source: Source): void {
    for (let i = from; i < from + count; i++) {
      const label = labels[i];
      if (label === undefined || !fits(label, this.#type)) {
        const what = `the label ${String(label)} (${typeof label}) does not fit a column of type ${this.#type}`;
        throw new CorpusError("invalid-label", what, { ...source, row: i, column: this.name });
      }
      this.#items.push(label);
    }
    if (this.#items.length > this.#mostRows) throw new Error("internal: more labels than rows");
  }

  /** The column's buffers after its (empty) validity bitmap; empties the builder. */
  finish(): readonly Uint8Array[] {
    const items = this.#items.splice(0);
    const type = this.#type;
    if (type === "utf8") return utf8Buffers(items);
    if (type === "bool") return [boolBits(items)];
    const numbers = numberArray(type, items);
    return [new Uint8Array(numbers.buffer)];
  }
}

function fits(label: WrittenLabel, type: WrittenLabelType): boolean {
  if (type === "utf8") return typeof label === "string";
  if (type === "bool") return typeof label === "boolean";
  if (type === "float32" || type === "float64") return typeof label === "number";
  const range = INTEGER_RANGE[type];
  if (range === undefined || (typeof label !== "bigint" && !Number.isSafeInteger(label))) return false;
  const value = BigInt(label);
  return value >= range[0] && value <= range[1];
}

function numberArray(
  type: Exclude<WrittenLabelType, "utf8" | "bool">,
  items: readonly WrittenLabel[],
): { readonly buffer: ArrayBuffer } {
  switch (type) {
    case "int8":
      return Int8Array.from(items, Number);
    case "int16":
      return Int16Array.from(items, Number);
    case "int32":
      return Int32Array.from(items, Number);
    case "int64":
      return BigInt64Array.from(items, BigInt);
    case "uint8":
      return Uint8Array.from(items, Number);
    case "uint16":
      return Uint16Array.from(items, Number);
    case "uint32":
      return Uint32Array.from(items, Number);
    case "uint64":
      return BigUint64Array.from(items, BigInt);
    case "float32":
      return Float32Array.from(items, Number);
    case "float64":
      return Float64Array.from(items, Number);
  }
}

function boolBits(items: readonly WrittenLabel[]): Uint8Array {
  const bits = new Uint8Array(Math.ceil(items.length / 8));
  for (const [i, item] of items.entries()) if (item === true) bits[i >> 3]! |= 1 << (i & 7);
  return bits;
}

function utf8Buffers(items: readonly WrittenLabel[]): readonly Uint8Array[] {
  const texts = items.map((item) => Buffer.from(String(item), "utf8"));
  const offsets = new Int32Array(items.length + 1);
  let end = 0;
  for (const [i, text] of texts.entries()) {
    end += text.length;
    if (end > 2 ** 31 - 1) {
      throw new CorpusError(
        "invalid-label",
        "the strings of a record batch exceed 2 GiB; lower rowsPerBatch",
      );
    }
    offsets[i + 1] = end;
  }
  return [new Uint8Array(offsets.buffer), Buffer.concat(texts)];
}
