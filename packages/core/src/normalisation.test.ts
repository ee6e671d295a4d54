import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { normals, randomSparseArena, setBatch, setupOf, sparseModel } from "../test/support.ts";
import { BATCH, BATCH_THRESHOLD } from "./fields.ts";
import type { SparseArena } from "./arena-sparse.ts";
import { refreshDerived } from "./initialise.ts";
import {
  IDENTITY_TRANSFORM,
  type RowTransform,
  rowTransform,
  type ScaleStatistics,
  transformRows,
} from "./normalisation.ts";
import { referenceKernels } from "./reference/index.ts";
import { foldedModel } from "./folding.ts";
import type { SparseFeatures } from "./sparse-autoencoder.ts";
import { createProgram, runStep } from "./stages.ts";

function statisticsOf(rows: Float32Array, dIn: number): ScaleStatistics {
  const count = rows.length / dIn;
  const mean = Array.from({ length: dIn }, (_, j) => {
    let sum = 0;
    for (let r = 0; r < count; r++) sum += rows[r * dIn + j];
    return sum / count;
  });
  const average = (of: (row: number[]) => number) => {
    let sum = 0;
    for (let r = 0; r < count; r++) sum += of([...rows.subarray(r * dIn, (r + 1) * dIn)]);
    return sum / count;
  };
  const centred = (row: number[]) => row.map((value, j) => value - mean[j]!);
  return {
    dIn,
    mean,
    meanNorm: average((row) => Math.hypot(...row)),
    meanSquareNorm: average((row) => Math.hypot(...row) ** 2),
    meanCentredNorm: average((row) => Math.hypot(...centred(row))),
    totalVariance: average((row) => Math.hypot(...centred(row)) ** 2),
  };
}

/** Rows with a mean and a scale far from 0 and 1. */
function rowsOf(count: number, dIn: number, seed: number): Float32Array {
  const mean = normals(dIn, seed + 1, 3);
  return normals(count * dIn, seed, 5).map((value, i) => value + mean[i % dIn]!);
}

describe("rowTransform and transformRows", () => {
  const D = 6;
  const rows = rowsOf(200, D, 1);
  const statistics = statisticsOf(rows, D);

  it.each([
    ["sqrt-d", false, (s: ScaleStatistics) => s.meanNorm, Math.sqrt(D)],
    ["sqrt-d", true, (s: ScaleStatistics) => s.meanNorm, Math.sqrt(D)],
    ["unit-mean-square", false, (s: ScaleStatistics) => s.meanSquareNorm, 1],
    ["unit-mean-square", true, (s: ScaleStatistics) => s.meanSquareNorm, 1],
  ] as const)("%s, centred %s, gives what it is named for", (kind, centre, measure, expected) => {
    const transform = rowTransform(kind, centre, statistics);
    const after = statisticsOf(transformRows(rows, D, transform), D);
    expect(measure(after)).toBeCloseTo(expected, 5);
    expect(Math.hypot(...(after.mean as number[])) < 1e-5).toBe(centre);
  });

  it("none leaves rows as they are, or takes off the mean alone", () => {
    expect(rowTransform("none", false, statistics)).toEqual(IDENTITY_TRANSFORM);
    expect(transformRows(rows, D, IDENTITY_TRANSFORM)).toEqual(rows);
    const centred = rowTransform("none", true, statistics);
    expect(centred).toEqual({ mean: Float32Array.from(statistics.mean), scale: 1 });
    const expected = rows.map((value, i) => value - centred.mean![i % D]!);
    expect(transformRows(rows, D, centred)).toEqual(expected);
  });

  it("is made of float32 numbers and computed in float32, as the data path does", () => {
    const transform = rowTransform("sqrt-d", true, statistics);
    expect(Math.fround(transform.scale)).toBe(transform.scale);
    const out = transformRows(rows, D, transform);
    for (let i = 0; i < rows.length; i++) {
      expect(out[i]).toBe(Math.fround(transform.scale * Math.fround(rows[i]! - transform.mean![i % D]!)));
    }
  });

  it("keeps scale 1 for a corpus without norm or variance", () => {
    const equal = { dIn: 1, mean: [2], meanNorm: 2, meanSquareNorm: 4, meanCentredNorm: 0, totalVariance: 0 };
    for (const kind of ["sqrt-d", "unit-mean-square"] as const) {
      expect(rowTransform(kind, true, equal).scale).toBe(1);
      expect(rowTransform(kind, false, { ...equal, meanNorm: 0, meanSquareNorm: 0 }).scale).toBe(1);
    }
  });
});

/** What the arena makes of transformed rows: features, reconstruction in raw units, and rows it cannot order. */
function runArena(arena: SparseArena, raw: Float32Array, transform: RowTransform) {
  const { dIn, latents, k, architecture } = arena.model;
  const rows = raw.length / dIn;
  setBatch(arena, transformRows(raw, dIn, transform), 0, false);
  // By the threshold that the folded model has.
  arena.batches[BATCH.byThreshold] = architecture === "batch-topk" ? 1 : 0;
  runStep(createProgram(arena, referenceKernels(), 0), 0);
  const features: Map<number, number>[] = [];
  const ambiguous: boolean[] = [];
  for (let row = 0; row < rows; row++) {
    const begin = arena.rowOffset[row];
    const records = Array.from({ length: arena.rowCount[row] }, (_, i) => begin + i);
    features.push(new Map(records.map((record) => [arena.recordLatent[record], arena.recordValue[record]])));
    // Rows of one block: their pre-activations are all still there.
    const z = arena.preActivations.slice(row * latents, (row + 1) * latents);
    const toThreshold = (threshold: (latent: number) => number): number =>
      Math.min(...z.map((value, latent) => Math.abs(value - threshold(latent))));
    const sorted = z.toSorted((a, b) => b - a);
    const gap = {
      topk: () => (k < latents ? sorted[k - 1]! - sorted[k]! : 1),
      relu: () => 1,
      // A gate that opens lets a whole magnitude through.
      gated: () => toThreshold(() => 0),
      jumprelu: () => toThreshold((latent) => arena.threshold.value[latent]!),
      "batch-topk": () => toThreshold(() => arena.batchThreshold[BATCH_THRESHOLD.moving]!),
    };
    ambiguous.push(gap[architecture as keyof typeof gap]() < 1e-4);
  }
  const { mean, scale } = transform;
  const reconstruction = Float32Array.from({ length: raw.length }, (_, i) => {
    const y = arena.residual[i]! + arena.slots[0]![i]!;
    return y / scale + (mean === undefined ? 0 : mean[i % dIn]!);
  });
  return { features, reconstruction, ambiguous };
}

