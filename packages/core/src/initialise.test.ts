import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bits, normals, setupOf, sparseModel } from "../test/support.ts";
import type { SparseArena } from "./arena-sparse.ts";
import { allocateMemory, type Arena, openArena } from "./arena.ts";
import { OptionError } from "./errors.ts";
import {
  FREE_DECODER_NORM,
  geometricMedian,
  type Initialisation,
  initialise,
  refreshDerived,
} from "./initialise.ts";
import { planRun } from "./plan.ts";
import type { ModelSetup } from "./setup.ts";

const D = 7;
const F = 19;

function initialised(model: ModelSetup, initialisation: Initialisation): Arena {
  const plan = planRun({ setup: setupOf(model), workers: 1, slots: 1 });
  const arena = openArena(plan, allocateMemory(plan, { shared: false }).buffer);
  initialise(arena, initialisation);
  return arena;
}

function sparse(initialisation: Initialisation, part: Parameters<typeof sparseModel>[0] = {}): SparseArena {
  return initialised(sparseModel(part), initialisation) as SparseArena;
}

const rowOf = (data: ArrayLike<number>, row: number) => Array.from(data).slice(row * D, (row + 1) * D);
const norm = (row: readonly number[]) => Math.hypot(...row);
const cosine = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, j) => sum + value * b[j]!, 0) / (norm(a) * norm(b));
const difference = (a: readonly number[], b: readonly number[]) => a.map((value, j) => value - b[j]!);

describe("the decoder's initial rows", () => {
  it("are distinct random directions of norm 1 without data", () => {
    const { W_dec, decoderNorm } = sparse({ seed: 1 });
    for (let i = 0; i < F; i++) {
      expect(norm(rowOf(W_dec.value, i))).toBeCloseTo(1, 6);
      for (let other = 0; other < i; other++) {
        expect(Math.abs(cosine(rowOf(W_dec.value, i), rowOf(W_dec.value, other)))).toBeLessThan(0.999);
      }
    }
    expect(decoderNorm).toEqual(new Float32Array(F).fill(1));
  });

  it("have norm 0.1 where the decoder is free, and their norms are known", () => {
    const { W_dec, decoderNorm } = sparse({ seed: 1 }, { architecture: "relu", decoder: "free" });
    for (let i = 0; i < F; i++) {
      expect(norm(rowOf(W_dec.value, i))).toBeCloseTo(FREE_DECODER_NORM, 6);
      expect(decoderNorm[i]).toBeCloseTo(FREE_DECODER_NORM, 6);
    }
  });

  it("have another norm where one is asked for, and none of it where the decoder is of norm 1", () => {
    const free = sparse({ seed: 1, decoderNorm: 0.7 }, { architecture: "relu", decoder: "free" });
    const unit = sparse({ seed: 1, decoderNorm: 0.7 });
    for (let i = 0; i < F; i++) {
      expect(norm(rowOf(free.W_dec.value, i))).toBeCloseTo(0.7, 6);
      expect(norm(rowOf(unit.W_dec.value, i))).toBeCloseTo(1, 6);
    }
  });

  it("have uniform entries within ±1/√d where asked to, as drawn if free, else of norm 1", () => {
    const dIn = 64;
    const shape = { dIn, latents: 200, architecture: "relu" } as const;
    const { W_dec } = sparse({ seed: 1, decoderEntries: "uniform" }, { ...shape, decoder: "free" });
    const edge = 1 / Math.sqrt(dIn);
    // Uniform: a quarter of the entries in each quarter of the range.
    const quarters = [0, 0, 0, 0];
    for (const entry of W_dec.value) quarters[Math.floor((2 * (entry + edge)) / edge)]!++;
    for (const quarter of quarters) expect(Math.abs(quarter / W_dec.value.length - 0.25)).toBeLessThan(0.01);
    const unit = sparse({ seed: 1, decoderEntries: "uniform" }, { ...shape, decoder: "unit" }).W_dec.value;
    const ratio = unit[0] / W_dec.value[0]!;
    expect(Math.hypot(...unit.subarray(0, dIn))).toBeCloseTo(1, 5);
    for (let j = 0; j < dIn; j++) expect(unit[j]).toBeCloseTo(ratio * W_dec.value[j], 5);
  });

  it("are the directions of data rows from b_dec, and random ones where there are too few", () => {
    const rows = normals(5 * D, 3, 4);
    const bias = normals(D, 4);
    const { W_dec, b_dec } = sparse({ seed: 1, decoderRows: rows, decoderBias: bias });
    expect([...b_dec.value]).toEqual([...bias]);
    const random = sparse({ seed: 1 }).W_dec.value;
    for (let i = 0; i < F; i++) {
      const row = rowOf(W_dec.value, i);
      expect(norm(row)).toBeCloseTo(1, 6);
      const direction = i < 5 ? difference(rowOf(rows, i), [...bias]) : rowOf(random, i);
      expect(cosine(row, direction)).toBeCloseTo(1, 6);
    }
  });

  it("are random where a data row lies at b_dec itself", () => {
    const rows = normals(F * D, 3);
    const bias = rows.slice(2 * D, 3 * D);
    const { W_dec } = sparse({ seed: 1, decoderRows: rows, decoderBias: bias });
    expect(rowOf(W_dec.value, 2)).toEqual(rowOf(sparse({ seed: 1 }).W_dec.value, 2));
    expect(rowOf(W_dec.value, 3)).not.toEqual(rowOf(sparse({ seed: 1 }).W_dec.value, 3));
    const zeros = sparse({ seed: 1, decoderRows: new Float32Array(F * D) });
    expect(bits(zeros.W_dec.value as Float32Array)).toBe(
      bits(sparse({ seed: 1 }).W_dec.value as Float32Array),
    );
  });

  it("follow from the seed", () => {
    const [a, b, c] = [1, 1, 2].map((seed) => bits(sparse({ seed }).W_dec.value as Float32Array));
    expect(a).toBe(b);
    expect(a).not.toBe(c);
  });
});

