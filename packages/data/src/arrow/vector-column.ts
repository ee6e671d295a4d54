/**
 * Which columns hold activation vectors: lists of numbers, or lists of such lists (the sequences of Hugging Face's
 * Array2D, read as one row per token). Knows schemas only.
 */
import { DataType, Precision } from "apache-arrow";
import type { Field, Schema } from "apache-arrow";
import { CorpusError } from "../errors.ts";
import { SPARSE_COLUMNS } from "./sparse-columns.ts";

/** How the numbers of a corpus are given to its reader. */
export type ValueType = "float16" | "float32";

/** How they are stored; float64 and bfloat16 are converted to float32 while they are read. */
export type StoredType = ValueType | "float64" | "bfloat16";

/** Bytes per number, as given or as stored. */
export function valueBytes(type: ValueType): 2 | 4;
export function valueBytes(type: StoredType): 2 | 4 | 8;
export function valueBytes(type: StoredType): 2 | 4 | 8 {
  if (type === "float64") return 8;
  return type === "float32" ? 4 : 2;
}

/** What a reader gets of numbers stored so. */
export function deliveredType(stored: StoredType): ValueType {
  return stored === "float16" ? "float16" : "float32";
}

/** One level of lists. */
export interface ListLevel {
  readonly kind: "fixed" | "list" | "large-list";
  /** Elements of every list; undefined where offsets say it. */
  readonly size: number | undefined;
}

/** The type of a column of vectors. */
export interface VectorType {
  readonly stored: StoredType;
  /** Outermost first: the vectors alone, or sequences and the vectors in them. */
  readonly levels: readonly [vectors: ListLevel] | readonly [sequences: ListLevel, vectors: ListLevel];
}

/** The vectors that a column holds, or undefined. */
export function vectorTypeOf(field: Field): VectorType | undefined {
  const outer = listLevel(field.type);
  const child = childOf(field);
  if (outer === undefined || child === undefined) return undefined;
  const stored = storedTypeOf(child, [field, child]);
  if (stored !== undefined) return { stored, levels: [outer] };
  const inner = listLevel(child.type);
  const item = childOf(child);
  if (inner === undefined || item === undefined) return undefined;
  const nested = storedTypeOf(item, [field, child, item]);
  return nested === undefined ? undefined : { stored: nested, levels: [outer, inner] };
}

/** The level that a list type makes; undefined for other types. */
export function listLevel(type: DataType): ListLevel | undefined {
  if (DataType.isFixedSizeList(type)) return { kind: "fixed", size: type.listSize };
  if (DataType.isList(type)) return { kind: "list", size: undefined };
  if (DataType.isLargeList(type)) return { kind: "large-list", size: undefined };
  return undefined;
}

/** The element of a list type. */
export function childOf(field: Field): Field | undefined {
  return ((field.type as DataType).children as readonly Field[] | null | undefined)?.[0];
}

/** @param owners the fields whose metadata may say that 16-bit integers are the bits of bfloat16. */
function storedTypeOf(item: Field, owners: readonly Field[]): StoredType | undefined {
  const type: DataType = item.type;
  if (DataType.isInt(type)) {
    const saysSo = owners.some((field) =>
      /^(torch\.)?(bfloat16|bf16)$/i.test(field.metadata.get("dtype") ?? ""),
    );
    return type.bitWidth === 16 && saysSo ? "bfloat16" : undefined;
  }
  if (!DataType.isFloat(type)) return undefined;
  if (type.precision === Precision.HALF) return "float16";
  return type.precision === Precision.SINGLE ? "float32" : "float64";
}

/**
 * Chooses the vector column by name, or as the only candidate. Of several, those that need no conversion from
 * float64 come first: a table of float64 lists beside the activations is not taken for them.
 * @param namedBy the file that the name was taken from, where nobody gave it.
 * @throws CorpusError no-vector-column, ambiguous-column.
 */
export function chooseVectorColumn(
  schema: Schema,
  name: string | undefined,
  path: string,
  namedBy?: string,
): Field {
  const fields: readonly Field[] = schema.fields;
  if (name !== undefined) {
    const field = fields.find((candidate) => candidate.name === name);
    if (field === undefined) {
      const why = namedBy === undefined ? "" : `, which holds the vectors of ${namedBy}`;
      const what = `there is no column "${name}"${why}; ${listColumns(fields)}`;
      throw new CorpusError("no-vector-column", what, { path });
    }
    if (fields.filter((candidate) => candidate.name === name).length > 1) {
      const what = "several columns have this name; rename all but one";
      throw new CorpusError("no-vector-column", what, { path, column: name });
    }
    if (vectorTypeOf(field) === undefined) {
      throw new CorpusError("no-vector-column", refusal(field), { path, column: name });
    }
    return field;
  }
  if (SPARSE_COLUMNS.every((column, i) => fields[i]?.name === column)) {
    const what = `holds which features are active in rows (${SPARSE_COLUMNS.join(", ")}), not activations`;
    throw new CorpusError("no-vector-column", what, { path });
  }
  const all = fields.filter((field) => vectorTypeOf(field) !== undefined);
  const direct = all.filter((field) => vectorTypeOf(field)?.stored !== "float64");
  const candidates = direct.length > 0 ? direct : all;
  const only = candidates[0];
  if (only !== undefined && candidates.length === 1) return only;
  if (only !== undefined) {
    const names = candidates.map((field) => `"${field.name}"`).join(", ");
    throw new CorpusError("ambiguous-column", `several columns hold vectors (${names}); name one`, {
      path,
      option: "column",
    });
  }
  const near = fields.find(
    (field) => listLevel(field.type) !== undefined && innermost(field) === "integers16",
  );
  if (near !== undefined)
    throw new CorpusError("no-vector-column", refusal(near), { path, column: near.name });
  const what = `no column holds lists of floating-point numbers; ${listColumns(fields)}`;
  throw new CorpusError("no-vector-column", what, { path });
}

function innermost(field: Field): "integers16" | "other" {
  let item: Field = field;
  for (let child = childOf(item); child !== undefined; child = childOf(item)) item = child;
  const type: DataType = item.type;
  return DataType.isInt(type) && type.bitWidth === 16 ? "integers16" : "other";
}

function refusal(field: Field): string {
  const type = `has type ${String(field.type)}`;
  if (listLevel(field.type) !== undefined && innermost(field) === "integers16") {
    return `${type}; if these are the bits of bfloat16, give the field the metadata dtype=bfloat16`;
  }
  return `${type}; vectors must be lists of float16, float32 or float64, or sequences of such lists`;
}

function listColumns(fields: readonly Field[]): string {
  const names = fields.map((field) => `"${field.name}" ${String(field.type)}`);
  return names.length === 0 ? "the file has no columns" : `its columns are ${names.join(", ")}`;
}