function featuresOfRow(features: SparseFeatures, row: number): Map<number, number> {
  const entries = new Map<number, number>();
  for (let at = features.offsets[row]!; at < features.offsets[row + 1]!; at++) {
    entries.set(features.latents[at]!, features.values[at]!);
  }
  return entries;
}

const largest = (values: Iterable<number>) => Math.max(1e-30, ...[...values].map(Math.abs));

describe("foldedModel", () => {
  const kinds = [
    ["topk", "unit"],
    ["relu", "unit"],
    ["relu", "free"],
    ["batch-topk", "unit"],
    ["jumprelu", "unit"],
    ["gated", "unit"],
  ] as const;
  const jump = {
    bandwidth: 0.6,
    initialThreshold: 0.4,
    penalty: "step",
    tanhScale: 4,
    targetL0: 3,
    gradientToInput: false,
  } as const;
  const combinations = kinds.flatMap(([architecture, decoder]) =>
    [true, false].flatMap((applyBDecToInput) =>
      (["none", "sqrt-d", "unit-mean-square"] as const).flatMap((scale) =>
        [true, false].flatMap((centre) =>
          (["scale", "unit"] as const).map(
            (fold) => [architecture, decoder, applyBDecToInput, scale, centre, fold] as const,
          ),
        ),
      ),
    ),
  );

  it.each(combinations)(
    "on raw rows equals the arena's model on transformed rows: %s, %s decoder, b_dec subtracted %s, %s, centred %s, fold %s",
    (architecture, decoder, applyBDecToInput, kind, centre, fold) => {
      let compared = 0;
      fc.assert(
        fc.property(fc.nat(1e6), fc.integer({ min: 2, max: 12 }), (seed, dIn) => {
          const k = architecture === "topk" || architecture === "batch-topk" ? 5 : 0;
          const shape = { architecture, decoder, applyBDecToInput, dIn, latents: 30, k };
          const model = sparseModel({ ...shape, ...(architecture === "jumprelu" ? { jump } : {}) });
          const raw = rowsOf(8, dIn, seed);
          const transform = rowTransform(kind, centre, statisticsOf(rowsOf(50, dIn, seed), dIn));
          const arena = randomSparseArena(setupOf(model), seed);
          arena.r_mag.value.set(normals(arena.r_mag.value.length, seed + 7, 0.3));
          arena.b_mag.value.set(normals(arena.b_mag.value.length, seed + 8, 0.3));
          refreshDerived(arena);
          if (architecture === "batch-topk") arena.batchThreshold[BATCH_THRESHOLD.moving] = 0.5;
          const expected = runArena(arena, raw, transform);
          const folded = foldedModel(arena, transform, fold);
          const features = folded.encode(raw);
          const reconstruction = folded.reconstruct(raw);
          for (let row = 0; row < 8; row++) {
            if (expected.ambiguous[row]) continue;
            compared++;
            const range = [row * dIn, (row + 1) * dIn] as const;
            const y = expected.reconstruction.slice(...range);
            const bound = 1e-5 * largest([...y, ...raw.slice(...range)]);
            reconstruction
              .slice(...range)
              .forEach((value, j) => expect(Math.abs(value - y[j]!)).toBeLessThanOrEqual(bound));
            const [found, wanted] = [featuresOfRow(features, row), expected.features[row]!];
            for (const latent of new Set([...found.keys(), ...wanted.keys()])) {
              const norm = Math.hypot(...arena.W_dec.value.slice(latent * dIn, (latent + 1) * dIn));
              const want = (wanted.get(latent) ?? 0) * (fold === "unit" ? norm / transform.scale : 1);
              const off = Math.abs((found.get(latent) ?? 0) - want);
              expect(off).toBeLessThanOrEqual(1e-5 * largest(found.values()));
            }
          }
          for (let latent = 0; latent < 30 && fold === "unit"; latent++) {
            const row = folded.parts.W_dec.slice(latent * dIn, (latent + 1) * dIn);
            expect(Math.hypot(...row)).toBeCloseTo(1, 5);
          }
        }),
        { numRuns: 15 },
      );
      expect(compared).toBeGreaterThan(60);
    },
  );

  it("keeps a decoder row of zeros at zero when folding to unit norm", () => {
    const arena = randomSparseArena(setupOf(sparseModel({ architecture: "relu", decoder: "free" })), 1);
    arena.W_dec.value.fill(0, 0, 7);
    const { W_dec, encoder } = foldedModel(arena, { mean: undefined, scale: 2 }, "unit").parts;
    expect(W_dec.slice(0, 7)).toEqual(new Float32Array(7));
    expect(encoder.every(Number.isFinite)).toBe(true);
  });
});
