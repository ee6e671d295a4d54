/**
 * A bounds-checked view of the flatbuffer tables that Arrow headers are made of. apache-arrow decodes headers
 * too, but trusts the lengths in them: a damaged header could make it allocate without end. Every read here
 * outside the bytes throws a RangeError. Depends on nothing.
 *
 *   table at p:  i32 p - vtable position | fields ...
 *   vtable:      u16 own size | u16 table size | u16 offset of field 0 (0 = absent) | u16 of field 1 | ...
 *   vector:      u32 count | elements
 */

/** A vector of fixed-size structs: byte position of the first, and how many. */
export interface StructVector {
  readonly position: number;
  readonly count: number;
}

/** One table inside a flatbuffer. */
export class FlatTable {
  readonly view: DataView;
  readonly #position: number;

  constructor(view: DataView, position: number) {
    this.view = view;
    this.#position = position;
  }

  /** The root table of a flatbuffer. */
  static root(bytes: Uint8Array): FlatTable {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return new FlatTable(view, view.getUint32(0, true));
  }

  uint8(slot: number): number {
    const at = this.positionOf(slot);
    return at === 0 ? 0 : this.view.getUint8(at);
  }

  int16(slot: number): number {
    const at = this.positionOf(slot);
    return at === 0 ? 0 : this.view.getInt16(at, true);
  }

  /** A 64-bit length, offset or identifier. @throws RangeError when it is negative or beyond 2^53. */
  length64(slot: number): number {
    const at = this.positionOf(slot);
    return at === 0 ? 0 : length64At(this.view, at);
  }

  table(slot: number): FlatTable | undefined {
    const at = this.positionOf(slot);
    return at === 0 ? undefined : new FlatTable(this.view, at + this.view.getUint32(at, true));
  }

  /** A vector of structs (or scalars) of `elementBytes` each, wholly inside the bytes. */
  structs(slot: number, elementBytes: number): StructVector {
    const at = this.positionOf(slot);
    if (at === 0) return { position: 0, count: 0 };
    const start = at + this.view.getUint32(at, true);
    const count = this.view.getUint32(start, true);
    const position = start + 4;
    if (position + count * elementBytes > this.view.byteLength) {
      throw new RangeError(`a vector of ${count} elements does not fit its header`);
    }
    return { position, count };
  }

  tables(slot: number): readonly FlatTable[] {
    const { position, count } = this.structs(slot, 4);
    return Array.from({ length: count }, (_, i) => {
      const at = position + 4 * i;
      return new FlatTable(this.view, at + this.view.getUint32(at, true));
    });
  }

  /** Byte position of a field's value, or 0 when the field is absent. */
  positionOf(slot: number): number {
    const vtable = this.#position - this.view.getInt32(this.#position, true);
    const entry = 4 + 2 * slot;
    if (entry + 2 > this.view.getUint16(vtable, true)) return 0;
    const offset = this.view.getUint16(vtable + entry, true);
    return offset === 0 ? 0 : this.#position + offset;
  }
}

/** A 64-bit length at a byte position. @throws RangeError when it is negative or beyond 2^53. */
export function length64At(view: DataView, position: number): number {
  const high = view.getInt32(position + 4, true);
  const value = high * 2 ** 32 + view.getUint32(position, true);
  if (value < 0 || value > Number.MAX_SAFE_INTEGER)
    throw new RangeError(`the length ${value} makes no sense`);
  return value;
}
