/**
 * Reads the numbers of vectors into memory: float32 and float16 as they are stored and straight to where they are
 * wanted, float64 and bfloat16 in pieces, as float32.
 */
import type { BufferReader } from "./buffers.ts";
import type { VectorColumn } from "./vector-batches.ts";
import { deliveredType, valueBytes } from "./vector-column.ts";

/** Numbers converted at a time. */
const PIECE_NUMBERS = 128 * 1024;

/**
 * Reads rows `firstRow .. firstRow + rows - 1` of a batch into `into`, `[rows, dIn]` numbers of the delivered type.
 * float64 is rounded to the nearest float32; bfloat16 is the upper half of a float32.
 */
export async function readVectors(
  reader: BufferReader,
  vectors: VectorColumn,
  dIn: number,
  range: { readonly batch: number; readonly firstRow: number; readonly rows: number },
  into: Uint8Array,
  place: { readonly path: string; readonly batch: number; readonly column: string },
  signal?: AbortSignal,
): Promise<void> {
  const { stored } = vectors;
  const values = vectors.batches.at(range.batch);
  if (values === undefined) throw new RangeError("the block belongs to another corpus");
  const start = values.offset + range.firstRow * dIn * valueBytes(stored);
  const count = range.rows * dIn;
  if (stored === deliveredType(stored)) {
    const bytes = count * valueBytes(stored);
    const target = into.byteLength === bytes ? into : into.subarray(0, bytes);
    await reader.read(values.source, start, target, place, signal);
    return;
  }
  for (let done = 0; done < count; done += PIECE_NUMBERS) {
    const numbers = Math.min(PIECE_NUMBERS, count - done);
    const piece = new Uint8Array(numbers * valueBytes(stored));
    await reader.read(values.source, start + done * valueBytes(stored), piece, place, signal);
    const converted = stored === "float64" ? fromFloat64(piece) : fromBfloat16(piece);
    into.set(converted, done * 4);
  }
}

function fromFloat64(piece: Uint8Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(Float32Array.from(new Float64Array(piece.buffer)).buffer);
}

function fromBfloat16(piece: Uint8Array<ArrayBuffer>): Uint8Array {
  const halves = new Uint16Array(piece.buffer);
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Uint8Array(bits.buffer);
}
