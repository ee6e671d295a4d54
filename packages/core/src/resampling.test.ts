import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { normals, randomSparseArena, setupOf, sparseModel } from "../test/support.ts";
import { CONTROL } from "./control.ts";
import { latentsSilentFor, resampleLatents, WeightedRows } from "./index.ts";

const D = 7;
const F = 19;
const model = sparseModel({ architecture: "relu", k: 0 });
const norm = (row: ArrayLike<number>): number => Math.hypot(...Array.from(row));

describe("latents made anew", () => {
  const dead = [2, 5, 18];
  const rows = normals(2 * D, 8, 3);
  const made = () => {
    const arena = randomSparseArena(setupOf(model), 3);
    for (const { m, v } of [arena.W_enc, arena.W_dec, arena.b_enc]) {
      m.fill(0.25);
      v.fill(0.5);
    }
    arena.control[CONTROL.equaliseAt] = 64;
    const before = arena.W_enc.value.slice();
    const biases = arena.b_enc.value.slice();
    const resampled = resampleLatents(arena, dead, rows);
    return { arena, before, biases, resampled };
  };

  it("point from b_dec to their rows, with 0.2 of the living encoders' mean norm and no bias", () => {
    const { arena, before, resampled } = made();
    expect(resampled).toBe(2);
    let living = 0;
    for (let i = 0; i < F; i++)
      if (!dead.includes(i)) living += norm(before.subarray(i * D, (i + 1) * D)) / 16;
    [2, 5].forEach((latent, i) => {
      const from = Array.from({ length: D }, (_, j) => rows[i * D + j]! - arena.b_dec.value[j]!);
      for (let j = 0; j < D; j++) {
        expect(arena.W_dec.value[latent * D + j]).toBeCloseTo(from[j]! / norm(from), 6);
        expect(arena.W_enc.value[latent * D + j]).toBeCloseTo((0.2 * living * from[j]!) / norm(from), 6);
      }
      expect(arena.b_enc.value[latent]).toBe(0);
    });
  });

  it("begin with empty moments; all others, and dead ones without a row, stay as they are", () => {
    const { arena, before, biases } = made();
    for (let i = 0; i < F; i++) {
      const anew = i === 2 || i === 5;
      for (const { m, v } of [arena.W_enc, arena.W_dec]) {
        expect(m.subarray(i * D, (i + 1) * D).every((value) => value === (anew ? 0 : 0.25))).toBe(true);
        expect(v.subarray(i * D, (i + 1) * D).every((value) => value === (anew ? 0 : 0.5))).toBe(true);
      }
      expect(arena.b_enc.m[i]).toBe(anew ? 0 : 0.25);
      if (anew) continue;
      expect(arena.W_enc.value.subarray(i * D, (i + 1) * D)).toEqual(before.subarray(i * D, (i + 1) * D));
      expect(arena.b_enc.value[i]).toBe(biases[i]);
    }
  });

  it("are themselves in the averages that training keeps", () => {
    const arena = randomSparseArena(setupOf(model, { ema: 0.9 }), 3);
    resampleLatents(arena, dead, rows);
    for (const { value, average } of [arena.W_enc, arena.W_dec])
      expect(average.subarray(5 * D, 6 * D)).toEqual(value.subarray(5 * D, 6 * D));
    expect(arena.b_enc.average[5]).toBe(0);
  });

  it("have the screened encoder's latents quantised anew at the next step", () => {
    expect(made().arena.control[CONTROL.equaliseAt]).toBe(0);
  });

  it("stay as they are where their row is b_dec itself, which has no direction", () => {
    const arena = randomSparseArena(setupOf(model), 3);
    const before = arena.W_dec.value.slice();
    expect(resampleLatents(arena, [4], Float32Array.from(arena.b_dec.value))).toBe(0);
    expect(arena.W_dec.value).toEqual(before);
  });
});

it("latents are dead when their last activation is the window or more ago", () => {
  const arena = randomSparseArena(setupOf(model), 3);
  arena.lastFired.fill(1000);
  arena.lastFired.set([600, 599, 601], 7);
  expect(latentsSilentFor(arena, 1000, 400)).toEqual([7, 8]);
});

describe("rows drawn by weight", () => {
  const draw = (
    weights: readonly number[],
    capacity: number,
    step: number,
    order = weights.map((_, i) => i),
  ) => {
    const rows = new WeightedRows(capacity, 1, 5, step);
    for (const i of order) rows.add(i, weights[i]!, Float32Array.of(i), 0);
    return [...rows.drawn()];
  };

  it("come first with the probability of their weight, and then by weight among those left", () => {
    const weights = [1, 2, 3, 4];
    const first = [0, 0, 0, 0];
    let twoThenThree = 0;
    const draws = 20_000;
    for (let step = 0; step < draws; step++) {
      const [a, b] = draw(weights, 2, step) as [number, number];
      first[a]!++;
      if (a === 2 && b === 3) twoThenThree++;
    }
    weights.forEach((weight, i) => expect(Math.abs(first[i]! / draws - weight / 10)).toBeLessThan(0.015));
    expect(Math.abs(twoThenThree / draws - 0.3 * (4 / 7))).toBeLessThan(0.015);
  });

  it("do not depend on the order in which rows pass, and are never drawn twice or at weight 0", () => {
    const cases = fc.record({
      weights: fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0.01, max: 9, noNaN: true })), {
        maxLength: 30,
      }),
      capacity: fc.nat({ max: 12 }),
      step: fc.nat(),
    });
    fc.assert(
      fc.property(cases, ({ weights, capacity, step }) => {
        const found = draw(weights, capacity, step);
        const usable = weights.filter((weight) => weight > 0).length;
        expect(found).toHaveLength(Math.min(capacity, usable));
        expect(new Set(found).size).toBe(found.length);
        for (const i of found) expect(weights[i]).toBeGreaterThan(0);
        const backwards = weights.map((_, i) => weights.length - 1 - i);
        expect(draw(weights, capacity, step, backwards)).toEqual(found);
        // Fewer places hold the first of them.
        expect(draw(weights, Math.floor(capacity / 2), step)).toEqual(
          found.slice(0, Math.floor(capacity / 2)),
        );
      }),
    );
  });
});
