import { describe, expect, it } from "vitest";
import { normals } from "../../test/support.ts";
import { addReconstructions, emptyReconstructionSums, reconstructionMetrics } from "./reconstruction.ts";

function measure(x: Float32Array, reconstruction: Float32Array, dIn: number) {
  const sums = emptyReconstructionSums();
  addReconstructions(sums, x, reconstruction, x.length / dIn, dIn);
  return reconstructionMetrics(sums);
}

describe("reconstructionMetrics", () => {
  const x = normals(50 * 6, 1);

  it("are all 1 for a perfect reconstruction", () => {
    const { cosineSimilarity, shrinkage, relativeBias } = measure(x, x, 6);
    for (const value of [cosineSimilarity, shrinkage, relativeBias]) expect(value).toBeCloseTo(1, 12);
  });

  it("tell the factor of a reconstruction that is too short", () => {
    const short = x.map((value) => 0.5 * value);
    const { cosineSimilarity, shrinkage, relativeBias } = measure(x, short, 6);
    expect(cosineSimilarity).toBeCloseTo(1, 12);
    expect(shrinkage).toBeCloseTo(0.5, 12);
    expect(relativeBias).toBeCloseTo(0.5, 12);
  });

  it("have the bias that, divided out, leaves the least squared error", () => {
    const y = x.map((value, i) => 0.7 * value + 0.2 * Math.sin(i));
    const { relativeBias } = measure(x, y, 6);
    const errorAt = (factor: number) => x.reduce((sum, value, i) => sum + (y[i]! / factor - value) ** 2, 0);
    expect(errorAt(relativeBias)).toBeLessThan(errorAt(1.01 * relativeBias));
    expect(errorAt(relativeBias)).toBeLessThan(errorAt(0.99 * relativeBias));
  });

  it("average rows, of which those of zeros have no direction or length to compare", () => {
    const { cosineSimilarity, shrinkage } = measure(
      Float32Array.of(3, 4, 0, 0, 1, 0),
      Float32Array.of(3, 4, 1, 1, 0, 3),
      2,
    );
    expect(cosineSimilarity).toBeCloseTo((1 + 0) / 2, 12);
    expect(shrinkage).toBeCloseTo((1 + 3) / 2, 12);
  });

  it("add up over mini-batches", () => {
    const y = normals(50 * 6, 2);
    const sums = emptyReconstructionSums();
    addReconstructions(sums, x, y, 20, 6);
    addReconstructions(sums, x.subarray(120), y.subarray(120), 30, 6);
    const parts = reconstructionMetrics(sums);
    const whole = measure(x, y, 6);
    expect(parts.relativeBias).toBeCloseTo(whole.relativeBias, 10);
    expect(parts.shrinkage).toBeCloseTo(whole.shrinkage, 10);
  });
});
