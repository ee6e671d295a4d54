import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeSafetensors,
  encodeSafetensors,
  type SafetensorsData,
  type SafetensorsDtype,
  SafetensorsError,
  type SafetensorsInput,
  safetensorsParts,
} from "./safetensors.ts";

/** Written by the Python package safetensors 0.8.0: n int64 scalar, w float32, b bfloat16, h float16, m bool. */
const FOREIGN = Uint8Array.from(
  atob(
    "OAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJmb3JtYXQiOiJwdCJ9LCJuIjp7ImR0eXBlIjoiSTY0Iiwic2hhcGUiOltdLCJkYXRhX29mZnNl" +
      "dHMiOlswLDhdfSwidyI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbOCwzMl19LCJiIjp7ImR0eXBlIjoi" +
      "QkYxNiIsInNoYXBlIjpbMV0sImRhdGFfb2Zmc2V0cyI6WzMyLDM0XX0sImgiOnsiZHR5cGUiOiJGMTYiLCJzaGFwZSI6WzJdLCJkYXRhX29m" +
      "ZnNldHMiOlszNCwzOF19LCJtIjp7ImR0eXBlIjoiQk9PTCIsInNoYXBlIjpbM10sImRhdGFfb2Zmc2V0cyI6WzM4LDQxXX19ICAgICAHAAAA" +
      "AAAAAAAAAAAAAAA/AACAPwAAwD8AAABAAAAgQMA/ADwAwAEAAQ==",
  ),
  (character) => character.charCodeAt(0),
);

const FOREIGN_TENSORS: Record<string, SafetensorsInput & { dtype: SafetensorsDtype }> = {
  n: { dtype: "I64", shape: [], data: BigInt64Array.of(7n) },
  w: { dtype: "F32", shape: [2, 3], data: Float32Array.of(0, 0.5, 1, 1.5, 2, 2.5) },
  b: { dtype: "BF16", shape: [1], data: Uint16Array.of(0x3fc0) },
  h: { dtype: "F16", shape: [2], data: Uint16Array.of(0x3c00, 0xc000) },
  m: { dtype: "BOOL", shape: [3], data: Uint8Array.of(1, 0, 1) },
};

/** A file from any header text and data, lengths included, valid or not. */
function file(header: string, data: Uint8Array = new Uint8Array()): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.length);
  return bytes;
}

/** What decoding gives: the tensors, or whatever it threw. */
function outcome(bytes: Uint8Array): unknown {
  try {
    return decodeSafetensors(bytes).tensors;
  } catch (error) {
    return error;
  }
}

function bits(data: SafetensorsData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
}

describe("against the Python package", () => {
  it("reads a file that Python wrote", () => {
    const { tensors, metadata } = decodeSafetensors(FOREIGN);
    expect(Object.fromEntries(tensors)).toEqual(FOREIGN_TENSORS);
    expect([...metadata]).toEqual([["format", "pt"]]);
  });

  it("writes the same bytes as Python", () => {
    expect(encodeSafetensors(FOREIGN_TENSORS, { format: "pt" })).toEqual(FOREIGN);
  });
});

