import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StatisticsAccumulator } from "./statistics-accumulator.ts";

function accumulate(values: Float32Array, dIn: number, chunks: readonly number[]): StatisticsAccumulator {
  const about = { mean: new Float64Array(dIn).fill(0.25), medianNorm: 1 };
  const accumulator = new StatisticsAccumulator(dIn, about);
  let row = 0;
  for (const rows of chunks) {
    accumulator.add(values.subarray(row * dIn, (row + rows) * dIn), rows);
    row += rows;
  }
  return accumulator;
}

const chunks = fc.array(fc.nat(9), { minLength: 1, maxLength: 8 });

describe("statistics summed up chunk by chunk", () => {
  it("have the same bits however the rows are cut, typical or not", () => {
    fc.assert(
      fc.property(chunks, fc.integer({ min: 1, max: 5 }), fc.gen(), (sizes, dIn, gen) => {
        const rows = sizes.reduce((sum, size) => sum + size, 0);
        fc.pre(rows > 0);
        const number = (): number => gen(fc.double, { min: -40, max: 40, noNaN: true });
        const values = Float32Array.from({ length: rows * dIn }, number);
        const singly = accumulate(
          values,
          dIn,
          Array.from({ length: rows }, () => 1),
        );
        expect(accumulate(values, dIn, sizes).finish()).toEqual(singly.finish());
      }),
      { numRuns: 50 },
    );
  });

  it("keep their precision beside a mean a million times the spread", () => {
    const rows = 1000;
    const values = Float32Array.from({ length: rows }, (_, row) => 2 ** 20 + (row % 2 === 0 ? 1 : -1));
    const accumulator = new StatisticsAccumulator(1);
    for (let row = 0; row < rows; row += 10) accumulator.add(values.subarray(row, row + 10), 10);
    const { mean, variance, meanCentredNorm } = accumulator.finish();
    expect([mean, variance, meanCentredNorm]).toEqual([[2 ** 20], [1], 1]);
  });

  it("estimate the mean distance from the mean though the first chunk is unlike the rest", () => {
    const dIn = 16;
    const rows = 4000;
    // The first chunk is off by a fifth of the spread.
    const value = (row: number, i: number): number =>
      Math.sin(row * 12.9898 + i * 78.233) + (row < 400 && i === 0 ? 0.6 : 0);
    const values = Float32Array.from({ length: rows * dIn }, (_, at) =>
      value(Math.floor(at / dIn), at % dIn),
    );
    const accumulator = new StatisticsAccumulator(dIn);
    for (let row = 0; row < rows; row += 400) {
      accumulator.add(values.subarray(row * dIn, (row + 400) * dIn), 400);
    }
    const found = accumulator.finish();
    let sum = 0;
    for (let row = 0; row < rows; row++) {
      sum += Math.hypot(...found.mean.map((mean, i) => values[row * dIn + i]! - mean));
    }
    expect(Math.abs(found.meanCentredNorm / (sum / rows) - 1)).toBeLessThan(0.002);
  });

  it("leave out, count and name rows that are not finite, even when the first chunk has no others", () => {
    const accumulator = new StatisticsAccumulator(2);
    const named: number[] = [];
    accumulator.add(Float32Array.of(NaN, 1), 1, (row) => named.push(row));
    accumulator.add(Float32Array.of(3, 4, 1, Infinity, 3, 4), 3, (row) => named.push(row));
    expect([accumulator.rows, accumulator.nonFiniteRows, named]).toEqual([2, 2, [0, 1]]);
    expect(accumulator.finish()).toMatchObject({
      mean: [3, 4],
      meanNorm: 5,
      totalVariance: 0,
      maxAbs: [3, 4],
    });
  });

  it("tell typical rows from a sink, and name the dimensions that stand out", () => {
    const dIn = 9;
    const values = new Float32Array(2000 * dIn);
    for (let row = 0; row < 2000; row++) {
      for (let i = 0; i < dIn; i++) values[row * dIn + i] = ((row * 7 + i * 3) % 11) / 5 - 1;
      values[row * dIn + 4]! *= 8;
    }
    values.fill(-60, 77 * dIn, 77 * dIn + 2);
    const accumulator = new StatisticsAccumulator(dIn);
    accumulator.add(values, 2000);
    const found = accumulator.finish();
    expect(found.normQuantiles.greatest).toBeGreaterThan(10 * found.normQuantiles.p50);
    expect(found.topVarianceShare).toBeGreaterThan(0.05);
    expect(found.outlierDimensions).toEqual([4]);
    expect(found.maxAbs[0]).toBe(60);
    expect(found.typicalMaxAbs[0]).toBe(1);
    for (let i = 0; i < dIn; i++) {
      expect(found.maxAbsCentred[i]! + Math.abs(found.mean[i]!)).toBeGreaterThanOrEqual(found.maxAbs[i]!);
      expect(found.typicalMaxAbsCentred[i]!).toBeLessThanOrEqual(found.maxAbsCentred[i]!);
    }
  });

  it("of no rows are refused", () => {
    expect(() => new StatisticsAccumulator(2).finish()).toThrow(/no finite rows/);
  });
});
