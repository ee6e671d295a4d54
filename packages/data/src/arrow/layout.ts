/**
 * Which nodes and buffers of a record batch belong to which column. Arrow lists them depth first; how many a
 * type has is fixed by the format. Knows no files.
 */
import { DataType, UnionMode } from "apache-arrow";
import type { Field, Schema } from "apache-arrow";
import { UnknownType } from "./unknown-types.ts";

/** Where a column starts in a batch's lists. */
export interface ColumnPlace {
  readonly field: Field;
  /** Index of the column's own node; its children's follow. */
  readonly node: number;
  /** Index of the column's first buffer; its children's follow its own. */
  readonly buffer: number;
  /** Buffers of text that a column of views has, itself or in its elements. */
  readonly viewBuffers: number;
}

interface Cursor {
  node: number;
  buffer: number;
  variadic: number;
}

/**
 * The place of every top-level column in a batch.
 * @param variadicCounts the batch's own: view columns have a varying number of buffers.
 */
export function columnPlaces(schema: Schema, variadicCounts: readonly number[]): readonly ColumnPlace[] {
  const cursor: Cursor = { node: 0, buffer: 0, variadic: 0 };
  return schema.fields.map((field: Field) => {
    const { node, buffer, variadic } = cursor;
    advance(field.type, cursor, variadicCounts);
    const counts = variadicCounts.slice(variadic, cursor.variadic);
    return { field, node, buffer, viewBuffers: counts.reduce((sum, count) => sum + count, 0) };
  });
}

function advance(type: DataType, cursor: Cursor, variadicCounts: readonly number[]): void {
  cursor.node++;
  // A dictionary-encoded column holds its indices; the values' own layout is in the dictionary batches.
  if (DataType.isDictionary(type)) {
    cursor.buffer += 2;
    return;
  }
  cursor.buffer += ownBuffers(type);
  if (DataType.isUtf8View(type) || DataType.isBinaryView(type)) {
    cursor.buffer += variadicCounts[cursor.variadic++] ?? 0;
  }
  for (const child of childrenOf(type)) advance(child.type, cursor, variadicCounts);
}

function ownBuffers(type: DataType): number {
  if (type instanceof UnknownType) return type.ownBuffers;
  if (DataType.isNull(type)) return 0;
  if (DataType.isStruct(type) || DataType.isFixedSizeList(type)) return 1;
  if (DataType.isUnion(type)) return type.mode === UnionMode.Dense ? 2 : 1;
  if (DataType.isUtf8(type) || DataType.isLargeUtf8(type)) return 3;
  if (DataType.isBinary(type) || DataType.isLargeBinary(type)) return 3;
  return 2;
}

function childrenOf(type: DataType): readonly Field[] {
  return (type.children as readonly Field[] | null | undefined) ?? [];
}
