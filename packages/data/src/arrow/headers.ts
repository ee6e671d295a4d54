/**
 * Arrow's message headers, decoded: which buffers a record batch has and where. The schema itself, with its
 * many types, is left to apache-arrow, once its structure has been checked. Knows no files.
 *
 * Flatbuffer slots (Message.fbs, Schema.fbs, File.fbs):
 *   Message          0 version, 1 header type, 2 header, 3 body length
 *   Schema           0 endianness, 1 fields, 2 metadata
 *   Field            0 name, 1 nullable, 2 type kind, 3 type, 4 dictionary, 5 children, 6 metadata
 *   RecordBatch      0 rows, 1 nodes {i64 length, i64 nulls}, 2 buffers {i64 offset, i64 length},
 *                    3 compression, 4 variadic buffer counts
 *   DictionaryBatch  0 id, 1 record batch, 2 is delta
 *   Footer           0 version, 1 schema, 2 dictionaries, 3 record batches
 *                    {i64 offset, i32 metadata length, 4 bytes of padding, i64 body length}
 */
import { DataType, Field, Message } from "apache-arrow";
import type { Schema } from "apache-arrow";
import { Footer } from "apache-arrow/ipc/metadata/file";
import type { Codec } from "./compression.ts";
import { FlatTable, length64At } from "./flatbuffer.ts";
import { putBackUnknownTypes, withoutUnknownTypes } from "./unknown-types.ts";

/** Length and nulls of one column, or child of a column, in a batch. */
export interface FieldNode {
  readonly length: number;
  readonly nullCount: number;
}

/** One buffer, relative to the start of the batch's body. */
export interface BufferRegion {
  readonly offset: number;
  readonly length: number;
}

/** What a record batch holds; nodes and buffers in Arrow's order, depth first. */
export interface BatchHeader {
  readonly rows: number;
  readonly nodes: readonly FieldNode[];
  readonly buffers: readonly BufferRegion[];
  readonly variadicCounts: readonly number[];
  /** How each buffer is compressed; undefined when none is. */
  readonly compression: Codec | "unknown" | undefined;
}

/** A decoded message. */
export type MessageHeader =
  | { readonly kind: "schema"; readonly schema: Schema; readonly bodyLength: number }
  | { readonly kind: "batch"; readonly batch: BatchHeader; readonly bodyLength: number }
  | {
      readonly kind: "dictionary";
      readonly id: number;
      readonly isDelta: boolean;
      readonly batch: BatchHeader;
      readonly bodyLength: number;
    }
  | { readonly kind: "other"; readonly bodyLength: number };

/** Where a message of an Arrow file lies. */
export interface FooterBlock {
  readonly offset: number;
  readonly metadataLength: number;
  readonly bodyLength: number;
}

/** Thrown for big-endian data, which is valid Arrow that nothing common writes. */
export class BigEndianError extends Error {}

const SCHEMA = 1;
const DICTIONARY_BATCH = 2;
const RECORD_BATCH = 3;
const VERSION_V4 = 3;
const MAX_NESTING = 64;
const MAX_FIELDS = 65_536;

/**
 * Decodes a message's metadata (without its length prefix).
 * @throws RangeError or another error when the bytes are not a message; BigEndianError.
 */
export function decodeMessage(metadata: Uint8Array): MessageHeader {
  const message = FlatTable.root(metadata);
  const bodyLength = message.length64(3);
  const kind = message.uint8(1);
  const header = message.table(2);
  if (header === undefined) throw new RangeError("the message has no header");
  if (message.int16(0) < VERSION_V4) throw new RangeError("the message is older than Arrow 1.0");
  if (kind === SCHEMA) {
    const schema = decodeSchema(metadata, header, (shown) => {
      const decoded = Message.decode(shown);
      if (!decoded.isSchema()) throw new RangeError("the schema message holds no schema");
      return decoded.header();
    });
    return { kind: "schema", schema, bodyLength };
  }
  if (kind === RECORD_BATCH) return { kind: "batch", batch: decodeBatch(header), bodyLength };
  if (kind === DICTIONARY_BATCH) {
    const batch = header.table(1);
    if (batch === undefined) throw new RangeError("the dictionary has no values");
    const id = header.length64(0);
    return {
      kind: "dictionary",
      id,
      isDelta: header.uint8(2) !== 0,
      batch: decodeBatch(batch),
      bodyLength,
    };
  }
  return { kind: "other", bodyLength };
}

/** A footer's list of messages, each decoded when it is asked for. */
export interface FooterBlocks {
  readonly length: number;
  /** @throws RangeError when its numbers make no sense, or there is none. */
  at(index: number): FooterBlock;
}

/** What an Arrow file's footer says. */
export interface FooterHeader {
  readonly schema: Schema;
  readonly dictionaries: FooterBlocks;
  readonly batches: FooterBlocks;
}