describe("encodeSafetensors", () => {
  it("pads the header with spaces to a multiple of 8 bytes and aligns every tensor", () => {
    const bytes = encodeSafetensors({
      odd: { shape: [3], data: Uint8Array.of(1, 2, 3) },
      wide: { shape: [1], data: Float64Array.of(0.5) },
    });
    const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(headerBytes % 8).toBe(0);
    const header = new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes));
    expect(JSON.parse(header)).toEqual({
      wide: { dtype: "F64", shape: [1], data_offsets: [0, 8] },
      odd: { dtype: "U8", shape: [3], data_offsets: [8, 11] },
    });
    expect(header.trimEnd()).toBe(JSON.stringify(JSON.parse(header)));
  });

  it("gives the same bytes whatever the order of the tensors", () => {
    const a = { shape: [1], data: Float32Array.of(1) };
    const b = { shape: [1], data: Float32Array.of(2) };
    expect(encodeSafetensors({ a, b })).toEqual(encodeSafetensors({ b, a }));
  });

  it("writes tensors that lie in shared memory", () => {
    const data = new Float32Array(new SharedArrayBuffer(16), 4, 2);
    data.set([3, 4]);
    const { tensors } = decodeSafetensors(encodeSafetensors({ x: { shape: [2], data } }));
    expect(tensors.get("x")?.data).toEqual(Float32Array.of(3, 4));
  });

  it("gives in parts the same file, over the tensors' own memory", () => {
    const data = Float32Array.of(1, 2);
    const parts = safetensorsParts({ x: { shape: [2], data } });
    expect(parts[1]?.buffer).toBe(data.buffer);
    expect(Buffer.concat(parts).equals(encodeSafetensors({ x: { shape: [2], data } }))).toBe(true);
  });

  it.each([
    ["a shape that does not match", { x: { shape: [2, 2], data: new Float32Array(3) } }, /"x".*\[2, 2\].*3/],
    ["a negative length", { x: { shape: [-1], data: new Float32Array(0) } }, /"x".*-1/],
    ["a fractional length", { x: { shape: [0.5, 2], data: new Float32Array(1) } }, /"x".*0\.5/],
    [
      "an array of another type",
      { x: { shape: [1], data: new Float32Array(1), dtype: "F16" } },
      /Uint16Array/,
    ],
    ["the reserved name", { __metadata__: { shape: [1], data: new Float32Array(1) } }, /reserved/],
  ] as [string, Record<string, SafetensorsInput>, RegExp][])("refuses %s", (_, tensors, message) => {
    expect(() => encodeSafetensors(tensors)).toThrow(SafetensorsError);
    expect(() => encodeSafetensors(tensors)).toThrow(message);
  });

  it("refuses metadata that is not a string", () => {
    expect(() => encodeSafetensors({}, { step: 3 as unknown as string })).toThrow(/metadata "step".*number/);
  });
});

describe("decodeSafetensors", () => {
  const good = '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';

  it("reads a file without padding, as a header of any length may come", () => {
    const { tensors } = decodeSafetensors(file(good, new Uint8Array(Float32Array.of(5, 6).buffer)));
    expect(tensors.get("x")).toEqual({ dtype: "F32", shape: [2], data: Float32Array.of(5, 6) });
  });

  it("reads from any byte offset, also of a Node Buffer", () => {
    const bytes = encodeSafetensors({ x: { shape: [2], data: Float32Array.of(7, 8) } });
    for (let offset = 0; offset < 8; offset++) {
      const moved = Buffer.alloc(bytes.length + offset);
      moved.set(bytes, offset);
      expect(decodeSafetensors(moved.subarray(offset)).tensors.get("x")?.data).toEqual(Float32Array.of(7, 8));
    }
  });

  it("gives views on the file, not copies, where the file is aligned", () => {
    const bytes = encodeSafetensors({ x: { shape: [2], data: Float32Array.of(7, 8) } });
    expect(decodeSafetensors(bytes).tensors.get("x")?.data.buffer).toBe(bytes.buffer);
  });

  it("reads names that objects inherit or treat specially", () => {
    const bytes = file('{"__proto__":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', Uint8Array.of(9));
    const { tensors } = decodeSafetensors(bytes);
    expect(tensors.get("__proto__")?.data).toEqual(Uint8Array.of(9));
    expect(tensors.get("constructor")).toBeUndefined();
  });

  it.each([
    ["nothing", new Uint8Array(), /0 bytes/],
    ["a file shorter than its length field", new Uint8Array(7), /7 bytes/],
    ["a header above 100 MB", file("{}").fill(0xff, 4, 8), /at most 100000000/],
    ["a header longer than the file", file(good).subarray(0, 30), /cut short/],
    ["text that is not JSON", file("hello!"), /not JSON/],
    ["invalid UTF-8", file("{}").fill(0xff, 8, 9), /not JSON/],
    ["a list", file("[]"), /not a JSON object/],
    ["an entry that is no object", file('{"x":3}'), /"x".*not an object/],
    ["an unknown dtype", file('{"x":{"dtype":"F7","shape":[],"data_offsets":[0,0]}}'), /"x".*"F7"/],
    ["an inherited dtype", file('{"x":{"dtype":"toString","shape":[],"data_offsets":[0,0]}}'), /toString/],
    ["a shape that is no list", file('{"x":{"dtype":"U8","shape":1,"data_offsets":[0,1]}}'), /shape/],
    ["a negative length", file('{"x":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}'), /-1/],
    [
      "a shape whose product overflows",
      file('{"x":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'),
      /too large/,
    ],
    ["missing offsets", file('{"x":{"dtype":"U8","shape":[1]}}'), /data_offsets/],
    ["fractional offsets", file('{"x":{"dtype":"U8","shape":[1],"data_offsets":[0.5,1.5]}}'), /data_offsets/],
    [
      "offsets that disagree with the shape",
      file('{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', new Uint8Array(4)),
      /takes 8 bytes.*span 4/,
    ],
    ["data cut short", file(good, new Uint8Array(7)), /"x".*byte 8 of 7/],
    ["data left over", file(good, new Uint8Array(9)), /9 bytes of data.*take 8/],
    [
      "overlapping tensors",
      file(
        '{"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}',
        new Uint8Array(3),
      ),
      /"y".*overlaps/,
    ],
    [
      "a gap between tensors",
      file('{"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', new Uint8Array(2)),
      /"x".*gap/,
    ],
    ["metadata that is no object", file('{"__metadata__":[]}'), /__metadata__/],
    ["metadata that is no string", file('{"__metadata__":{"a":1}}'), /"a"/],
  ] as [string, Uint8Array, RegExp][])("refuses %s", (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes)).toThrow(SafetensorsError);
    expect(() => decodeSafetensors(bytes)).toThrow(message);
  });
});

