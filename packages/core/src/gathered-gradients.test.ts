/**
 * The gradients that stages gather against plain dense loops over rows, latents and dimensions, to the bit in
 * float32. The loops here share no code with the kernels; the chains' order is the one that DESIGN fixes.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bits, normals, randomSparseArena, setBatch, setupOf, sparseModel } from "../test/support.ts";
import type { SparseArena } from "./arena-sparse.ts";
import { LATENT_BLOCK } from "./block-sizes.ts";
import { referenceKernels } from "./reference/index.ts";
import type { SparseModelSetup } from "./setup.ts";
import { createProgram, runStep } from "./stages.ts";

const f = Math.fround;
const LAMBDA = 0.3;

interface Gradients {
  W_enc: Float32Array;
  b_enc: Float32Array;
  W_dec: Float32Array;
  b_dec: Float32Array;
}

/** Which of the pre-activations z are active. */
function activeSet(z: Float32Array, { architecture, k }: SparseModelSetup): boolean[] {
  const order = [...z.keys()].sort((a, b) => z[b]! - z[a]! || a - b);
  const top = new Set(architecture === "topk" ? order.slice(0, k) : order);
  return [...z].map((value, i) => top.has(i) && value > 0);
}

/** Gradients of one mini-batch x [rows, dIn], all zeros included, from the arena's parameters. */
function naiveGradients(arena: SparseArena, x: Float32Array, rows: number): Gradients {
  const { model } = arena;
  const { dIn, latents } = model;
  const [W_enc, b_enc, W_dec, b_dec] = [arena.W_enc, arena.b_enc, arena.W_dec, arena.b_dec].map(
    (p) => p.value,
  );
  const gradients: Gradients = {
    W_enc: new Float32Array(latents * dIn),
    b_enc: new Float32Array(latents),
    W_dec: new Float32Array(latents * dIn),
    b_dec: new Float32Array(dIn),
  };
  const scale = f(2 / rows);
  const penalty = model.architecture === "relu" ? f(LAMBDA / rows) : 0;
  for (let r = 0; r < rows; r++) {
    const input = new Float32Array(dIn);
    for (let j = 0; j < dIn; j++) input[j] = x[r * dIn + j]! - (model.applyBDecToInput ? b_dec![j]! : 0);
    const z = new Float32Array(latents);
    for (let i = 0; i < latents; i++) {
      z[i] = b_enc![i]!;
      for (let j = 0; j < dIn; j++) z[i] = f(z[i]! + input[j]! * W_enc![i * dIn + j]!);
    }
    const active = activeSet(z, model);
    const residual = Float32Array.from(b_dec!);
    for (let j = 0; j < dIn; j++) {
      for (let i = 0; i < latents; i++) {
        residual[j] = f(residual[j]! + (active[i] ? z[i]! : 0) * W_dec![i * dIn + j]!);
      }
      residual[j] = f(scale * f(residual[j]! - x[r * dIn + j]!));
      gradients.b_dec[j] = f(gradients.b_dec[j]! + residual[j]!);
    }
    for (let i = 0; i < latents; i++) {
      let delta = 0;
      for (let j = 0; j < dIn; j++) delta = f(delta + residual[j]! * W_dec![i * dIn + j]!);
      delta = f(delta + penalty * (model.decoder === "free" ? arena.decoderNorm[i]! : 1));
      if (!active[i]) delta = 0;
      gradients.b_enc[i] = f(gradients.b_enc[i]! + delta);
      for (let j = 0; j < dIn; j++) {
        const at = i * dIn + j;
        gradients.W_enc[at] = f(gradients.W_enc[at]! + delta * input[j]!);
        gradients.W_dec[at] = f(gradients.W_dec[at]! + (active[i] ? z[i]! : 0) * residual[j]!);
      }
    }
  }
  if (!model.applyBDecToInput) return gradients;
  // The way through the encoder's input: one partial sum per block of latents, subtracted in order.
  for (let j = 0; j < dIn; j++) {
    for (let first = 0; first < latents; first += LATENT_BLOCK) {
      let partial = 0;
      for (let i = first; i < Math.min(first + LATENT_BLOCK, latents); i++) {
        partial = f(partial + gradients.b_enc[i]! * W_enc![i * dIn + j]!);
      }
      gradients.b_dec[j] = f(gradients.b_dec[j]! - partial);
    }
  }
  return gradients;
}

const problems = fc
  .record({
    rows: fc.integer({ min: 1, max: 40 }),
    dIn: fc.integer({ min: 1, max: 20 }),
    latents: fc.integer({ min: 1, max: 120 }),
    k: fc.integer({ min: 1, max: 40 }),
    kind: fc.constantFrom(["topk", "unit"] as const, ["relu", "unit"] as const, ["relu", "free"] as const),
    applyBDecToInput: fc.boolean(),
    seed: fc.nat(1e6),
    recordBytes: fc.constantFrom(0, 5000, 1e6),
  })
  .map(({ kind: [architecture, decoder], dIn, latents, k, applyBDecToInput, ...rest }) => ({
    model: sparseModel({ architecture, decoder, dIn, latents, k: Math.min(k, latents), applyBDecToInput }),
    ...rest,
  }));

describe("gathered gradients", () => {
  it("equal dense loops in float32 to the bit, sparse or not, chunked or not", () => {
    fc.assert(
      fc.property(problems, ({ model, rows, seed, recordBytes }) => {
        const arena = randomSparseArena(setupOf(model, { batchRows: rows }), seed, {
          storeGradients: true,
          recordBytes,
        });
        const x = normals(rows * model.dIn, seed + 9);
        const expected = naiveGradients(arena, x, rows);
        setBatch(arena, x, 0);
        const program = createProgram(arena, referenceKernels(), 0);
        program.begin(0);
        for (let stage = program.next(); stage?.name !== "update"; stage = program.next()) {
          for (let block = 0; block < stage!.blocks; block++) stage!.run(block);
          stage!.finish();
        }
        // Taken before the update, which removes a unit decoder's parallel component.
        for (const name of ["W_enc", "b_enc", "W_dec"] as const) {
          expect([name, bits(arena[name].gradient)]).toEqual([name, bits(expected[name])]);
        }
        runStep(program, 0);
        expect(bits(arena.b_dec.gradient)).toBe(bits(expected.b_dec));
      }),
      { numRuns: 200 },
    );
  });
});
