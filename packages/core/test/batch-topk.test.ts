/** BatchTopK's selection over the mini-batch against sorting everything, whatever the floor and the room for records. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BATCH,
  BATCH_THRESHOLD,
  createProgram,
  referenceKernels,
  runStep,
  type SparseArena,
} from "../src/index.ts";
import { normals, randomSparseArena, setBatch, setupOf, sparseModel } from "./support.ts";

const DIN = 3;

interface Kept {
  readonly row: number;
  readonly latent: number;
  readonly value: number;
}

/** What the arena's records keep, by row and latent. */
function recordsOf(arena: SparseArena, rows: number): Kept[] {
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: arena.rowCount[row] }, (_record, index): Kept => {
      const record = arena.rowOffset[row] + index;
      return { row, latent: arena.recordLatent[record], value: arena.recordValue[record] };
    }),
  ).flat();
}

/** The k·B largest positive pre-activations, ties by value, row, latent; computed from the parameters. */
function largest(arena: SparseArena, rows: number): Kept[] {
  const { latents, k } = arena.model;
  const all: Kept[] = [];
  for (let row = 0; row < rows; row++) {
    for (let latent = 0; latent < latents; latent++) {
      let value = arena.b_enc.value[latent];
      for (let j = 0; j < DIN; j++) {
        const x = Math.fround(arena.slots[0]![row * DIN + j] - arena.b_dec.value[j]);
        value = Math.fround(value + x * arena.W_enc.value[latent * DIN + j]);
      }
      if (value > 0) all.push({ row, latent, value });
    }
  }
  const ordered = all.sort((a, b) => b.value - a.value || a.row - b.row || a.latent - b.latent);
  return ordered.slice(0, k * rows).sort((a, b) => a.row - b.row || a.latent - b.latent);
}

const problems = fc.record({
  latents: fc.integer({ min: 1, max: 30 }),
  k: fc.integer({ min: 1, max: 6 }),
  batchRows: fc.integer({ min: 1, max: 90 }),
  seed: fc.nat(1e6),
  /** Steps per unit to which numbers are rounded: ties abound. 0: not rounded. */
  coarse: fc.constantFrom(0, 1, 2),
  scarce: fc.boolean(),
});

describe("BatchTopK keeps the k·B largest of the mini-batch", () => {
  it("with ties by value, row and latent, in the first step and in those whose floor comes from the last", () => {
    fc.assert(
      fc.property(problems, ({ latents, k, batchRows, seed, coarse, scarce }) => {
        const model = sparseModel({
          architecture: "batch-topk",
          dIn: DIN,
          latents,
          k: Math.min(k, latents),
        });
        const setup = setupOf(model, { batchRows });
        // Room for three times what is kept: the rows of a dense first step do not fit.
        const arena = randomSparseArena(setup, seed, scarce ? { recordBytes: 1 } : {});
        const round = (values: Float32Array) =>
          coarse === 0 ? values : values.map((value) => Math.round(coarse * value) / coarse);
        arena.b_dec.value.fill(0);
        const program = createProgram(arena, referenceKernels(), 0);
        for (let step = 0; step < 3; step++) {
          arena.W_enc.value.set(round(normals(latents * DIN, seed + step)));
          arena.b_enc.value.set(round(normals(latents, seed + step + 10, 0.3)));
          // Jumps of scale between steps: floors are now far too high, now far too low.
          const scale = [1, 8, 0.25][step];
          setBatch(
            arena,
            round(normals(batchRows * DIN, seed + step + 20)).map((x) => x * scale),
            step,
            false,
          );
          const expected = largest(arena, batchRows);
          runStep(program, 0);
          expect(recordsOf(arena, batchRows)).toEqual(expected);
          expect(arena.summaries[3]).toBe(expected.length);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("and says so where more values are equal than there is room for", () => {
    const model = sparseModel({ architecture: "batch-topk", dIn: DIN, latents: 500, k: 1 });
    const arena = randomSparseArena(setupOf(model, { batchRows: 200 }), 1, { recordBytes: 1 });
    const room = arena.plan.recordCapacity;
    arena.W_enc.value.fill(0);
    arena.b_enc.value.fill(1);
    setBatch(arena, normals(200 * DIN, 2), 0);
    const program = createProgram(arena, referenceKernels(), 0);
    expect(() => runStep(program, 0)).toThrow(`more than ${room} of its pre-activations are equal`);
  });
});

describe("the moving threshold", () => {
  it("takes the first least kept value as it is, then 1 % of each, once the learning rate is warm", () => {
    const model = sparseModel({ architecture: "batch-topk", dIn: DIN, latents: 40, k: 2 });
    const learningRate = { peak: 0.01, warmupSteps: 1, decaySteps: 0, totalSteps: 10 };
    const arena = randomSparseArena(setupOf(model, { learningRate }), 1);
    const program = createProgram(arena, referenceKernels(), 0);
    let moving = 0;
    for (let step = 0; step < 6; step++) {
      setBatch(arena, normals(16 * DIN, step), step);
      runStep(program, 0);
      const least = Math.min(...recordsOf(arena, 16).map(({ value }) => value));
      if (step === 1) moving = least;
      if (step > 1) moving = 0.99 * moving + 0.01 * least;
      expect(arena.batchThreshold[BATCH_THRESHOLD.moving]).toBeCloseTo(moving, 12);
    }
  });

  it("is what an evaluation by threshold selects by, however many latents that makes", () => {
    const model = sparseModel({ architecture: "batch-topk", dIn: DIN, latents: 40, k: 2 });
    const arena = randomSparseArena(setupOf(model), 1);
    arena.batchThreshold[BATCH_THRESHOLD.moving] = 0.7;
    setBatch(arena, normals(16 * DIN, 3), 0, false);
    arena.batches[BATCH.byThreshold] = 1;
    runStep(createProgram(arena, referenceKernels(), 0), 0);
    const wide = { ...arena, model: { ...arena.model, k: 40 } };
    const expected = largest(wide, 16).filter(({ value }) => value > Math.fround(0.7));
    expect(recordsOf(arena, 16)).toEqual(expected);
    expect(expected.length).not.toBe(32);
  });
});
