import { describe, expect, it } from "vitest";
import { normals, randomArena, setBatch, setupOf, sparseModel } from "../../test/support.ts";
import { addSums, emptySums, metricsOf } from "./row-sums.ts";
import { referenceKernels } from "../reference/index.ts";
import { createProgram, runStep } from "../stages.ts";

describe("metricsOf", () => {
  it("divides squared error by rows, by variance about the mean, and active latents by rows", () => {
    expect(metricsOf({ rows: 4, squaredError: 2, squares: 8, active: 10 })).toEqual({
      mse: 0.5,
      fvu: 0.25,
      l0: 2.5,
    });
  });

  it("has no FVU for rows without variance", () => {
    expect(metricsOf({ rows: 1, squaredError: 0, squares: 0, active: 0 }).fvu).toBeNaN();
  });
});

describe("addSums", () => {
  it("adds up mini-batches to what one pass over all rows gives, variance being about the corpus's mean", () => {
    const model = sparseModel();
    const mean = normals(model.dIn, 4, 2);
    const arena = randomArena(setupOf(model), 1, { precision: "float64" });
    arena.mean.set(mean);
    const sums = emptySums();
    let squaredError = 0;
    let squares = 0;
    for (const count of [16, 16, 5]) {
      const rows = normals(count * model.dIn, count).map((value, i) => value + mean[i % model.dIn]);
      setBatch(arena, rows, 0, false);
      runStep(createProgram(arena, referenceKernels("float64"), 0), 0);
      addSums(sums, arena, 0);
      if (arena.kind !== "sparse") throw new Error("not sparse");
      // Only evaluating, the residual is x̂ − x.
      for (let i = 0; i < rows.length; i++) {
        squaredError += arena.residual[i] ** 2;
        squares += (rows[i] - mean[i % model.dIn]) ** 2;
      }
    }
    expect(sums.rows).toBe(37);
    expect(sums.active).toBeLessThanOrEqual(37 * model.k);
    const metrics = metricsOf(sums);
    expect(metrics.mse).toBeCloseTo(squaredError / 37, 10);
    expect(metrics.fvu).toBeCloseTo(squaredError / squares, 10);
    expect(metrics.l0).toBeCloseTo(sums.active / 37, 12);
  });

  it("gives FVU 1 to a model that answers with the mean, and 0 to one that answers with the rows", () => {
    const model = sparseModel({
      architecture: "relu",
      decoder: "free",
      dIn: 2,
      latents: 2,
      applyBDecToInput: true,
    });
    const arena = randomArena(setupOf(model), 1);
    if (arena.kind !== "sparse") throw new Error("not sparse");
    const rows = Float32Array.of(4, 8, 6, 10, 5, 12);
    arena.mean.set([5, 10]);
    arena.b_dec.value.set([5, 10]);
    arena.W_enc.value.fill(0);
    arena.b_enc.value.fill(-1);
    const fvu = () => {
      setBatch(arena, rows, 0, false);
      runStep(createProgram(arena, referenceKernels(), 0), 0);
      const sums = emptySums();
      addSums(sums, arena, 0);
      return metricsOf(sums).fvu;
    };
    expect(fvu()).toBe(1);
    // x is positive, and so are the two latents that pass it on.
    arena.b_dec.value.fill(0);
    arena.b_enc.value.fill(0);
    arena.W_enc.value.set([1, 0, 0, 1]);
    arena.W_dec.value.set([1, 0, 0, 1]);
    expect(fvu()).toBe(0);
  });
});
