/**
 * Mistakes that other systems made in public, one test each: what would be seen here if they were made again. The
 * gradients themselves are held to central differences in gradients.test.ts.
 */
import { describe, expect, it } from "vitest";
import {
  addSums,
  type AuxKSetup,
  createProgram,
  defaultAuxK,
  emptySums,
  foldedModel,
  metricsOf,
  parametersOf,
  referenceKernels,
  runStep,
  type SparseArena,
  SUMMARY,
} from "../src/index.ts";
import { normals, randomSparseArena, setBatch, setupOf, sparseModel } from "./support.ts";

const ROWS = 16;
const DIN = 7;
const AUX: AuxKSetup = { coefficient: 1 / 32, k: 3, mode: "variance", totalVariance: 7 };

/** One step with a learning rate of 0; even latents are dead. `change` sees the arena before it. */
function step(
  auxK: AuxKSetup | undefined,
  change: (arena: SparseArena, rows: Float32Array) => void = () => undefined,
) {
  const setup = setupOf(sparseModel(), {
    learningRate: { peak: 0, warmupSteps: 0, decaySteps: 0, totalSteps: 10 },
    deadWindow: 100,
    ...(auxK === undefined ? {} : { auxK }),
  });
  const arena = randomSparseArena(setup, 3, { precision: "float64", storeGradients: true });
  for (let latent = 0; latent < arena.lastFired.length; latent++)
    arena.lastFired[latent] = latent % 2 === 0 ? 0 : 900;
  const rows = normals(ROWS * DIN, 4);
  change(arena, rows);
  setBatch(arena, rows, 0);
  arena.batches[2] = 900;
  runStep(createProgram(arena, referenceKernels("float64"), 0), 0);
  return arena;
}

/** The gradient row of a latent in a tensor. */
function rowOf({ gradient }: { gradient: ArrayLike<number> }, latent: number): number[] {
  return Array.from(gradient).slice(latent * DIN, (latent + 1) * DIN);
}

const lossOf = (arena: SparseArena): number => arena.summaries[SUMMARY.loss]!;
/** What the auxiliary term adds to the loss. */
const auxiliaryOf = (change?: Parameters<typeof step>[1], auxK = AUX): number =>
  lossOf(step(auxK, change)) - lossOf(step(undefined, change));

describe("AuxK", () => {
  it("takes its number of latents from the dimension, not from the dictionary's size", () => {
    expect([64, 512, 768, 4096].map(defaultAuxK)).toEqual([32, 256, 512, 2048]);
  });

  it("has its error held fixed: living latents get the gradient that they have without it", () => {
    const [without, withAux] = [step(undefined), step(AUX)];
    for (const name of ["W_enc", "W_dec"] as const)
      for (let latent = 1; latent < 19; latent += 2)
        expect(rowOf(withAux[name], latent)).toEqual(rowOf(without[name], latent));
  });

  it("is propagated: dead latents get a gradient that they have not without it", () => {
    const [without, withAux] = [step(undefined), step(AUX)];
    for (const name of ["W_enc", "W_dec"] as const) {
      const changed = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18].filter(
        (latent) => rowOf(withAux[name], latent).join() !== rowOf(without[name], latent).join(),
      );
      expect(changed.length).toBeGreaterThan(2);
    }
  });

  it("rebuilds the error without b_dec: moving rows and b_dec together changes nothing", () => {
    const there = auxiliaryOf();
    expect(there).toBeGreaterThan(0.001);
    const moved = auxiliaryOf((arena, rows) => {
      for (let j = 0; j < DIN; j++) arena.b_dec.value[j] += 16 + j;
      for (let i = 0; i < rows.length; i++) rows[i] += 16 + (i % DIN);
    });
    expect(moved / there).toBeCloseTo(1, 4);
  });

  it("is in the units of the reconstruction loss: with nothing to rebuild it with, it is α·V of a centred error", () => {
    // Dead latents that write nothing: ê = 0, so that the ratio is mean‖e‖² / mean‖e − ē‖².
    const silent = (arena: SparseArena): void => {
      for (let i = 0; i < arena.W_dec.value.length; i++)
        if (Math.floor(i / DIN) % 2 === 0) arena.W_dec.value[i] = 0;
    };
    const arena = step(AUX, silent);
    let [squares, ofMean] = [0, 0];
    for (let j = 0; j < DIN; j++) {
      let sum = 0;
      for (let row = 0; row < ROWS; row++) {
        // The residual is kept as (2/B)·(x̂ − x).
        const error = (arena.residual[row * DIN + j]! * ROWS) / 2;
        squares += error ** 2 / ROWS;
        sum += error / ROWS;
      }
      ofMean += sum ** 2;
    }
    const expected = (AUX.coefficient * AUX.totalVariance * squares) / (squares - ofMean);
    expect(auxiliaryOf(silent)).toBeCloseTo(expected, 10);
  });
});

