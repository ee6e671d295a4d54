/** Seeded problems: an arena with a mini-batch of random rows, and the step's constants. */
import {
  allocateMemory,
  type Arena,
  BATCH,
  DEFAULT_ADAM,
  type DeepArena,
  initialise,
  inputDimension,
  type ModelSetup,
  openArena,
  planRun,
  type SparseArena,
  type SparseModelSetup,
  type StepContext,
} from "@sparseloom/core";
import { deepWidths, type Shape } from "./shapes.ts";

const SEED = 20_261_123;
const LEARNING_RATE = 1e-4;
const L1_COEFFICIENT = 1;

/** A generator of uniform numbers in [0, 1) (mulberry32). Rows need not be good random numbers, only the same ones. */
function randomSource(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Fills `values` with numbers of mean 0 and variance 1 (sums of twelve uniform ones). */
function fillNormal(values: Float32Array | Float64Array, random: () => number): void {
  for (let i = 0; i < values.length; i++) {
    let sum = -6;
    for (let part = 0; part < 12; part++) sum += random();
    values[i] = sum;
  }
}

/** A sparse autoencoder's setup at a shape. */
export function sparseSetup(shape: Shape, architecture: "topk" | "relu"): SparseModelSetup {
  const { dIn, latents } = shape;
  const free = architecture === "relu";
  const k = free ? 0 : shape.k;
  const decoder = free ? "free" : "unit";
  return { kind: "sparse", architecture, dIn, latents, k, decoder, applyBDecToInput: true };
}

/** Memory, initial parameters and a mini-batch of `shape.rows` rows in slot 0, for one thread. */
export function openProblem(shape: Shape, model: ModelSetup): Arena {
  const constant = (peak: number) => ({ peak, warmupSteps: 0, decaySteps: 0, totalSteps: 1_000_000 });
  const training = {
    batchRows: shape.rows,
    learningRate: constant(LEARNING_RATE),
    l1Coefficient: constant(L1_COEFFICIENT),
    adam: DEFAULT_ADAM,
    deadWindow: 10_000_000,
  };
  const plan = planRun({ setup: { model, training }, workers: 1, slots: 1 });
  const arena = openArena(plan, allocateMemory(plan, { shared: false }).buffer);
  const rows = arena.slots[0]!;
  fillNormal(rows, randomSource(SEED));
  initialise(arena, { seed: SEED, decoderRows: rows.slice(0, inputDimension(model) * shape.rows) });
  arena.batches[BATCH.rows] = shape.rows;
  arena.batches[BATCH.train] = 1;
  return arena;
}

/** {@link openProblem} of a sparse autoencoder. */
export function openSparse(shape: Shape, architecture: "topk" | "relu"): SparseArena {
  const arena = openProblem(shape, sparseSetup(shape, architecture));
  if (arena.kind !== "sparse") throw new Error("internal: not a sparse arena");
  return arena;
}

/** {@link openProblem} of the deep autoencoder. */
export function openDeep(shape: Shape): DeepArena {
  const widths = deepWidths(shape);
  const arena = openProblem(shape, {
    kind: "deep",
    architecture: "autoencoder",
    widths,
    outputActivation: "linear",
  });
  if (arena.kind !== "deep") throw new Error("internal: not a deep arena");
  return arena;
}

/** The constants of a training step as kernels get them, for calling kernels one by one. */
export function stepContext(arena: Arena, rows: number): StepContext {
  const { beta1, beta2, epsilon } = DEFAULT_ADAM;
  const penalised = arena.kind === "sparse" && arena.model.architecture === "relu";
  return {
    rank: 0,
    slot: 0,
    rows,
    train: true,
    gradientScale: Math.fround(2 / rows),
    penaltyScale: penalised ? Math.fround(L1_COEFFICIENT / rows) : 0,
    examplesAfter: rows,
    adam: {
      beta1: Math.fround(beta1),
      complement1: Math.fround(1 - beta1),
      beta2: Math.fround(beta2),
      complement2: Math.fround(1 - beta2),
      epsilon: Math.fround(epsilon),
      stepSize: Math.fround(LEARNING_RATE),
      inverseRootCorrection2: 1,
    },
  };
}
