/**
 * Activation caches of any size that take no space on the disk: the batches that SAELens writes (an Arrow stream,
 * `list<list<float>>` and the token ids of each sequence), with holes for the numbers.
 */
import { Field, FixedSizeList, Float32, Int32, List, Message, Schema } from "apache-arrow";
import { BufferRegion, FieldNode, RecordBatch } from "apache-arrow/ipc/metadata/message";
import { open } from "node:fs/promises";

/** The shape of a cache, and the rows that are not zero. */
export interface SparseCacheShape {
  /** Sequences of each batch. */
  readonly batches: readonly number[];
  readonly contextSize: number;
  readonly dIn: number;
  /** Row r of the file begins with the number v. */
  readonly marks: readonly (readonly [row: number, value: number])[];
}

/** Writes such a cache; token t of sequence s has the id 0. */
export async function writeSparseCache(path: string, shape: SparseCacheShape): Promise<void> {
  const { contextSize, dIn, batches, marks } = shape;
  const vector = new List(new Field("item", new Float32(), true));
  const activation = new Field("activation", new List(new Field("item", vector, true)), true);
  const tokens = new FixedSizeList(contextSize, new Field("item", new Int32(), true));
  const schema = new Schema([activation, new Field("token_ids", tokens, true)]);
  await using file = await open(path, "wx");
  let position = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    await file.write(bytes, 0, bytes.length, position);
    position += bytes.length;
  };
  await write(message(Message.encode(Message.from(schema))));
  let firstRow = 0;
  for (const sequences of batches) {
    const rows = sequences * contextSize;
    const sizes = [0, 4 * (sequences + 1), 0, 4 * (rows + 1), 0, 4 * rows * dIn, 0, 0, 4 * rows];
    const regions: BufferRegion[] = [];
    let length = 0;
    for (const size of sizes) {
      regions.push(new BufferRegion(length, size));
      length += Math.ceil(size / 64) * 64;
    }
    const nodes = [sequences, rows, rows * dIn, sequences, rows].map((count) => new FieldNode(count, 0));
    await write(
      message(Message.encode(Message.from(new RecordBatch(sequences, nodes, regions, null), length))),
    );
    const body = position;
    const ends = (count: number, stride: number): Uint8Array =>
      new Uint8Array(Int32Array.from({ length: count + 1 }, (_, i) => i * stride).buffer);
    await file.write(ends(sequences, contextSize), 0, sizes[1], body + regions[1]!.offset);
    await file.write(ends(rows, dIn), 0, sizes[3], body + regions[3]!.offset);
    for (const [row, value] of marks) {
      if (row < firstRow || row >= firstRow + rows) continue;
      const place = body + regions[5]!.offset + (row - firstRow) * dIn * 4;
      await file.write(new Uint8Array(Float32Array.of(value).buffer), 0, 4, place);
    }
    position = body + length;
    firstRow += rows;
  }
  await write(Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0));
}

/** A message's header with its prefix, padded to 8 bytes. */
function message(header: Uint8Array): Uint8Array {
  const padded = Math.ceil(header.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0xffffffff, true);
  view.setInt32(4, padded, true);
  bytes.set(header, 8);
  return bytes;
}