describe("round trip", () => {
  const constructors = {
    F64: Float64Array,
    F32: Float32Array,
    F16: Uint16Array,
    BF16: Uint16Array,
    I64: BigInt64Array,
    I32: Int32Array,
    I16: Int16Array,
    I8: Int8Array,
    U64: BigUint64Array,
    U32: Uint32Array,
    U16: Uint16Array,
    U8: Uint8Array,
    BOOL: Uint8Array,
  } satisfies Record<SafetensorsDtype, unknown>;
  const tensor = fc
    .record({
      dtype: fc.constantFrom(...(Object.keys(constructors) as SafetensorsDtype[])),
      shape: fc.array(fc.nat(4), { maxLength: 3 }),
      seed: fc.uint8Array({ minLength: 512, maxLength: 512 }),
    })
    .map(({ dtype, shape, seed }): SafetensorsInput & { dtype: SafetensorsDtype } => {
      const elements = shape.reduce((product, length) => product * length, 1);
      return { dtype, shape, data: new constructors[dtype](seed.slice().buffer, 0, elements) };
    });

  it("keeps every name, type, shape, bit and metadata string", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: "grapheme" }), tensor, { maxKeys: 6 }),
        fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
        (tensors, metadata) => {
          const decoded = decodeSafetensors(encodeSafetensors(tensors, metadata));
          expect(new Set(decoded.tensors.keys())).toEqual(new Set(Object.keys(tensors)));
          for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
            const read = decoded.tensors.get(name);
            expect(read?.dtype).toBe(dtype);
            expect(read?.shape).toEqual(shape);
            expect(read && bits(read.data)).toEqual(bits(data));
          }
          expect(Object.fromEntries(decoded.metadata)).toEqual({ ...metadata });
        },
      ),
    );
  });

  it("never fails in another way than SafetensorsError on damaged files", () => {
    const bytes = encodeSafetensors(FOREIGN_TENSORS, { format: "pt" });
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(8), (at, flip, cut) => {
        const damaged = bytes.slice(0, bytes.length - cut);
        if (at < damaged.length) damaged[at] = (damaged[at] ?? 0) ^ flip;
        expect(outcome(damaged)).toSatisfy(
          (result) => result instanceof Map || result instanceof SafetensorsError,
        );
      }),
    );
  });
});
