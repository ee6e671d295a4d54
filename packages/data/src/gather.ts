/**
 * The stored rows of a shuffle window, and their way into a mini-batch: gathered in the order of the window,
 * widened, transformed, checked. WebAssembly SIMD does it in small groups of rows that stay in the processor's
 * cache on their way; plain TypeScript where that is not to be had. Both give the bits that transform.ts says.
 */
import { valueBytes } from "./arrow/vector-column.ts";
import type { ValueType } from "./arrow/vector-column.ts";
import { layerNormRows } from "./layer-norm.ts";
import { GATHER_MODULE } from "./gather.generated.ts";
import { areFinite, createRowWriter, rawValues, rowTarget, scaleRows, wholeTransform } from "./transform.ts";
import type { RowTransform } from "./transform.ts";

/** Memory for stored rows, one after the other in slots, filled again and again. */
export interface RowStore {
  /** The stored rows; slot r starts at r times the bytes of a row. */
  readonly bytes: Uint8Array;
  /** Row slots in the order of delivery. */
  readonly order: Uint32Array;
  /**
   * Delivers the rows in slots `order[first]`, `order[first + 1]`, … to `into`, from its index `to` on.
   * @returns how many rows are finite before the first that is not, which is written, too; `rows` if all are.
   */
  gather(first: number, rows: number, into: Float32Array, to: number): number;
}

/** What a store is for. */
export interface RowStoreOptions {
  readonly type: ValueType;
  readonly dIn: number;
  /** Most rows. */
  readonly slots: number;
  readonly transform?: RowTransform | undefined;
}

/** Allocates a store. @throws RangeError when there is no memory, or the mean has another dimension. */
export function createRowStore(options: RowStoreOptions): RowStore {
  return wasmRowStore(options) ?? plainRowStore(options);
}

/** The store in plain TypeScript: slower, of any size, and what the other is held to. */
export function plainRowStore({ type, dIn, slots, transform }: RowStoreOptions): RowStore {
  const bytes = new Uint8Array(slots * dIn * valueBytes(type));
  const values = rawValues(type, bytes.buffer, 0, slots * dIn);
  const order = new Uint32Array(slots);
  const writeRow = createRowWriter(type, dIn, transform);
  return {
    bytes,
    order,
    gather: (first, rows, into, to) => {
      const target = rowTarget(into);
      for (let i = 0; i < rows; i++) {
        if (!writeRow(values, order[first + i]! * dIn, target, to + i * dIn)) return i;
      }
      return rows;
    },
  };
}

/** The part of WebAssembly that is used here; there are no types of it without the DOM's. */
declare const WebAssembly: {
  readonly Memory: new (options: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
  validate(bytes: Uint8Array): boolean;
};

/** A function of assembly/gather.ts. Pointers are byte offsets into the memory. */
type Gather = (
  source: number,
  order: number,
  rows: number,
  dIn: number,
  mean: number,
  scale: number,
  out: number,
  ...constants: number[]
) => number;

/** Arguments of `gatherFloat16`, see there: 2^112, 65536, infinity. */
const FLOAT16_CONSTANTS = [2 ** 112, 65536, Infinity];

const PAGE = 65536;
const MOST_PAGES = 65536;
/** Rows on their way, which must stay in the second-level cache: 12 to 384 KiB were within 10 % of each other. */
const STAGING_BYTES = 192 * 1024;
/** The kernel takes so many rows at a time. */
const ROW_GROUP = 4;

/** The store in WebAssembly; undefined where it does not fit one memory of 4 GiB, or there are no vectors. */
export function wasmRowStore({ type, dIn, slots, transform }: RowStoreOptions): RowStore | undefined {
  const module = Buffer.from(GATHER_MODULE, "base64");
  const { mean, scale, scales, layerNorm } = wholeTransform(dIn, transform);
  const stagingRows = ROW_GROUP * Math.max(1, Math.floor(STAGING_BYTES / (ROW_GROUP * 4 * dIn)));
  let byteLength = 0;
  const region = (bytes: number): number => {
    const offset = byteLength;
    byteLength = Math.ceil((offset + bytes) / 64) * 64;
    return offset;
  };
  const meanOffset = region(4 * dIn);
  const stagingOffset = region(4 * dIn * stagingRows);
  const orderOffset = region(4 * slots);
  const rowsOffset = region(slots * dIn * valueBytes(type));
  const pages = Math.ceil(byteLength / PAGE);
  if (pages > MOST_PAGES || !WebAssembly.validate(module)) return undefined;

  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { buffer } = memory;
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module), { env: { memory } });
  const kernels = instance.exports as Readonly<Record<"gatherFloat16" | "gatherFloat32", Gather>>;
  const kernel = type === "float16" ? kernels.gatherFloat16 : kernels.gatherFloat32;
  const constants = type === "float16" ? FLOAT16_CONSTANTS : [];
  new Float32Array(buffer, meanOffset, dIn).set(mean);
  const staging = new Float32Array(buffer, stagingOffset, stagingRows * dIn);
  const stagingBits = new Int32Array(buffer, stagingOffset, stagingRows * dIn);
  /** Multiplies staged rows by scales of their own, of which the first `finite` of `rows` are finite before. */
  const scaleStaged = (finite: number, rows: number, by: Float32Array): number => {
    scaleRows(staging, 0, Math.min(rows, finite + 1), by);
    for (let row = 0; row < finite; row++) if (!areFinite(stagingBits, row * dIn, dIn)) return row;
    return finite;
  };
  return {
    bytes: new Uint8Array(buffer, rowsOffset, slots * dIn * valueBytes(type)),
    order: new Uint32Array(buffer, orderOffset, slots),
    gather: (first, rows, into, to) => {
      for (let done = 0; done < rows; done += stagingRows) {
        const take = Math.min(stagingRows, rows - done);
        const order = orderOffset + 4 * (first + done);
        let finite = kernel(rowsOffset, order, take, dIn, meanOffset, scale, stagingOffset, ...constants);
        if (scales !== undefined) finite = scaleStaged(finite, take, scales);
        if (layerNorm !== undefined) layerNormRows(staging, 0, finite, layerNorm);
        into.set(staging.subarray(0, Math.min(take, finite + 1) * dIn), to + done * dIn);
        if (finite < take) return done + finite;
      }
      return rows;
    },
  };
}