describe("the other initial values", () => {
  it("tie the encoder to the decoder, with zero biases, moments and counters", () => {
    const arena = sparse({ seed: 1, mean: normals(D, 5) });
    expect(bits(arena.W_enc.value as Float32Array)).toBe(bits(arena.W_dec.value as Float32Array));
    for (const zero of [
      arena.b_enc.value,
      arena.b_dec.value,
      arena.W_enc.m,
      arena.W_dec.v,
      arena.fireCount,
    ]) {
      expect(zero.every((value) => value === 0)).toBe(true);
    }
    expect([...arena.mean]).toEqual([...normals(D, 5)]);
    expect([...arena.blockOrder]).toEqual([0]);
  });

  it("make the encoder d/latents times the decoder, or random directions of its norms, where asked to", () => {
    const free = { architecture: "relu", decoder: "free" } as const;
    const tied = sparse({ seed: 1 }, free);
    const scaled = sparse({ seed: 1, encoder: "scaled" }, free);
    const random = sparse({ seed: 1, encoder: "random" }, free);
    expect(bits(scaled.W_dec.value as Float32Array)).toBe(bits(tied.W_dec.value as Float32Array));
    scaled.W_enc.value.forEach((value, i) => expect(value).toBeCloseTo((D / F) * tied.W_dec.value[i]!, 7));
    for (let i = 0; i < F; i++) {
      expect(norm(rowOf(random.W_enc.value, i))).toBeCloseTo(FREE_DECODER_NORM, 6);
      expect(Math.abs(cosine(rowOf(random.W_enc.value, i), rowOf(tied.W_dec.value, i)))).toBeLessThan(0.98);
    }
  });

  it("of a deep autoencoder have variance 2/inputs, and zero biases", () => {
    const widths = [100, 80, 100];
    const model = { kind: "deep", architecture: "autoencoder", widths, outputActivation: "relu" } as const;
    const arena = initialised(model, { seed: 3 });
    if (arena.kind !== "deep") throw new Error("not deep");
    for (const { inputs, weight, bias } of arena.layers) {
      const variance =
        Array.from(weight.value).reduce((sum, value) => sum + value ** 2, 0) / weight.value.length;
      expect(Math.abs(variance / (2 / inputs) - 1)).toBeLessThan(0.06);
      expect(bias.value.every((value) => value === 0)).toBe(true);
    }
    const [first, second] = arena.layers.map(({ weight }) => weight.value.slice(0, 50));
    expect(first).not.toEqual(second);
  });
});

