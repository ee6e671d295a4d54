import { describe, expect, it } from "vitest";
import { normals, randomSparseArena, setBatch, setupOf, sparseModel } from "../../test/support.ts";
import {
  createProgram,
  encodeSafetensors,
  foldedModel,
  IDENTITY_TRANSFORM,
  refreshDerived,
  referenceKernels,
  runStep,
  SparseAutoencoder,
  type SparseArena,
} from "../index.ts";

const model = sparseModel({ architecture: "gated", k: 0 });
const ROWS = 16;

/** An arena whose gates and magnitudes disagree. */
function arenaOf(part: Partial<typeof model> = {}): SparseArena {
  const arena = randomSparseArena(setupOf({ ...model, ...part }), 3);
  arena.r_mag.value.set(normals(19, 7, 0.3));
  arena.b_mag.value.set(normals(19, 8, 0.5).map((value) => value - 0.5));
  refreshDerived(arena);
  return arena;
}

describe("a Gated step", () => {
  it("records every latent whose gate is open, and counts only those with a magnitude as active", () => {
    const arena = arenaOf();
    setBatch(arena, normals(ROWS * 7, 4), 0);
    runStep(createProgram(arena, referenceKernels(), 0), 0);
    let active = 0;
    let records = 0;
    for (let row = 0; row < ROWS; row++) {
      const begin = arena.rowOffset[row];
      for (let record = begin; record < begin + arena.rowCount[row]; record++) {
        expect(arena.recordGate[record]).toBeGreaterThan(0);
        records++;
        if (arena.recordValue[record] > 0) active++;
      }
    }
    expect(records).toBeGreaterThan(active + 10);
    expect(arena.summaries[3]).toBe(active);
    expect(arena.fireCount.reduce((sum, count) => sum + count, 0)).toBe(active);
  });

  it("shrinks less than the L1 penalty alone would: magnitudes have no pull of λ", () => {
    // One feature of magnitude 2 along the first dimension, and as many rows without it.
    const x = new Float32Array(ROWS * 7);
    for (let row = 0; row < ROWS; row += 2) x[row * 7] = 2;
    const rebuilt = (["gated", "relu"] as const).map((architecture) => {
      const constant = (peak: number) => ({ peak, warmupSteps: 0, decaySteps: 0, totalSteps: 1500 });
      const setup = setupOf(sparseModel({ architecture, k: 0, latents: 2, applyBDecToInput: false }), {
        l1Coefficient: constant(1.2),
      });
      const arena = randomSparseArena(setup, 5);
      arena.W_dec.value.fill(0);
      arena.W_dec.value[0] = 1;
      arena.W_dec.value[7 + 1] = 1;
      arena.W_enc.value.set(arena.W_dec.value);
      for (const { value } of [arena.b_enc, arena.b_dec]) value.fill(0);
      const program = createProgram(arena, referenceKernels(), 0);
      for (let step = 0; step < 1500; step++) {
        setBatch(arena, x, step);
        runStep(program, 0);
      }
      const trained = foldedModel(arena, IDENTITY_TRANSFORM, "scale");
      return (trained.reconstruct(x)[0] as number) - (trained.reconstruct(x)[7] as number);
    });
    // The difference between a row with the feature and one without: 2 in the data.
    expect(rebuilt[0]).toBeGreaterThan(1.95);
    expect(rebuilt[1]).toBeLessThan(1.8);
  });
});

describe("a folded Gated model", () => {
  it.each([true, false])(
    "gives what training saw on scaled rows, on raw ones (subtracting b_dec: %s)",
    (subtract) => {
      const arena = arenaOf({ applyBDecToInput: subtract });
      const x = normals(ROWS * 7, 4);
      setBatch(arena, x, 0, false);
      runStep(createProgram(arena, referenceKernels(), 0), 0);
      const transform = { mean: normals(7, 9), scale: 0.25 };
      const raw = x.map((value, i) => value / transform.scale + (transform.mean[i % 7] as number));
      const folded = foldedModel(arena, transform, "scale").encodeDense(raw);
      for (let row = 0; row < ROWS; row++) {
        const expected = new Float32Array(19);
        const begin = arena.rowOffset[row];
        for (let record = begin; record < begin + arena.rowCount[row]; record++)
          expected[arena.recordLatent[record]] = arena.recordValue[record];
        expected.forEach((value, i) => expect(folded[row * 19 + i]).toBeCloseTo(value, 5));
      }
    },
  );

  it("has its gate and magnitude biases multiplied by the decoder norms that are divided out, but not r_mag", () => {
    const arena = arenaOf({ applyBDecToInput: false });
    for (let i = 0; i < arena.W_dec.value.length; i++) arena.W_dec.value[i] *= 1 + Math.floor(i / 7);
    const transform = { mean: normals(7, 9), scale: 2 };
    const scaled = foldedModel(arena, transform, "scale");
    const unit = foldedModel(arena, transform, "unit");
    if (scaled.parts.activation.kind !== "gated" || unit.parts.activation.kind !== "gated")
      throw new Error("not gated");
    expect(unit.parts.activation.r_mag).toEqual(scaled.parts.activation.r_mag);
    const norm = (i: number) => Math.hypot(...scaled.parts.W_dec.subarray(i * 7, (i + 1) * 7));
    for (let i = 0; i < 19; i++) {
      expect(unit.parts.b_enc[i]).toBeCloseTo(scaled.parts.b_enc[i] * norm(i), 4);
      const b_mag = scaled.parts.activation.b_mag[i];
      expect(unit.parts.activation.b_mag[i]).toBeCloseTo(b_mag * norm(i), 4);
    }
    const x = normals(50 * 7, 9);
    const [a, b] = [unit.reconstruct(x), scaled.reconstruct(x)];
    a.forEach((value, i) => expect(value).toBeCloseTo(b[i], 3));
  });

  it("is read from SAELens's tensors", () => {
    const { parts } = foldedModel(arenaOf(), IDENTITY_TRANSFORM, "scale");
    const { W_dec, b_dec, b_enc, activation } = parts;
    if (activation.kind !== "gated") throw new Error("not gated");
    const W_enc = new SparseAutoencoder(parts).W_enc;
    const vector = (data: Float32Array) => ({ shape: [data.length], data });
    const tensors = {
      W_enc: { shape: [7, 19], data: W_enc },
      W_dec: { shape: [19, 7], data: W_dec },
      b_dec: vector(b_dec),
      b_gate: vector(b_enc),
      r_mag: vector(activation.r_mag),
      b_mag: vector(activation.b_mag),
    };
    const cfg = { architecture: "gated", d_in: 7, d_sae: 19 };
    const read = SparseAutoencoder.fromFiles(cfg, encodeSafetensors(tensors));
    const x = normals(20 * 7, 5);
    expect(read.encode(x)).toEqual(new SparseAutoencoder(parts).encode(x));
    const { r_mag: _, ...incomplete } = tensors;
    expect(() => SparseAutoencoder.fromFiles(cfg, encodeSafetensors(incomplete))).toThrow(
      "not a model that can be loaded: no tensor r_mag",
    );
  });
});