/** Decodes a footer. @throws RangeError or another error when it is damaged; BigEndianError. */
export function decodeFooter(bytes: Uint8Array): FooterHeader {
  const footer = FlatTable.root(bytes);
  const schema = footer.table(1);
  if (schema === undefined) throw new RangeError("it holds no schema");
  return {
    schema: decodeSchema(bytes, schema, (shown) => Footer.decode(shown).schema),
    dictionaries: footerBlocks(footer, 2),
    batches: footerBlocks(footer, 3),
  };
}

function footerBlocks(footer: FlatTable, slot: number): FooterBlocks {
  const { position, count } = footer.structs(slot, 24);
  const at = (index: number): FooterBlock => {
    if (index >= count) throw new RangeError(`there is no message ${index} in a footer of ${count}`);
    const start = position + 24 * index;
    return {
      offset: length64At(footer.view, start),
      metadataLength: footer.view.getUint32(start + 8, true),
      bodyLength: length64At(footer.view, start + 16),
    };
  };
  // Damaged numbers are found while the footer is decoded.
  for (let index = 0; index < count; index++) at(index);
  return { length: count, at };
}

function decodeBatch(table: FlatTable): BatchHeader {
  const nodes = table.structs(1, 16);
  const buffers = table.structs(2, 16);
  const counts = table.structs(4, 8);
  const { view } = table;
  const pairs = (position: number, count: number): [number, number][] =>
    Array.from({ length: count }, (_, i) => [
      length64At(view, position + 16 * i),
      length64At(view, position + 16 * i + 8),
    ]);
  return {
    rows: table.length64(0),
    nodes: pairs(nodes.position, nodes.count).map(([length, nullCount]) => ({ length, nullCount })),
    buffers: pairs(buffers.position, buffers.count).map(([offset, length]) => ({ offset, length })),
    variadicCounts: Array.from({ length: counts.count }, (_, i) => length64At(view, counts.position + 8 * i)),
    compression: codecOf(table.table(3)),
  };
}

/** BodyCompression: 0 codec (0 LZ4 frame, 1 ZSTD), 1 method (0 each buffer by itself). */
function codecOf(compression: FlatTable | undefined): BatchHeader["compression"] {
  if (compression === undefined) return undefined;
  const codec = compression.uint8(0);
  if (compression.uint8(1) !== 0 || codec > 1) return "unknown";
  return codec === 0 ? "lz4" : "zstd";
}

/** @param decode what apache-arrow makes of the header, once all of its types are known to it. */
function decodeSchema(header: Uint8Array, schema: FlatTable, decode: (shown: Uint8Array) => Schema): Schema {
  checkSchema(schema);
  const fields = schema.tables(1);
  const decoded = decode(withoutUnknownTypes(header, fields));
  putBackUnknownTypes(fields, decoded.fields as readonly Field[]);
  return checkDecoded(decoded);
}

function checkSchema(schema: FlatTable): void {
  if (schema.int16(0) !== 0) throw new BigEndianError("the file is big-endian");
  schema.structs(2, 4);
  const budget = { fields: MAX_FIELDS };
  for (const field of schema.tables(1)) checkField(field, 0, budget);
}

/** Tables of a flatbuffer may be shared, so a few damaged bytes can make a tree without end: it is counted. */
function checkField(field: FlatTable, depth: number, budget: { fields: number }): void {
  if (depth > MAX_NESTING) throw new RangeError("the schema is nested too deeply");
  if (--budget.fields < 0) throw new RangeError(`the schema has more than ${MAX_FIELDS} fields`);
  field.structs(0, 1);
  field.structs(6, 4);
  for (const child of field.tables(5)) checkField(child, depth + 1, budget);
}

/** The fields of a type that was decoded, which may lack them. */
function childrenOf(type: DataType | undefined): readonly Field[] {
  return (type?.children as readonly Field[] | null | undefined) ?? [];
}

/** What apache-arrow takes for granted of a schema that it decoded: columns have names, lists and maps have one element. */
function checkDecoded(schema: Schema): Schema {
  const check = (field: Field): void => {
    const type: DataType = field.type;
    const children = childrenOf(type);
    const isList = DataType.isList(type) || DataType.isLargeList(type) || DataType.isFixedSizeList(type);
    if (isList && children.length !== 1) throw new RangeError("a list does not say of what");
    if (DataType.isMap(type) && childrenOf(children[0]?.type).length !== 2)
      throw new RangeError("a map does not say of what");
    for (const child of children) check(child);
    if (DataType.isDictionary(type)) check(new Field("values", type.dictionary as DataType));
  };
  for (const field of schema.fields as readonly Field[]) {
    // An empty name may be left out of the file.
    (field as { name: string }).name ??= "";
    check(field);
  }
  return schema;
}
