/** Seeded problems: a memory with a mini-batch of random rows, kernels over it, and the step's constants. */
import {
  allocateMemory,
  type Arena,
  BATCH,
  chooseEncoder,
  constantSchedule,
  DEFAULT_ADAM,
  type DeepArena,
  type Encoder,
  initialise,
  inputDimension,
  type Kernels,
  type ModelSetup,
  openArena,
  planRun,
  type SparseArena,
  type SparseModelSetup,
  type StepContext,
  type WasmMemory,
} from "@sparseloom/core";
import { fillNormal, randomSource } from "./random.ts";
import { deepWidths, type Shape } from "./shapes.ts";
import { Stopwatch } from "./stopwatch.ts";
import { kernelNameOf, kernelsOf, rowsOf, type Variant } from "./variants.ts";

/** Of everything random. */
export const SEED = 20_261_123;
/** So low that steps do not change how many latents are active: at 1e-4, ReLU rows with 2 % had 3 % a step later and 8 % after six. */
const LEARNING_RATE = 1e-7;
const L1_COEFFICIENT = 1;
/** More than any benchmark takes. */
const TOTAL_STEPS = 1_000_000;

/** A memory ready for a step, and what computes on it. */
export interface Problem<A extends Arena = Arena> {
  readonly arena: A;
  readonly memory: WasmMemory;
  readonly kernels: Kernels;
  /**
   * Keeps the time of "encode", and within it "encode/product" (float32, packing included) and "encode/screening" (integers,
   * quantising included).
   */
  readonly stopwatch: Stopwatch;
  /** Rows of the mini-batch. */
  readonly rows: number;
}

/** A sparse autoencoder's setup at a shape. */
function sparseSetup(shape: Shape, architecture: "topk" | "relu"): SparseModelSetup {
  const { dIn, latents } = shape;
  const free = architecture === "relu";
  const k = free ? 0 : shape.k;
  const decoder = free ? "free" : "unit";
  return { kind: "sparse", architecture, dIn, latents, k, decoder, applyBDecToInput: true };
}

/** Memory, initial parameters and a mini-batch of `rows` rows in slot 0, for one thread. */
function openProblem(
  variant: Variant,
  rows: number,
  model: ModelSetup,
  request: "auto" | Encoder = "exact",
): Problem {
  const training = {
    batchRows: rows,
    learningRate: constantSchedule(LEARNING_RATE, TOTAL_STEPS),
    // A deep model would be penalised, too: the peers do not.
    l1Coefficient: constantSchedule(model.kind === "deep" ? 0 : L1_COEFFICIENT, TOTAL_STEPS),
    adam: DEFAULT_ADAM,
    deadWindow: 10_000_000,
  };
  const encoder = chooseEncoder(request, model, kernelNameOf(variant));
  const plan = planRun({ setup: { model, training }, workers: 1, slots: 1, encoder });
  const memory = allocateMemory(plan, { shared: true });
  const arena = openArena(plan, memory.buffer);
  const slot = arena.slots[0]!;
  fillNormal(slot, randomSource(SEED));
  initialise(arena, { seed: SEED, decoderRows: slot.slice(0, inputDimension(model) * rows) });
  arena.batches[BATCH.rows] = rows;
  arena.batches[BATCH.train] = 1;
  const stopwatch = new Stopwatch();
  const kernels = kernelsOf(variant, arena, memory, (functions) => ({
    ...functions,
    packRows: stopwatch.time("product", (...values: Parameters<typeof functions.packRows>) =>
      functions.packRows(...values),
    ),
    product: stopwatch.time("product", (...values: Parameters<typeof functions.product>) =>
      functions.product(...values),
    ),
    quantiseRows: stopwatch.time("screening", (...values: Parameters<typeof functions.quantiseRows>) =>
      functions.quantiseRows(...values),
    ),
    screen: stopwatch.time("screening", (...values: Parameters<typeof functions.screen>) =>
      functions.screen(...values),
    ),
  }));
  const { sparse } = kernels;
  const timed = {
    ...sparse,
    encodeRows: stopwatch.time("encode", (...values: Parameters<typeof sparse.encodeRows>) =>
      sparse.encodeRows(...values),
    ),
  };
  return { arena, memory, kernels: { ...kernels, sparse: timed }, stopwatch, rows };
}

/** {@link openProblem} of a sparse autoencoder. `encoder` as in core's chooseEncoder. */
export function openSparse(
  variant: Variant,
  shape: Shape,
  architecture: "topk" | "relu",
  encoder: "auto" | Encoder,
): Problem<SparseArena> {
  const problem = openProblem(variant, rowsOf(variant, shape), sparseSetup(shape, architecture), encoder);
  const { arena } = problem;
  if (arena.kind !== "sparse") throw new Error("internal: not a sparse arena");
  return { ...problem, arena };
}

/** {@link openProblem} of the deep autoencoder. */
export function openDeep(variant: Variant, shape: Shape): Problem<DeepArena> {
  const widths = deepWidths(shape);
  const model = { kind: "deep", architecture: "autoencoder", widths, outputActivation: "linear" } as const;
  const problem = openProblem(variant, rowsOf(variant, shape), model);
  const { arena } = problem;
  if (arena.kind !== "deep") throw new Error("internal: not a deep arena");
  return { ...problem, arena };
}

/** The constants of a training step as kernels get them, for calling kernels one by one. */
export function stepContext(arena: Arena, rows: number): StepContext {
  const { beta1, beta2, epsilon } = DEFAULT_ADAM;
  const penalised = arena.kind === "sparse" && arena.model.architecture === "relu";
  return {
    rank: 0,
    slot: 0,
    rows,
    step: 0,
    train: true,
    byThreshold: false,
    screened: false,
    k: arena.kind === "sparse" ? arena.model.k : 0,
    selected: arena.kind === "sparse" ? arena.model.k : 0,
    p: 1,
    nextP: 0,
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
    update: {
      learningRate: LEARNING_RATE,
      rate: LEARNING_RATE,
      momentum: 0,
      momentumRest: 0,
      average: 0,
      averageRest: 0,
      decay: 1,
    },
  };
}

/** Rows whose pre-activations decide where a density's threshold lies. */
const CALIBRATION_ROWS = 32;

/**
 * Moves `b_enc` so that the given share of all latents is active in a row of the mini-batch, as training with the
 * penalty would in time. To be called on a fresh problem.
 */
export function setDensity({ arena, kernels, rows }: Problem<SparseArena>, density: number): void {
  const { latents } = arena.model;
  const block = Math.min(CALIBRATION_ROWS, rows);
  kernels.sparse.encodeRows(arena, stepContext(arena, rows), 0, block);
  // Of one panel of 8 rows, or of the only row there is; the order within does not matter.
  const z = arena.preActivations.slice(0, latents * Math.min(8, block)).toSorted();
  const threshold = z[Math.floor((1 - density) * z.length)]!;
  for (let latent = 0; latent < latents; latent++) arena.b_enc.value[latent]! -= threshold;
  arena.control.fill(0);
}
