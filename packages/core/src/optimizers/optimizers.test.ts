/**
 * The optimisers as the stages apply them, and the moving average, against small implementations of their own in float64,
 * which are given the stages' gradients.
 */
import { describe, expect, it } from "vitest";
import {
  normals,
  randomArena,
  randomSparseArena,
  runBits,
  setBatch,
  setupOf,
  sparseModel,
} from "../../test/support.ts";
import { parametersOf } from "../arena.ts";
import { exchangeAverages, takeAverages } from "../initialise.ts";
import { referenceKernels } from "../reference/index.ts";
import { type Schedule, scheduledValue } from "../schedule.ts";
import type { ModelSetup, TrainingSetup } from "../setup.ts";
import { createProgram, runStep } from "../stages.ts";
import { muonCost } from "./muon.ts";
import { AverageWeights } from "./schedule-free.ts";

const ROWS = 16;
const STEPS = 12;
const learningRate: Schedule = { peak: 0.01, warmupSteps: 4, decaySteps: 3, totalSteps: STEPS };
// A free decoder is not renormalised: what the optimiser wrote is what stays.
const free = sparseModel({ architecture: "relu", k: 0, decoder: "free", latents: 37 });
const deep: ModelSetup = {
  kind: "deep",
  architecture: "autoencoder",
  widths: [7, 50, 3, 7],
  outputActivation: "linear",
};

/** One tensor's optimiser: gets the gradient at the parameter it gave last, gives the next. */
interface Rule {
  readonly value: Float64Array;
  /** What a finished model has, if that is something else. */
  readonly finished?: Float64Array;
  step(gradient: ArrayLike<number>, rate: number): void;
}

/** Trains in float64 and holds every parameter of every step to a rule's. */
function expectRule(
  model: ModelSetup,
  training: Partial<TrainingSetup>,
  ruleOf: (start: Float64Array, shape: readonly number[]) => Rule,
  tolerance = 1e-12,
) {
  const setup = setupOf(model, { learningRate, ...training });
  const arena = randomArena(setup, 1, { precision: "float64", storeGradients: true });
  const program = createProgram(arena, referenceKernels("float64"), 0);
  // Random parameters were set after the copies were started.
  for (const { value, z, average } of parametersOf(arena))
    for (const copy of [z, average]) if (copy.length > 0) copy.set(value);
  const rules = parametersOf(arena).map(({ value, shape }) => ruleOf(Float64Array.from(value), shape));
  const close = (found: ArrayLike<number>, expected: ArrayLike<number>): number =>
    Math.max(...Array.from(found, (value, i) => Math.abs(value - expected[i]!)));
  for (let step = 0; step < STEPS; step++) {
    setBatch(arena, normals(ROWS * 7, 100 + step), step);
    runStep(program, 0);
    parametersOf(arena).forEach(({ name, value, gradient }, i) => {
      rules[i]!.step(gradient, scheduledValue(setup.training.learningRate, step));
      expect(close(value, rules[i]!.value), `${name} after step ${step}`).toBeLessThan(tolerance);
    });
  }
  takeAverages(arena);
  parametersOf(arena).forEach(({ name, value }, i) => {
    const { finished = rules[i]!.value } = rules[i]!;
    expect(close(value, finished), `${name} of the finished model`).toBeLessThan(tolerance);
  });
}

type Matrix = number[][];
const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0]!.map((_, j) => row.reduce((sum, value, t) => sum + value * b[t]![j]!, 0)));
const transposed = (a: Matrix): Matrix => a[0]!.map((_, j) => a.map((row) => row[j]!));
const sumOf = (...parts: [number, Matrix][]): Matrix =>
  parts[0]![1].map((row, i) =>
    row.map((_, j) => parts.reduce((sum, [scale, m]) => sum + scale * m[i]![j]!, 0)),
  );

