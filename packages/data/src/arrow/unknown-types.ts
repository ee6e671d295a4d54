/**
 * Column types that Arrow has and apache-arrow does not know, of which one would make a whole schema unreadable. They are
 * shown to it as structs, which have their children, and put back into what it decoded: then the place of every column
 * is known, though these cannot be read. Knows headers only.
 *
 * Flatbuffer slots (Schema.fbs) of a field: 2 type kind, 5 children.
 */
import { DataType, Dictionary, Type } from "apache-arrow";
import type { Field } from "apache-arrow";
import type { FlatTable } from "./flatbuffer.ts";

const STRUCT = 13;

/** By type kind: names, and the buffers that a column has beside those of its children. */
const UNKNOWN: ReadonlyMap<number, { readonly name: string; readonly ownBuffers: number }> = new Map([
  [22, { name: "RunEndEncoded", ownBuffers: 0 }],
  // Validity, offsets, sizes.
  [25, { name: "ListView", ownBuffers: 3 }],
  [26, { name: "LargeListView", ownBuffers: 3 }],
]);

/** A type whose columns are passed over. */
export class UnknownType extends DataType {
  override readonly children: Field[];
  readonly ownBuffers: number;
  readonly #name: string;

  constructor(name: string, ownBuffers: number, children: readonly Field[]) {
    super(Type.NONE);
    this.#name = name;
    this.ownBuffers = ownBuffers;
    this.children = [...children];
  }

  override toString(): string {
    return `${this.#name}<${this.children.map(({ type }) => String(type)).join(", ")}>`;
  }
}

/** The header with each unknown type shown as a struct. @param fields of the schema, checked */
export function withoutUnknownTypes(header: Uint8Array, fields: readonly FlatTable[]): Uint8Array {
  const shown = Uint8Array.from(header);
  const hide = (field: FlatTable): void => {
    if (UNKNOWN.has(field.uint8(2))) shown[field.positionOf(2)] = STRUCT;
    for (const child of field.tables(5)) hide(child);
  };
  for (const field of fields) hide(field);
  return shown;
}

/** Puts the unknown types of `fields` into `decoded`, which apache-arrow made of them. */
export function putBackUnknownTypes(fields: readonly FlatTable[], decoded: readonly Field[]): void {
  for (const [i, field] of decoded.entries()) {
    const table = fields[i];
    if (table === undefined) throw new Error("internal: a field more than the schema has");
    const type: DataType = field.type;
    const values: DataType = DataType.isDictionary(type) ? (type.dictionary as DataType) : type;
    const children = (values.children as readonly Field[] | null | undefined) ?? [];
    putBackUnknownTypes(table.tables(5), children);
    const unknown = UNKNOWN.get(table.uint8(2));
    if (unknown === undefined) continue;
    const own = new UnknownType(unknown.name, unknown.ownBuffers, children);
    (field as { type: DataType }).type = DataType.isDictionary(type)
      ? new Dictionary(own, type.indices, type.id, type.isOrdered)
      : own;
  }
}
