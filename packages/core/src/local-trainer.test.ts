import { describe, expect, it } from "vitest";
import { normals, sparseModel } from "../test/support.ts";
import { parametersOf } from "./arena.ts";
import { DeepAutoencoder } from "./deep-autoencoder.ts";
import { OptionError } from "./errors.ts";
import { geometricMedian } from "./initialise.ts";
import { LocalTrainer, type LocalTrainerOptions, type StepReport } from "./local-trainer.ts";
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

describe("LocalTrainer with AuxK", () => {
  it("adds the loss of dead latents, and checks its options", () => {
    const dIn = 8;
    // Eight kinds of rows have no use for sixty-four latents.
    const rows = normals(64 * dIn, 3, 0.05).map((noise, i) => noise + (i % dIn === (i >> 3) % dIn ? 2 : 0));
    const lastOf = (more: Partial<LocalTrainerOptions>): StepReport => {
      const trainer = new LocalTrainer({
        model: sparseModel({ dIn, latents: 64, k: 1 }),
        batchRows: 64,
        totalSteps: 50,
        deadWindow: 640,
        seed: 0,
        ...more,
      });
      return Array.from({ length: 50 }, () => trainer.step(rows)).at(-1)!;
    };
    const auxK = { coefficient: 1 / 32, k: 4, mode: "variance", totalVariance: dIn } as const;
    const without = lastOf({});
    expect(without.dead).toBeGreaterThan(0);
    expect(without.loss).toBe(without.mse);
    const beside = lastOf({ auxK });
    expect(beside.dead).toBeGreaterThan(0);
    expect(beside.loss).toBeGreaterThan(1.001 * beside.mse);
    expect(() => lastOf({ auxK: { ...auxK, k: 65 } })).toThrow(
      "auxK.k must be at most the number of latents (64), got 65",
    );
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

describe("LocalTrainer's transcoders", () => {
  const D_OUT = 5;
  const model = sparseModel({ dIn: D, dOut: D_OUT, latents: 48, k: 3, applyBDecToInput: false });
  /** A linear map of the rows, about a mean of its own. */
  const targetsOf = (rows: Float32Array): Float32Array => {
    const map = normals(D * D_OUT, 8);
    return Float32Array.from({ length: (rows.length / D) * D_OUT }, (_, at) => {
      const [row, j] = [Math.floor(at / D_OUT), at % D_OUT];
      let sum = 3;
      for (let i = 0; i < D; i++) sum += (rows[row * D + i]! * map[i * D_OUT + j]!) / 4;
      return sum;
    });
  };
  const start = toyRows(9999);
  const options = { ...OPTIONS, model, initialRows: start, initialTargets: targetsOf(start) };

  it.each([false, true])("learn to rebuild the targets from the rows, with skip %s", (skip) => {
    const trainer = new LocalTrainer({ ...options, model: { ...model, skip } });
    const steps = Array.from({ length: STEPS }, (_, step) => {
      const rows = toyRows(step);
      return trainer.step(rows, targetsOf(rows)).mse;
    });
    expect(steps.at(-1)).toBeLessThan(0.3 * steps[0]!);
    const rows = toyRows(STEPS);
    const rebuilt = trainer.model().reconstruct(rows);
    const targets = targetsOf(rows);
    const error = targets.reduce((sum, value, i) => sum + (value - rebuilt[i]!) ** 2, 0) / BATCH_ROWS;
    expect(trainer.step(rows, targets).mse).toBeCloseTo(error, 4);
  });

  it("begin with pre-activations of mean 0 and b_dec at the targets' median", () => {
    const { arena } = new LocalTrainer(options);
    if (arena.kind !== "sparse") throw new Error("not a sparse model");
    for (let latent = 0; latent < 48; latent++) {
      let sum = (start.length / D) * arena.b_enc.value[latent]!;
      for (let i = 0; i < start.length; i++) sum += start[i]! * arena.W_enc.value[latent * D + (i % D)]!;
      expect(Math.abs(sum / (start.length / D))).toBeLessThan(1e-4);
    }
    expect([...arena.b_dec.value]).toEqual([
      ...Float32Array.from(geometricMedian(options.initialTargets, D_OUT)),
    ]);
  });

  it("want targets for each row, and other models none", () => {
    const trainer = new LocalTrainer(options);
    const rows = toyRows(0);
    expect(() => trainer.step(rows)).toThrow("targets must be 64 rows of 5 values, got 0 values");
    expect(() => new LocalTrainer(OPTIONS).step(rows, rows)).toThrow("targets are for a transcoder");
    const { initialTargets: _, ...without } = options;
    expect(() => new LocalTrainer(without)).toThrow("initialTargets must have 320 values");
  });
});

describe("LocalTrainer's start", () => {
  const relu = { ...topk, architecture: "relu", decoder: "free", k: 0 } as const;

  it("takes b_dec, the decoder's entries and norms, and the encoder as it is asked", () => {
    const begin = {
      decoderBias: "mean",
      decoderRows: "random",
      decoderNorm: 0.5,
      encoder: "scaled",
    } as const;
    const { arena } = new LocalTrainer({ ...OPTIONS, model: relu, start: begin });
    if (arena.kind !== "sparse") throw new Error("not a sparse model");
    const rows = OPTIONS.initialRows!;
    const mean = rows.reduce((sum, value, i) => (i % D === 2 ? sum + value : sum), 0) / BATCH_ROWS;
    expect(arena.b_dec.value[2]).toBeCloseTo(mean, 5);
    for (const norm of arena.decoderNorm) expect(norm).toBeCloseTo(0.5, 5);
    expect(arena.W_enc.value[7]).toBeCloseTo((arena.W_dec.value[7]! * D) / 48, 6);
    const zero = new LocalTrainer({ ...OPTIONS, start: { decoderBias: "zero" } });
    expect(zero.arena.kind === "sparse" && [...zero.arena.b_dec.value]).toEqual(Array(D).fill(0));
  });

  it("makes each latent active on the share of rows that is asked for", () => {
    // No two rows alike: equal ones are active together.
    const initialRows = normals(BATCH_ROWS * D, 12);
    const trainer = new LocalTrainer({ ...OPTIONS, model: relu, initialRows, start: { activeShare: 0.125 } });
    expect(trainer.step(initialRows).l0).toBeCloseTo(48 * 0.125, 5);
  });

  it.each<[Partial<LocalTrainerOptions>, string]>([
    [{ start: { activeShare: 0.1 } }, "start.activeShare is for architectures without k, not for topk"],
    [{ start: { decoderNorm: 2 } }, "start.decoderNorm is for a free decoder"],
    [{ model: deep, start: { decoderBias: "zero" } }, "start is for sparse models"],
    [{ initialTargets: toyRows(1) }, "initialTargets is for a transcoder"],
  ])("refuses %o", (part, message) => {
    expect(() => new LocalTrainer({ ...OPTIONS, ...part })).toThrow(message);
  });

  it("needs rows for what is taken from rows", () => {
    const { initialRows: _, ...without } = OPTIONS;
    const begun = () => new LocalTrainer({ ...without, start: { decoderBias: "mean" } });
    expect(begun).toThrow("start.decoderBias needs initialRows");
  });
});