/** Five Newton–Schulz steps on the matrix itself, as torch.optim.Muon takes them, wide matrices as they are. */
function orthogonalised(u: Matrix): Matrix {
  if (u.length > u[0]!.length) return transposed(orthogonalised(transposed(u)));
  const norm = Math.max(1e-7, Math.hypot(...u.flat()));
  let x = u.map((row) => row.map((value) => value / norm));
  for (let k = 0; k < 5; k++) {
    const gram = times(x, transposed(x));
    const polynomial = sumOf([-4.775, gram], [2.0315, times(gram, gram)]);
    x = sumOf([3.4445, x], [1, times(polynomial, x)]);
  }
  return x;
}

describe.each([
  ["a sparse autoencoder", free],
  ["a deep autoencoder", deep],
] as const)("%s", (_, model) => {
  it("moves by Signum: against the sign of a running mean", () => {
    expectRule(model, { optimizer: { name: "signum", momentum: 0.9 } }, (value) => {
      const mean = new Float64Array(value.length);
      return {
        value,
        step(gradient, rate) {
          for (let i = 0; i < value.length; i++) {
            mean[i] = 0.9 * mean[i]! + (1 - 0.9) * gradient[i]!;
            value[i]! -= rate * Math.sign(mean[i]!);
          }
        },
      };
    });
  });

  it("moves by schedule-free Signum: gradients between the moving point and its average, which is the model", () => {
    // As schedulefree's wrapper keeps it: y and z, from which the average is found by extrapolation.
    const constant = { peak: 0.01, warmupSteps: 3, decaySteps: 0, totalSteps: STEPS };
    const optimizer = { name: "signum-schedule-free", momentum: 0.95 } as const;
    expectRule(model, { optimizer, learningRate: constant }, (value) => {
      const z = value.slice();
      const finished = value.slice();
      let largest = 0;
      let sum = 0;
      return {
        value,
        finished,
        step(gradient, rate) {
          largest = Math.max(largest, rate);
          sum += largest ** 2;
          for (let i = 0; i < value.length; i++) {
            const x = value[i]! + (1 - 1 / 0.95) * (z[i]! - value[i]!);
            z[i]! -= rate * Math.sign(gradient[i]!);
            finished[i] = x + (largest ** 2 / sum) * (z[i]! - x);
            value[i] = finished[i]! + (1 - 0.95) * (z[i]! - finished[i]!);
          }
        },
      };
    });
  });

  it("moves by Muon: matrices by what Newton–Schulz makes of their momentum, vectors by Adam", () => {
    // Clipped, too: the momentum is of clipped gradients, which are clipped once.
    const optimizer = { name: "muon", momentum: 0.9, weightDecay: 0.1 } as const;
    const rule = (value: Float64Array, [n = 0, d]: readonly number[]): Rule => {
      const m = new Float64Array(value.length);
      const v = new Float64Array(value.length);
      let t = 0;
      return {
        value,
        step(gradient, rate) {
          t++;
          const g = gradient;
          if (d === undefined) {
            for (let i = 0; i < n; i++) {
              m[i] = 0.9 * m[i]! + 0.1 * g[i]!;
              v[i] = 0.999 * v[i]! + 0.001 * g[i]! ** 2;
              const root = Math.sqrt(v[i]! / (1 - 0.999 ** t)) + 1e-8;
              value[i]! -= (rate * m[i]!) / (1 - 0.9 ** t) / root;
            }
            return;
          }
          // The stages leave u in the gradient's place: what it is made of follows from it.
          const u = Array.from({ length: n }, (_row, i) =>
            Array.from({ length: d }, (_, j) => g[i * d + j]!),
          );
          const update = orthogonalised(u);
          const scale = rate * 0.2 * Math.sqrt(Math.max(n, d));
          for (let i = 0; i < value.length; i++)
            value[i] = (1 - 0.1 * rate) * value[i]! - scale * update[Math.floor(i / d)]![i % d]!;
        },
      };
    };
    expectRule(model, { optimizer }, rule, 1e-9);
  });

  it("gives Muon Nesterov's momentum of clipped gradients", () => {
    const limit = 0.05;
    const optimizer = { name: "muon", momentum: 0.9 } as const;
    const arenaOf = (training: Partial<TrainingSetup>) =>
      randomArena(setupOf(model, training), 1, { precision: "float64", storeGradients: true });
    const arena = arenaOf({ optimizer, clipNorm: limit });
    const program = createProgram(arena, referenceKernels("float64"), 0);
    const momenta = parametersOf(arena).map(({ value }) => new Float64Array(value.length));
    for (let step = 0; step < 3; step++) {
      // Gradients at the same parameters, neither clipped nor turned into anything.
      const plain = arenaOf({});
      parametersOf(plain).forEach(({ value }, i) => value.set(parametersOf(arena)[i]!.value));
      if (arena.kind === "sparse" && plain.kind === "sparse") plain.decoderNorm.set(arena.decoderNorm);
      for (const each of [plain, arena]) setBatch(each, normals(ROWS * 7, 100 + step), step);
      runStep(createProgram(plain, referenceKernels("float64"), 0), 0);
      runStep(program, 0);
      const norm = Math.hypot(...parametersOf(plain).flatMap(({ gradient }) => [...gradient]));
      const factor = Math.min(1, limit / (norm + 1e-6));
      expect(factor).toBeLessThan(1);
      parametersOf(arena).forEach(({ shape, gradient }, at) => {
        if (shape.length === 1) return;
        const m = momenta[at]!;
        const unclipped = parametersOf(plain)[at]!.gradient;
        for (let i = 0; i < m.length; i++) {
          const g = factor * unclipped[i]!;
          m[i] = 0.9 * m[i]! + 0.1 * g;
          expect(Math.abs(gradient[i]! - (0.1 * g + 0.9 * m[i]!))).toBeLessThan(1e-12);
        }
      });
    }
  });

  it("keeps a moving average without bias, which is the finished model", () => {
    expectRule(model, { ema: 0.8, optimizer: { name: "signum", momentum: 0 } }, (value) => {
      const points: Float64Array[] = [];
      const finished = value.slice();
      return {
        value,
        finished,
        step(gradient, rate) {
          for (let i = 0; i < value.length; i++) value[i]! -= rate * Math.sign(gradient[i]!);
          points.unshift(value.slice());
          const weights = points.map((_point, age) => 0.8 ** age);
          const total = weights.reduce((all, weight) => all + weight, 0);
          for (let i = 0; i < value.length; i++)
            finished[i] = points.reduce((all, point, age) => all + (weights[age]! / total) * point[i]!, 0);
        },
      };
    });
  });
});