describe("a coefficient that Adam does not see the size of", () => {
  /** L0 of the last 20 of 500 steps, by a quadratic penalty. */
  const l0Of = (coefficient: number, targetL0: number): number => {
    const jump = {
      bandwidth: 0.5,
      initialThreshold: 0.2,
      penalty: "quadratic",
      tanhScale: 4,
      targetL0,
      gradientToInput: false,
    } as const;
    const model = sparseModel({ architecture: "jumprelu", k: 0, latents: 40, jump });
    const l1Coefficient = { peak: coefficient, warmupSteps: 20, decaySteps: 0, totalSteps: 500 };
    const learningRate = { peak: 0.01, warmupSteps: 0, decaySteps: 200, totalSteps: 500 };
    const arena = randomSparseArena(setupOf(model, { batchRows: 64, l1Coefficient, learningRate }), 3);
    const program = createProgram(arena, referenceKernels(), 0);
    let active = 0;
    for (let at = 0; at < 500; at++) {
      setBatch(arena, normals(64 * DIN, 100 + at), at);
      runStep(program, 0);
      if (at >= 480) active += arena.summaries[SUMMARY.active]!;
    }
    return active / (20 * 64);
  };

  it.each([3, 6])(
    "does not decide L0: a quadratic penalty ends at its target of %d, weak or strong",
    (target) => {
      for (const coefficient of [3, 30, 300])
        expect(Math.abs(l0Of(coefficient, target) / target - 1), `λ = ${coefficient}`).toBeLessThan(0.1);
    },
  );
});

describe("explained variance", () => {
  it("is about the corpus's mean: a model that knows the mean alone explains nothing, however large it is", () => {
    const arena = randomSparseArena(setupOf(sparseModel()), 3);
    for (const { value } of parametersOf(arena)) value.fill(0);
    const rows = normals(ROWS * DIN, 5).map((value, i) => value + 100 * ((i % DIN) + 1));
    const mean = Float32Array.from({ length: DIN }, (_, j) => {
      let sum = 0;
      for (let row = 0; row < ROWS; row++) sum += rows[row * DIN + j]! / ROWS;
      return sum;
    });
    arena.mean.set(mean);
    arena.b_dec.value.set(mean);
    setBatch(arena, rows, 0, false);
    runStep(createProgram(arena, referenceKernels(), 0), 0);
    const sums = emptySums();
    addSums(sums, arena, 0);
    expect(metricsOf(sums).fvu).toBeCloseTo(1, 4);
  });

  it("is a ratio of sums, not a mean of rows' ratios", () => {
    const arena = randomSparseArena(setupOf(sparseModel()), 3);
    for (const { value } of parametersOf(arena)) value.fill(0);
    // A row that is rebuilt by nothing, and one that is the mean already.
    const rows = new Float32Array(2 * DIN);
    rows.fill(10, 0, DIN);
    rows.fill(1e-3, DIN);
    setBatch(arena, rows, 0, false);
    arena.b_dec.value.fill(1);
    runStep(createProgram(arena, referenceKernels(), 0), 0);
    const sums = emptySums();
    addSums(sums, arena, 0);
    expect(metricsOf(sums).fvu).toBeCloseTo((81 + 0.999 ** 2) / (100 + 1e-6), 5);
  });
});

describe("decoder norms that are folded away", () => {
  it("go into the thresholds, too: the same latents are active", () => {
    const jump = {
      bandwidth: 0.6,
      initialThreshold: 0.4,
      penalty: "step",
      tanhScale: 4,
      targetL0: 3,
      gradientToInput: false,
    } as const;
    const arena = randomSparseArena(setupOf(sparseModel({ architecture: "jumprelu", k: 0, jump })), 3);
    for (let i = 0; i < arena.W_dec.value.length; i++) arena.W_dec.value[i] *= 0.1 + Math.floor(i / DIN);
    const identity = { mean: undefined, scale: 1 };
    const x = normals(50 * DIN, 9);
    const [raw, unit] = [
      foldedModel(arena, identity, "scale").encode(x),
      foldedModel(arena, identity, "unit").encode(x),
    ];
    expect(raw.latents.length).toBeGreaterThan(50);
    expect(unit.latents).toEqual(raw.latents);
    expect(unit.offsets).toEqual(raw.offsets);
  });
});
