import { describe, expect, it } from "vitest";
import { normals, randomSparseArena, setupOf, sparseModel } from "../test/support.ts";
import { BATCH_THRESHOLD } from "./fields.ts";
import { OptionError } from "./errors.ts";
import { type Fold, foldedModel } from "./folding.ts";
import { refreshDerived } from "./initialise.ts";
import { LocalTrainer } from "./local-trainer.ts";
import type { RowTransform } from "./normalisation.ts";
import type { JumpSetup, SparseModelSetup } from "./setup.ts";
import type { SparseAutoencoder } from "./sparse-autoencoder.ts";
import { initialiseFrom } from "./unfolding.ts";

const D = 7;
const jump: JumpSetup = {
  bandwidth: 0.1,
  initialThreshold: 0.2,
  penalty: "step",
  tanhScale: 1,
  targetL0: 3,
  gradientToInput: false,
};
const scaled: RowTransform = { mean: normals(D, 50), scale: 1.7 };
/** Of a transcoder of 9 numbers: both, side by side. */
const pair: RowTransform = {
  mean: normals(D + 9, 51),
  scale: 1,
  scales: Float32Array.from({ length: D + 9 }, (_, j) => (j < D ? 1.7 : 0.4)),
};

function arenaOf(part: Partial<SparseModelSetup>, seed: number) {
  const model = sparseModel({ ...part, ...(part.architecture === "jumprelu" ? { jump } : {}) });
  const arena = randomSparseArena(setupOf(model), seed);
  for (const [i, parameter] of [arena.r_mag, arena.b_mag, arena.W_skip].entries())
    parameter.value.set(normals(parameter.value.length, seed + 7 + i, 0.3));
  arena.threshold.value.set(normals(arena.threshold.value.length, seed + 10).map(Math.abs));
  arena.batchThreshold[BATCH_THRESHOLD.moving] = 0.5;
  refreshDerived(arena);
  return arena;
}

/** The largest difference of two models' reconstructions and features of raw rows, by the largest number. */
function difference(a: SparseAutoencoder, b: SparseAutoencoder): number {
  const x = normals(40 * D, 99, 2);
  const [first, second] = [a.reconstruct(x), b.reconstruct(x)];
  const [one, other] = [a.encode(x), b.encode(x)];
  expect(one.latents).toEqual(other.latents);
  const off = (u: Float32Array, v: Float32Array) =>
    Math.max(...u.map((value, i) => Math.abs(value - v[i]!))) / Math.max(...u.map(Math.abs));
  return Math.max(off(first, second), off(one.values, other.values));
}

