/**
 * Where the vectors of each batch of a file lie, in typed arrays: see `batch-table.ts` for why. Depends on buffers only.
 */
import type { RangeReader } from "../range-reader.ts";
import type { BufferSource } from "./buffers.ts";
import type { Codec } from "./compression.ts";
import type { Sequences } from "./sequences.ts";

/** The vectors of one record batch: `rows * dIn` numbers, contiguous, from byte `offset` of a buffer on. */
export interface BatchValues {
  readonly rows: number;
  readonly source: BufferSource;
  readonly offset: number;
  /** Undefined where a row of the file is a vector. */
  readonly sequences: Sequences | undefined;
}

const CODECS: readonly (Codec | undefined)[] = [undefined, "lz4", "zstd"];

/** The vectors of a file's batches. */
export class ValuesTable {
  /** Vectors of each batch. */
  readonly rows: Float64Array;
  /** Vectors of all batches entered. */
  totalRows = 0;
  /** True when a batch entered is compressed. */
  isPacked = false;
  readonly #file: RangeReader;
  /** Position and length of the buffer, its packed length, and the vectors' offset in it. */
  readonly #places: Float64Array;
  readonly #codecs: Uint8Array;
  /** Empty where rows are vectors. */
  readonly #sequences: (Sequences | undefined)[] = [];

  constructor(file: RangeReader, batches: number) {
    this.#file = file;
    this.rows = new Float64Array(batches);
    this.#places = new Float64Array(4 * batches);
    this.#codecs = new Uint8Array(batches);
  }

  /** Number of batches. */
  get length(): number {
    return this.rows.length;
  }

  /** Enters a batch, once. */
  set(batch: number, { rows, source, offset, sequences }: BatchValues): void {
    const { position, length, packed } = source;
    this.rows[batch] = rows;
    this.totalRows += rows;
    this.#places.set([position, length, packed?.length ?? 0, offset], 4 * batch);
    this.#codecs[batch] = CODECS.indexOf(packed?.codec);
    if (packed !== undefined) this.isPacked = true;
    if (sequences !== undefined) this.#sequences[batch] = sequences;
  }

  /** Batch `batch`; undefined when there is none. */
  at(batch: number): BatchValues | undefined {
    const rows = this.rows[batch];
    if (rows === undefined) return undefined;
    const places = this.#places;
    const at = 4 * batch;
    const codec = CODECS[this.#codecs[batch]!];
    const packed = codec === undefined ? undefined : { codec, length: places[at + 2]! };
    const source = { file: this.#file, position: places[at]!, length: places[at + 1]!, packed };
    return { rows, source, offset: places[at + 3]!, sequences: this.#sequences[batch] };
  }

  /** The sequences of a batch; undefined where rows are vectors. */
  sequences(batch: number): Sequences | undefined {
    return this.#sequences[batch];
  }
}