describe("Muon in float32", () => {
  it("is as exact as in float64 to a part in a thousand, though its polynomial squares condition numbers", () => {
    const shape = sparseModel({ latents: 100, dIn: 40, k: 5 });
    const moved = (["float32", "float64"] as const).map((precision) => {
      const setup = setupOf(shape, { optimizer: { name: "muon", momentum: 0 } });
      const arena = randomSparseArena(setup, 1, { precision });
      const before = arena.W_enc.value.slice();
      setBatch(arena, normals(ROWS * 40, 3), 0);
      runStep(createProgram(arena, referenceKernels(precision), 0), 0);
      return arena.W_enc.value.map((value, i) => value - before[i]!);
    }) as [Float32Array, Float64Array];
    const difference = Math.hypot(...moved[1].map((value, i) => value - moved[0][i]!));
    expect(difference / Math.hypot(...moved[1])).toBeLessThan(1e-3);
  });

  it("leaves a matrix without gradient where it is", () => {
    const arena = randomSparseArena(
      setupOf(sparseModel(), { optimizer: { name: "muon", momentum: 0.9 } }),
      1,
    );
    const before = arena.W_enc.value.slice();
    // No latent is active.
    arena.b_enc.value.fill(-1000);
    setBatch(arena, normals(ROWS * 7, 3), 0);
    runStep(createProgram(arena, referenceKernels(), 0), 0);
    expect(arena.W_enc.value).toEqual(before);
  });

  it("costs what its two products with the matrices and those of squares cost", () => {
    const { multiplyAdds, share } = muonCost(sparseModel({ latents: 12_288, dIn: 768, k: 32 }), 4096);
    expect(multiplyAdds).toBe(2 * (2 * 12_288 * 768 ** 2 + 17 * 768 ** 3));
    expect(share).toBeCloseTo(1.148, 3);
  });
});

