import { describe, expect, it } from "vitest";
import { normals, sparseModel } from "../test/support.ts";
import { parametersOf } from "./arena.ts";
import { DeepAutoencoder } from "./deep-autoencoder.ts";
import { OptionError } from "./errors.ts";
import { LocalTrainer, type LocalTrainerOptions } from "./local-trainer.ts";
import { meanMaximumCosine } from "./metrics/cosines.ts";
import { PURPOSE, uniform } from "./random.ts";
import type { DeepModelSetup } from "./setup.ts";
import { SparseAutoencoder } from "./sparse-autoencoder.ts";

const D = 16;
const FEATURES = 24;
const BATCH_ROWS = 64;
const STEPS = 200;

/** Unit directions [FEATURES, D] that rows are made of. */
const directions = normals(FEATURES * D, 77);
for (let i = 0; i < FEATURES; i++) {
  const norm = Math.hypot(...directions.subarray(i * D, (i + 1) * D));
  for (let j = i * D; j < (i + 1) * D; j++) directions[j] /= norm;
}

/** Rows that are sums of about two of the directions, around a mean of 1. */
function toyRows(step: number): Float32Array {
  const rows = new Float32Array(BATCH_ROWS * D).fill(1);
  for (let row = 0; row < BATCH_ROWS; row++) {
    for (let i = 0; i < FEATURES; i++) {
      const draw = uniform(5, PURPOSE.synthetic, step, row * FEATURES + i);
      if (draw >= 2 / FEATURES) continue;
      const size = 1 + (draw * FEATURES) / 2;
      for (let j = 0; j < D; j++) rows[row * D + j] += size * directions[i * D + j];
    }
  }
  return rows;
}

const topk = sparseModel({ dIn: D, latents: 48, k: 3 });
const deep: DeepModelSetup = {
  kind: "deep",
  architecture: "autoencoder",
  widths: [D, 32, 12, 32, D],
  outputActivation: "linear",
};
const OPTIONS: LocalTrainerOptions = {
  model: topk,
  batchRows: BATCH_ROWS,
  totalSteps: STEPS,
  learningRate: 0.01,
  warmupSteps: 10,
  decaySteps: 50,
  seed: 3,
  initialRows: toyRows(9999),
};

describe("LocalTrainer with an average of the parameters", () => {
  it.each([
    ["TopK", topk],
    ["a deep autoencoder", deep],
  ] as const)("gives it as the model, and goes on training from where it was: %s", (_, model) => {
    const averaged = new LocalTrainer({ ...OPTIONS, model, ema: 0.9 });
    const plain = new LocalTrainer({ ...OPTIONS, model });
    const same: boolean[] = [];
    for (let step = 0; step < 5; step++) {
      const { loss } = averaged.step(toyRows(step));
      expect(loss).toBe(plain.step(toyRows(step)).loss);
      const rebuilt = averaged.model().reconstruct(toyRows(7));
      const unaveraged = plain.model().reconstruct(toyRows(7));
      same.push(rebuilt.every((value, i) => value === unaveraged[i]));
    }
    // The average of one step is that step's parameters.
    expect(same.slice(1)).toEqual([false, false, false, false]);
  });
});

describe("LocalTrainer on rows made of a few directions", () => {
  const cases: [string, Partial<LocalTrainerOptions>, number][] = [
    ["TopK", {}, 0.2],
    ["ReLU with L1", { model: { ...topk, architecture: "relu", decoder: "free" }, l1Coefficient: 0.05 }, 0.2],
    ["a deep autoencoder", { model: deep, learningRate: 0.005 }, 0.2],
    ["TopK by Muon", { optimizer: { name: "muon", momentum: 0.95 }, learningRate: 0.02 }, 0.2],
  ];
  it.each(cases)("lowers the loss: %s", (_, part, fraction) => {
    const trainer = new LocalTrainer({ ...OPTIONS, ...part });
    const losses = Array.from({ length: STEPS }, (_unused, step) => trainer.step(toyRows(step)).loss);
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean(losses.slice(-10))).toBeLessThan(fraction * losses[0]!);
  });

  it("finds the directions", () => {
    const trainer = new LocalTrainer(OPTIONS);
    for (let step = 0; step < STEPS; step++) trainer.step(toyRows(step));
    const model = trainer.model();
    if (!(model instanceof SparseAutoencoder)) throw new Error("not a sparse model");
    expect(meanMaximumCosine(directions, model.parts.W_dec, D)).toBeGreaterThan(0.95);
  });

  it("gives a model whose error is the one that training reports next", () => {
    for (const model of [topk, deep]) {
      const trainer = new LocalTrainer({ ...OPTIONS, model });
      for (let step = 0; step < 5; step++) trainer.step(toyRows(step));
      const x = toyRows(5);
      const y = trainer.model().reconstruct(x);
      const squaredError = x.reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0);
      expect(trainer.step(x).mse).toBeCloseTo(squaredError / BATCH_ROWS, 5);
    }
  });
});

