/**
 * The bytes of an Arrow IPC file around the values: magic, schema, record batch headers, footer. apache-arrow
 * encodes the headers; the layout is made here, because its own writer neither waits for the disk nor aligns
 * bodies. Knows no files.
 */
import {
  Bool,
  Field,
  FixedSizeList,
  Float16,
  Float32,
  Float64,
  Int8,
  Int16,
  Int32,
  Int64,
  Message,
  MetadataVersion,
  Schema,
  Uint8,
  Uint16,
  Uint32,
  Uint64,
  Utf8,
} from "apache-arrow";
import type { DataType } from "apache-arrow";
import { FileBlock, Footer } from "apache-arrow/ipc/metadata/file";
import { BufferRegion, FieldNode, RecordBatch } from "apache-arrow/ipc/metadata/message";
import type { CorpusColumn } from "../corpus.ts";
import type { ValueType } from "./vector-column.ts";

/** Types of label columns that can be written. */
export type WrittenLabelType =
  | "utf8"
  | "bool"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64"
  | "float32"
  | "float64";

/** The columns of a file. */
export interface FileShape {
  /** The vector columns, all of one type. */
  readonly columns: readonly CorpusColumn[];
  readonly type: ValueType;
  readonly labels: Readonly<Record<string, WrittenLabelType>>;
}

/** Where a record batch lies in a file. Plain JSON. */
export interface BatchPlace {
  readonly metadataBytes: number;
  readonly bodyBytes: number;
  readonly position: number;
}

/** Cache lines and SIMD registers: the alignment that Arrow recommends. */
const ALIGNMENT = 64;
const MAGIC: Uint8Array = new TextEncoder().encode("ARROW1");

/** Gives the chunks of a file in order; each must be written before the next is asked for. */
export class FileEncoder {
  readonly #schema: Schema;
  readonly #blocks: BatchPlace[] = [];
  readonly #widths: readonly number[];
  #position = 0;

  /** @param written the record batches of a file of this shape that is to be gone on with. */
  constructor(shape: FileShape, written: readonly BatchPlace[] = []) {
    this.#widths = shape.columns.map(({ dIn }) => dIn);
    const item = shape.type === "float16" ? new Float16() : new Float32();
    const vectors = shape.columns.map(
      ({ name, dIn }) => new Field(name, new FixedSizeList(dIn, new Field("item", item, false)), false),
    );
    const labels = Object.entries(shape.labels).map(
      ([name, type]) => new Field(name, labelType(type), false),
    );
    this.#schema = new Schema([...vectors, ...labels]);
    const last = written.at(-1);
    if (last !== undefined) {
      this.#blocks.push(...written);
      this.#position = last.position + last.metadataBytes + last.bodyBytes;
    }
  }

  /** Bytes given so far. */
  get bytes(): number {
    return this.#position;
  }

  /** Where the record batches lie that were given so far. */
  get batches(): readonly BatchPlace[] {
    return this.#blocks;
  }

  /** Magic and schema. */
  start(): readonly Uint8Array[] {
    const metadata = this.#messageBytes(Message.encode(Message.from(this.#schema)), MAGIC.length + 2);
    return this.#given([MAGIC, new Uint8Array(2), metadata]);
  }

  /**
   * A record batch.
   * @param values each vector column's stored numbers, `[rows, dIn]`.
   * @param labels each label column's buffers after its validity bitmap, in the order of the shape.
   */
  batch(
    rows: number,
    values: readonly Uint8Array[],
    labels: readonly (readonly Uint8Array[])[],
  ): readonly Uint8Array[] {
    const nodes: FieldNode[] = [];
    const none = new Uint8Array(0);
    const buffers: Uint8Array[] = [];
    for (const [i, width] of this.#widths.entries()) {
      nodes.push(new FieldNode(rows, 0), new FieldNode(rows * width, 0));
      // Without nulls a validity bitmap may have no bytes. The list has one, its numbers have one.
      buffers.push(none, none, values[i] ?? none);
    }
    for (const columnBuffers of labels) {
      nodes.push(new FieldNode(rows, 0));
      buffers.push(none, ...columnBuffers);
    }
    const body: Uint8Array[] = [];
    const regions: BufferRegion[] = [];
    let length = 0;
    for (const buffer of buffers) {
      regions.push(new BufferRegion(length, buffer.byteLength));
      const gap = padding(buffer.byteLength);
      if (buffer.byteLength > 0) body.push(buffer);
      if (gap > 0) body.push(new Uint8Array(gap));
      length += buffer.byteLength + gap;
    }
    const header = new RecordBatch(rows, nodes, regions, null);
    const metadata = this.#messageBytes(Message.encode(Message.from(header, length)), this.#position);
    this.#blocks.push({ metadataBytes: metadata.byteLength, bodyBytes: length, position: this.#position });
    return this.#given([metadata, ...body]);
  }

  /** End mark, footer, magic. */
  end(): readonly Uint8Array[] {
    const mark = Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0);
    const blocks = this.#blocks.map(
      ({ metadataBytes, bodyBytes, position }) => new FileBlock(metadataBytes, bodyBytes, position),
    );
    const footer = Footer.encode(new Footer(this.#schema, MetadataVersion.V5, blocks, []));
    const length = new Uint8Array(4);
    new DataView(length.buffer).setInt32(0, footer.byteLength, true);
    return this.#given([mark, footer, length, MAGIC]);
  }

  /** A message's metadata with its prefix, padded so that what follows it in the file is aligned. */
  #messageBytes(metadata: Uint8Array, position: number): Uint8Array {
    const length = 8 + metadata.byteLength;
    const padded = length + padding(position + length);
    const bytes = new Uint8Array(padded);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 0xffffffff, true);
    view.setInt32(4, padded - 8, true);
    bytes.set(metadata, 8);
    return bytes;
  }

  #given(chunks: readonly Uint8Array[]): readonly Uint8Array[] {
    for (const chunk of chunks) this.#position += chunk.byteLength;
    return chunks;
  }
}

function padding(length: number): number {
  return (ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT;
}

/** The Arrow type of a label column. */
export function labelType(type: WrittenLabelType): DataType {
  switch (type) {
    case "utf8":
      return new Utf8();
    case "bool":
      return new Bool();
    case "int8":
      return new Int8();
    case "int16":
      return new Int16();
    case "int32":
      return new Int32();
    case "int64":
      return new Int64();
    case "uint8":
      return new Uint8();
    case "uint16":
      return new Uint16();
    case "uint32":
      return new Uint32();
    case "uint64":
      return new Uint64();
    case "float32":
      return new Float32();
    case "float64":
      return new Float64();
  }
}