describe("initialiseFrom", () => {
  const cases: readonly [string, Partial<SparseModelSetup>, RowTransform, Fold][] = [
    ["topk", {}, scaled, "scale"],
    ["topk, folded to unit rows", {}, scaled, "unit"],
    ["topk, without b_dec in the encoder", { applyBDecToInput: false }, scaled, "scale"],
    ["relu with a free decoder", { architecture: "relu", decoder: "free", k: 0 }, scaled, "unit"],
    ["jumprelu", { architecture: "jumprelu", k: 0 }, scaled, "unit"],
    ["gated", { architecture: "gated", k: 0, applyBDecToInput: false }, scaled, "scale"],
    ["a skip transcoder", { dOut: 9, skip: true, applyBDecToInput: false }, pair, "scale"],
  ];

  it.each(cases)("gives an arena that computes what the model does: %s", (_, part, transform, fold) => {
    const model = foldedModel(arenaOf(part, 3), transform, fold);
    const arena = arenaOf(part, 40);
    // Other statistics than those of the corpus that the model was trained on.
    const here = { ...transform, mean: normals(transform.mean!.length, 77) };
    initialiseFrom(arena, model, here);
    expect(difference(model, foldedModel(arena, here, fold))).toBeLessThan(1e-5);
    for (let latent = 0; latent < arena.model.latents && arena.model.decoder === "unit"; latent++) {
      const dOut = arena.b_dec.value.length;
      const row = arena.W_dec.value.slice(latent * dOut, (latent + 1) * dOut);
      expect(Math.hypot(...row)).toBeCloseTo(1, 6);
    }
  });

  it.each([true, false])(
    "goes over to an encoder that does not subtract b_dec, or does (%s)",
    (subtracts) => {
      for (const architecture of ["topk", "gated"] as const) {
        const k = architecture === "topk" ? 4 : 0;
        const model = foldedModel(
          arenaOf({ architecture, k, applyBDecToInput: !subtracts }, 3),
          scaled,
          "scale",
        );
        const arena = arenaOf({ architecture, k, applyBDecToInput: subtracts }, 40);
        initialiseFrom(arena, model, scaled);
        expect(difference(model, foldedModel(arena, scaled, "scale"))).toBeLessThan(1e-5);
      }
    },
  );

  it("lets BatchTopK go on from the model with a threshold that came of it", () => {
    const part = { architecture: "batch-topk" } as const;
    const model = foldedModel(arenaOf(part, 3), scaled, "scale");
    expect(model.parts.activation.kind).toBe("jumprelu");
    const arena = arenaOf(part, 40);
    initialiseFrom(arena, model, scaled);
    expect(difference(model, foldedModel(arena, scaled, "scale"))).toBeLessThan(1e-5);
  });

  it("keeps the initial row of a latent whose decoder row is zero", () => {
    const part = { architecture: "relu", k: 0 } as const;
    const source = arenaOf(part, 3);
    const model = foldedModel(source, scaled, "scale");
    model.parts.W_dec.fill(0, 0, D);
    const arena = arenaOf(part, 40);
    const before = arena.W_dec.value.slice(0, D);
    initialiseFrom(arena, model, scaled);
    const after = arena.W_dec.value.slice(0, D);
    after.forEach((value, j) => expect(value).toBeCloseTo(before[j]!, 6));
    const x = normals(40 * D, 99, 2);
    const [wanted, found] = [model, foldedModel(arena, scaled, "scale")].map((one) => one.reconstruct(x));
    found!.forEach((value, i) => expect(value).toBeCloseTo(wanted![i]!, 4));
  });

  it.each<[string, Partial<SparseModelSetup>, RowTransform, string]>([
    [
      "columns",
      { columns: [3, 4] },
      scaled,
      "the model to begin with reads rows of one vector, the new one of 3 + 4",
    ],
    ["latents", { latents: 20 }, scaled, "the model to begin with has 19 latents, the new one 20"],
    ["dimensions", { dIn: 8 }, scaled, "the model to begin with has 7 dimensions, the new one 8"],
    [
      "the architecture",
      { architecture: "relu", k: 0 },
      scaled,
      "relu cannot begin with a topk model: it needs relu",
    ],
    [
      "LayerNorm",
      {},
      { mean: undefined, scale: 1, layerNorm: [D] },
      "the model to begin with does not normalise rows by LayerNorm, the new one does",
    ],
  ])("refuses a model that differs in %s", (_, part, transform, message) => {
    const model = foldedModel(arenaOf({}, 3), scaled, "scale");
    expect(() => initialiseFrom(arenaOf(part, 4), model, transform)).toThrow(
      new OptionError("initialModel", message),
    );
  });
});

describe("LocalTrainer with an initial model", () => {
  const options = { model: sparseModel(), batchRows: 16, totalSteps: 50, seed: 0, learningRate: 1e-3 };
  const rows = normals(64 * D, 5);
  const batch = (step: number): Float32Array => rows.subarray((step % 4) * 16 * D, ((step % 4) + 1) * 16 * D);

  it("goes on where that one stood", () => {
    const first = new LocalTrainer(options);
    for (let step = 0; step < 50; step++) first.step(batch(step));
    const { mse } = first.step(batch(0));
    const trained = first.model() as SparseAutoencoder;
    const second = new LocalTrainer({ ...options, seed: 1, initialModel: trained });
    const report = second.step(batch(0));
    expect(report.mse).toBeGreaterThan(0.9 * mse);
    expect(report.mse).toBeLessThan(1.01 * mse);
  });

  it("refuses other starts beside it, and deep models", () => {
    const initialModel = new LocalTrainer(options).model() as SparseAutoencoder;
    expect(() => new LocalTrainer({ ...options, initialModel, initialRows: rows })).toThrow(
      "initialModel gives all first parameters: leave out initialRows, initialTargets and start",
    );
    const deep = {
      kind: "deep",
      architecture: "autoencoder",
      widths: [7, 3, 7],
      outputActivation: "linear",
    } as const;
    expect(() => new LocalTrainer({ ...options, model: deep, initialModel })).toThrow(
      "initialModel is for sparse models",
    );
  });
});