describe("constraints hold for every copy of a parameter", () => {
  it.each([
    ["schedule-free Signum", { optimizer: { name: "signum-schedule-free", momentum: 0.9 } }],
    ["a moving average", { ema: 0.9 }],
  ] as const)("%s: unit decoder rows, thresholds of at least 0", (_, training) => {
    const jump = {
      bandwidth: 0.7,
      initialThreshold: 0.02,
      penalty: "step",
      tanhScale: 4,
      targetL0: 3,
      gradientToInput: false,
    } as const;
    const model = sparseModel({ architecture: "jumprelu", k: 0, jump });
    // Without penalty thresholds fall.
    const none = { peak: 0, warmupSteps: 0, decaySteps: 0, totalSteps: 10 };
    const arena = randomSparseArena(setupOf(model, { ...training, l1Coefficient: none }), 1);
    const program = createProgram(arena, referenceKernels(), 0);
    for (let step = 0; step < 10; step++) {
      setBatch(arena, normals(ROWS * 7, 100 + step), step);
      runStep(program, 0);
    }
    for (const kept of ["value", "z", "average"] as const) {
      const rows = arena.W_dec[kept];
      for (let at = 0; at < rows.length; at += 7)
        expect(Math.hypot(...rows.subarray(at, at + 7))).toBeCloseTo(1, 6);
      expect(arena.threshold[kept].every((threshold) => threshold >= 0)).toBe(true);
    }
    expect([...arena.threshold.value, ...arena.threshold.z]).toContain(0);
    const { average } = arena.W_dec;
    takeAverages(arena);
    expect(arena.W_dec.value).toEqual(average);
    expect(arena.floors).toEqual(arena.threshold.average.map((theta) => Math.fround(theta - 0.35)));
  });
});

describe("averages that are exchanged with the parameters", () => {
  const wide: ModelSetup = { ...deep, widths: [7, 10_000, 3, 10_000, 7], tied: true };
  it.each([
    [
      "a free decoder, by schedule-free Signum",
      free,
      { optimizer: { name: "signum-schedule-free", momentum: 0.9 } },
    ],
    ["tied layers of many weights, by a moving average", wide, { ema: 0.9 }],
  ] as const)("are in their place, and put back to the bit: %s", (_, model, training) => {
    const [measured, other] = [1, 2].map(() => {
      const arena = randomArena(setupOf(model, training), 1);
      const program = createProgram(arena, referenceKernels(), 0);
      for (let step = 0; step < 3; step++) {
        setBatch(arena, normals(ROWS * 7, 100 + step), step);
        runStep(program, 0);
      }
      return arena;
    });
    const bitsOf = (arena: typeof measured) => [
      runBits(arena!),
      parametersOf(arena!).map(({ average }) => average.slice()),
    ];
    const before = bitsOf(measured);
    exchangeAverages(measured!);
    takeAverages(other!);
    const valuesOf = (arena: typeof measured) =>
      arena!.kind === "deep"
        ? arena!.layers.flatMap(({ weight, bias }) => [weight.value, bias.value])
        : [...parametersOf(arena!).map(({ value }) => value), arena!.decoderNorm];
    expect(valuesOf(measured)).toEqual(valuesOf(other));
    expect(bitsOf(measured)).not.toEqual(before);
    exchangeAverages(measured!);
    expect(bitsOf(measured)).toEqual(before);
  });
});

describe("the weights of a schedule-free average", () => {
  it("are 1/t while the rate is constant, asked for in order or not", () => {
    const weights = new AverageWeights(() => 0.3);
    for (const step of [0, 1, 2, 9, 4, 5]) expect(weights.of(step)).toBeCloseTo(1 / (step + 1), 14);
  });

  it("grow with the square of the largest rate so far", () => {
    const rates = [0, 1, 2, 1];
    const weights = new AverageWeights((step) => rates[step]!);
    expect(rates.map((_rate, step) => weights.of(step))).toEqual([0, 1, 4 / 5, 4 / 9]);
  });
});