describe("refreshDerived", () => {
  it("leaves a unit decoder's bits alone, and measures a free decoder's rows", () => {
    const unit = sparse({ seed: 1 });
    unit.W_dec.value.set(normals(F * D, 8));
    refreshDerived(unit);
    expect(bits(unit.W_dec.value as Float32Array)).toBe(bits(normals(F * D, 8)));
    const free = sparse({ seed: 1 }, { architecture: "relu", decoder: "free" });
    free.W_dec.value.set(normals(F * D, 8));
    refreshDerived(free);
    for (let i = 0; i < F; i++) expect(free.decoderNorm[i]).toBeCloseTo(norm(rowOf(normals(F * D, 8), i)), 5);
  });
});

describe("geometricMedian", () => {
  const median = (rows: number[][]) => [...geometricMedian(Float64Array.from(rows.flat()), rows[0]!.length)];
  const distances = (point: readonly number[], rows: number[][]) =>
    rows.reduce((sum, row) => sum + Math.hypot(...row.map((value, j) => value - point[j]!)), 0);

  it.each([
    ["one row is that row", [[3, -4]], [3, -4]],
    [
      "equal rows are that row",
      [
        [1, 2],
        [1, 2],
        [1, 2],
      ],
      [1, 2],
    ],
    [
      "a square's corners have their centre",
      [
        [0, 0],
        [2, 0],
        [0, 2],
        [2, 2],
      ],
      [1, 1],
    ],
    [
      "a convex quadrilateral has the crossing of its diagonals",
      [
        [0, 0],
        [4, 0],
        [4, 2],
        [0, 3],
      ],
      [2.4, 1.2],
    ],
    [
      "a triangle with an angle over 120° has that corner",
      [
        [0, 0],
        [10, 1],
        [-10, 1],
      ],
      [0, 0],
    ],
    ["three numbers have the middle one", [[0], [1], [50]], [1]],
    [
      "most rows at one point keep it",
      [
        [0, 0],
        [0, 0],
        [0, 0],
        [9, 1],
        [2, 8],
      ],
      [0, 0],
    ],
    ["a row that is the mean does not hold it", [[-6], [0], [2], [2], [2]], [2]],
  ])("%s", (_, rows, expected) => {
    const found = median(rows);
    expected.forEach((value, j) => expect(found[j]).toBeCloseTo(value, 2));
    expect(distances(found, rows)).toBeLessThanOrEqual(distances(expected, rows) * (1 + 1e-4));
  });

  it("is hardly moved by an outlier that carries the mean away", () => {
    const rows = Array.from({ length: 100 }, (_, i) => [...normals(4, i)]);
    const outlier = [1e6, 1e6, 1e6, 1e6];
    const without = median(rows);
    const moved = difference(median([...rows, outlier]), without);
    expect(norm(moved)).toBeLessThan(0.2);
  });

  it("has a sum of distances within 1 % of the mean, of any row, and of points beside it, or less", () => {
    const points = fc.array(fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -9, max: 9 })), {
      minLength: 1,
      maxLength: 12,
    });
    fc.assert(
      fc.property(points, (rows) => {
        const found = median(rows);
        const mean = [0, 1].map((j) => rows.reduce((sum, row) => sum + row[j]!, 0) / rows.length);
        const beside = [-0.1, 0.1].flatMap((by) => [
          [found[0]! + by, found[1]!],
          [found[0]!, found[1]! + by],
        ]);
        for (const other of [mean, ...rows, ...beside]) {
          expect(distances(found, rows)).toBeLessThanOrEqual(distances(other, rows) * 1.01 + 1e-9);
        }
      }),
    );
  });

  it("refuses no rows, and rows that are not whole", () => {
    expect(() => geometricMedian(new Float32Array(0), 3)).toThrow(
      new OptionError("rows", "a geometric median needs at least one whole row of 3 values, got 0 values"),
    );
    expect(() => geometricMedian(new Float32Array(4), 3)).toThrow(/got 4 values$/);
  });
});
