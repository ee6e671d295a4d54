import { describe, expect, it } from "vitest";
import { normals } from "../../test/support.ts";
import { densityHistogram } from "./density.ts";

describe("densityHistogram", () => {
  it("bins densities into half decades, the rarest into the first, always-on into the last", () => {
    const examples = 10_000_000;
    // Densities: never, 1e-7, 2e-6, 4e-6, 0.02, 0.2, 0.5, 1.
    const counts = [0, 1, 20, 40, 200_000, 2_000_000, 5_000_000, examples];
    const { never, log10Edges, counts: binned } = densityHistogram(counts, examples);
    expect(log10Edges).toEqual([-6, -5.5, -5, -4.5, -4, -3.5, -3, -2.5, -2, -1.5, -1, -0.5]);
    expect(never).toBe(1);
    expect(binned).toEqual([2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2]);
  });

  it("puts a density on an edge into the bin that the edge opens", () => {
    const { counts } = densityHistogram([1, 10, 100], 1000);
    expect(counts).toEqual([0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0]);
  });

  it("counts every latent once", () => {
    const fireCount = normals(500, 1).map((value) => Math.round(Math.abs(value) * 1000));
    const { never, counts } = densityHistogram(fireCount, 100_000);
    expect(never + counts.reduce((sum, count) => sum + count, 0)).toBe(500);
  });
});
