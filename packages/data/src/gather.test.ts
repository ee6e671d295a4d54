import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ValueType } from "./arrow/vector-column.ts";
import { createRowStore, plainRowStore, wasmRowStore } from "./gather.ts";
import type { RowStore, RowStoreOptions } from "./gather.ts";

/** The same stored rows and order in both stores. */
function stores(options: RowStoreOptions, bits: Uint16Array, order: readonly number[]): RowStore[] {
  const wasm = wasmRowStore(options);
  if (wasm === undefined) throw new Error("the tests need WebAssembly SIMD");
  return [plainRowStore(options), wasm].map((store) => {
    store.bytes.set(new Uint8Array(bits.buffer, 0, store.bytes.length));
    store.order.set(order);
    return store;
  });
}

const bits = (values: Float32Array): number[] => [...new Uint32Array(values.buffer)];

/** NaNs may differ in bits that nobody reads. */
const oneNaN = (values: Float32Array): Float32Array => values.map((x) => (Number.isNaN(x) ? NaN : x));

/** Halves of stored numbers: any bits, and mostly such as give finite numbers. */
const anyHalf = fc.oneof(
  { weight: 30, arbitrary: fc.integer({ min: 0, max: 0x7bff }) },
  { weight: 30, arbitrary: fc.integer({ min: 0x8000, max: 0xfbff }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff }) },
);

const cases = fc
  .record({
    type: fc.constantFrom<ValueType>("float16", "float32"),
    dIn: fc.integer({ min: 1, max: 40 }),
    slots: fc.integer({ min: 1, max: 12 }),
    centred: fc.boolean(),
    scale: fc.constantFrom(1, 0.3, -2, 1e-30, 1e30),
    scaledApart: fc.boolean(),
    normalised: fc.boolean(),
  })
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      halves: fc.array(anyHalf, {
        minLength: 2 * shape.slots * shape.dIn,
        maxLength: 2 * shape.slots * shape.dIn,
      }),
      order: fc.array(fc.nat(shape.slots - 1), { minLength: shape.slots, maxLength: shape.slots }),
      mean: fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), {
        minLength: shape.dIn,
        maxLength: shape.dIn,
      }),
      first: fc.nat(shape.slots - 1),
    }),
  );

describe("the row store in WebAssembly", () => {
  it("delivers the bits of the plain one, and stops at the same row that is not finite", () => {
    const property = fc.property(cases, ({ shape, halves, order, mean, first }) => {
      const { type, dIn, slots, centred, scale, scaledApart, normalised } = shape;
      const scales = Float32Array.from({ length: dIn }, (_, i) => scale * (1 + i));
      // One vector or two, where there are numbers for them.
      const widths = dIn < 6 || slots % 2 === 0 ? [dIn] : [2, dIn - 2];
      const transform =
        normalised && dIn > 1
          ? { mean: undefined, scale: 1, layerNorm: widths }
          : {
              mean: centred ? Float32Array.from(mean) : undefined,
              ...(scaledApart ? { scale: 1, scales } : { scale }),
            };
      const both = stores({ type, dIn, slots, transform }, Uint16Array.from(halves), order);
      const rows = slots - first;
      const [plain, wasm] = both.map((store) => {
        const into = new Float32Array((rows + 2) * dIn).fill(9);
        const finite = store.gather(first, rows, into, dIn);
        return { finite, written: into.subarray(0, (Math.min(finite + 1, rows) + 1) * dIn).slice() };
      });
      expect(wasm!.finite).toBe(plain!.finite);
      expect(bits(oneNaN(wasm!.written))).toEqual(bits(oneNaN(plain!.written)));
    });
    fc.assert(property, { numRuns: 500 });
  });

  it("widens every half-precision number, and knows which are not finite", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    for (const dIn of [1, 16]) {
      const order = Array.from({ length: 65536 / dIn }, (_, i) => i);
      const [plain, wasm] = stores({ type: "float16", dIn, slots: 65536 / dIn }, all, order);
      for (let row = 0; row < order.length; row++) {
        const [expected, got] = [new Float32Array(dIn), new Float32Array(dIn)];
        expect(wasm!.gather(row, 1, got, 0)).toBe(plain!.gather(row, 1, expected, 0));
        expect(bits(oneNaN(got))).toEqual(bits(oneNaN(expected)));
      }
    }
  });

  it("takes more rows than it holds on their way, into shared memory", () => {
    const [dIn, slots] = [768, 300];
    const order = Array.from({ length: slots }, (_, i) => slots - 1 - i);
    const numbers = Float32Array.from({ length: dIn * slots }, (_, i) => i);
    const [, wasm] = stores({ type: "float32", dIn, slots }, new Uint16Array(numbers.buffer), order);
    const into = new Float32Array(new SharedArrayBuffer(4 * dIn * slots));
    expect(wasm!.gather(0, slots, into, 0)).toBe(slots);
    for (let row = 0; row < slots; row++) expect(into[row * dIn]).toBe((slots - 1 - row) * dIn);
  });

  it("gives way to the plain one where one memory is too small", () => {
    expect(wasmRowStore({ type: "float32", dIn: 1024, slots: 2 ** 20 })).toBeUndefined();
    expect(createRowStore({ type: "float32", dIn: 3, slots: 5 }).bytes).toHaveLength(60);
  });
});
