import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createFloat16Table, encodeFloat16 } from "./float16.ts";

const table = createFloat16Table();

function encode(value: number): number {
  const bits = new Uint16Array(1);
  encodeFloat16(Float32Array.of(value), bits);
  return bits[0]!;
}

describe("float16", () => {
  it("survives widening and narrowing, every bit pattern but NaN's", () => {
    for (let bits = 0; bits < 65536; bits++) {
      const value = table[bits]!;
      const isNaNPattern = (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0;
      expect(Number.isNaN(value)).toBe(isNaNPattern);
      // Every NaN is narrowed to one.
      expect(encode(value) & 0x7fff).toBe(isNaNPattern ? 0x7e00 : bits & 0x7fff);
      expect(encode(value) >> 15).toBe(isNaNPattern ? 0 : bits >> 15);
    }
  });

  it("has the values of the standard", () => {
    const known = [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x3555, 0x7c00].map((bits) => table[bits]);
    expect(known).toEqual([1, -2, 65504, 2 ** -14, 2 ** -24, 0.333251953125, Infinity]);
    expect(Object.is(table[0x8000], -0)).toBe(true);
  });

  it("rounds to the nearest value, to even between two", () => {
    // Halfway between each pair of neighbours, and a little to either side.
    for (let bits = 0; bits < 0x7bff; bits++) {
      const low = table[bits]!;
      const high = table[bits + 1]!;
      const middle = (low + high) / 2;
      const little = (high - low) / 1024;
      expect(encode(middle)).toBe(bits % 2 === 0 ? bits : bits + 1);
      expect(encode(middle - little)).toBe(bits);
      expect(encode(middle + little)).toBe(bits + 1);
    }
  });

  it("is odd, and never off by more than half a step", () => {
    fc.assert(
      fc.property(fc.float({ min: -65504, max: 65504, noNaN: true }), (value) => {
        const bits = encode(value);
        expect(encode(-value)).toBe(bits ^ 0x8000);
        const step = Math.max(2 ** -24, 2 ** (Math.floor(Math.log2(Math.abs(value) || 1)) - 10));
        expect(Math.abs(table[bits]! - value)).toBeLessThanOrEqual(step / 2);
      }),
    );
  });

  it("reports the first number that it cannot hold", () => {
    const target = new Uint16Array(5);
    expect(encodeFloat16(Float32Array.of(1, 65519), target)).toBe(-1);
    expect(encodeFloat16(Float32Array.of(1, 65520, NaN), target, 2)).toBe(1);
    expect([...target]).toEqual([0x3c00, 0x7bff, 0x3c00, 0x7c00, 0x7e00]);
    expect(encodeFloat16(Float32Array.of(NaN), target)).toBe(0);
  });
});