describe("LocalTrainer's numbers", () => {
  /** Loss and a checksum of the parameters after ten steps. A change here is a change to every run's bits. */
  function tenSteps(part: Partial<LocalTrainerOptions>) {
    const trainer = new LocalTrainer({ ...OPTIONS, totalSteps: 10, decaySteps: 2, warmupSteps: 2, ...part });
    let report = trainer.step(toyRows(0));
    for (let step = 1; step < 10; step++) report = trainer.step(toyRows(step));
    let checksum = 0;
    for (const { value } of parametersOf(trainer.arena)) {
      for (const word of new Uint32Array(value.buffer, value.byteOffset, value.length)) {
        checksum = (Math.imul(checksum, 31) + word) >>> 0;
      }
    }
    return { ...report, checksum };
  }

  it("stay what they were: TopK", () => {
    expect(tenSteps({})).toMatchInlineSnapshot(`
      {
        "checksum": 4248101821,
        "dead": 0,
        "l0": 3,
        "loss": 1.9682566453702748,
        "mse": 1.9682566453702748,
        "step": 9,
      }
    `);
  });

  it("stay what they were: ReLU", () => {
    const model = { ...topk, architecture: "relu", decoder: "free" } as const;
    expect(tenSteps({ model, l1Coefficient: 0.05, l1WarmupSteps: 3 })).toMatchInlineSnapshot(`
      {
        "checksum": 4061713281,
        "dead": 0,
        "l0": 32.015625,
        "loss": 1.818479830911383,
        "mse": 1.7020391207188368,
        "step": 9,
      }
    `);
  });

  it("stay what they were: deep", () => {
    expect(tenSteps({ model: deep })).toMatchInlineSnapshot(`
      {
        "checksum": 2036672511,
        "dead": 0,
        "l0": 0,
        "loss": 8.169069845229387,
        "mse": 8.169069845229387,
        "step": 9,
      }
    `);
  });

  it("depend on the seed", () => {
    const { initialRows: _unused, ...random } = OPTIONS;
    const losses = [1, 1, 2].map((seed) => new LocalTrainer({ ...random, seed }).step(toyRows(0)).loss);
    expect(losses[0]).toBe(losses[1]);
    expect(losses[0]).not.toBe(losses[2]);
  });
});

describe("LocalTrainer refuses", () => {
  it.each([0, D + 1, (BATCH_ROWS + 1) * D])("a mini-batch of %i values", (length) => {
    const trainer = new LocalTrainer(OPTIONS);
    expect(() => trainer.step(new Float32Array(length))).toThrow(
      new OptionError("rows", `a mini-batch must have 1 to 64 whole rows of 16 values, got ${length} values`),
    );
    expect(trainer.step(toyRows(0)).step).toBe(0);
  });

  it("to go on when a row is not a number, naming the step", () => {
    const trainer = new LocalTrainer(OPTIONS);
    trainer.step(toyRows(0));
    const rows = toyRows(1);
    rows[100] = Number.NaN;
    expect(() => trainer.step(rows)).toThrow("the loss of step 1 is NaN");
  });

  it("options that cannot be, by name", () => {
    const refused = (part: Partial<LocalTrainerOptions>) => () => new LocalTrainer({ ...OPTIONS, ...part });
    expect(refused({ batchRows: 0 })).toThrow(/^batchRows must be/);
    expect(refused({ learningRate: -1 })).toThrow(/^learningRate must be/);
    expect(refused({ model: { ...topk, k: 49 } })).toThrow(/^k must be at most/);
    expect(refused({ initialRows: new Float32Array(0) })).toThrow(/needs at least one whole row of 16/);
  });
});

describe("a trained model", () => {
  it("is of the architecture's class", () => {
    expect(new LocalTrainer(OPTIONS).model()).toBeInstanceOf(SparseAutoencoder);
    expect(new LocalTrainer({ ...OPTIONS, model: deep }).model()).toBeInstanceOf(DeepAutoencoder);
  });
});

it("refuses a transcoder: its rows are of one place", () => {
  const transcoder = { ...OPTIONS.model, dOut: 3, applyBDecToInput: false };
  expect(() => new LocalTrainer({ ...OPTIONS, model: transcoder } as LocalTrainerOptions)).toThrow(
    "dOut is not for LocalTrainer",
  );
});
