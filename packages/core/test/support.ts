/** What the tests of core share: small setups, seeded numbers, arenas, and bits to compare. */
import {
  allocateMemory,
  type Arena,
  BATCH,
  initialise,
  inputDimension,
  type ModelSetup,
  openArena,
  outputDimension,
  parametersOf,
  planRun,
  type PlanOptions,
  type Setup,
  type SparseArena,
  type SparseModelSetup,
  type TrainingSetup,
} from "../src/index.ts";
import { gaussian, PURPOSE } from "../src/random.ts";

/** A TopK autoencoder of 7 dimensions and 19 latents, k = 4, changed by `part`. */
export function sparseModel(part: Partial<SparseModelSetup> = {}): SparseModelSetup {
  return {
    kind: "sparse",
    architecture: "topk",
    dIn: 7,
    latents: 19,
    k: 4,
    decoder: "unit",
    applyBDecToInput: true,
    ...part,
  };
}

/** A setup with constant schedules, changed by `part`. */
export function setupOf(model: ModelSetup, part: Partial<TrainingSetup> = {}): Setup {
  const constant = (peak: number) => ({ peak, warmupSteps: 0, decaySteps: 0, totalSteps: 1000 });
  return {
    model,
    training: {
      batchRows: 16,
      learningRate: constant(0.01),
      l1Coefficient: constant(0.3),
      adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
      deadWindow: 1000,
      ...part,
    },
  };
}

/** `count` standard normal numbers as float32, times `scale`. */
export function normals(count: number, seed: number, scale = 1): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => scale * gaussian(seed, PURPOSE.synthetic, 0, i));
}

/** An initialised arena of one slot whose every parameter is random, so that nothing is zero by luck. */
export function randomArena(
  setup: Setup,
  seed: number,
  options: Partial<Omit<PlanOptions, "setup">> = {},
): Arena {
  const plan = planRun({ setup, workers: 1, slots: 1, ...options });
  const arena = openArena(plan, allocateMemory(plan, { shared: false }).buffer);
  const dOut = setup.model.kind === "sparse" ? outputDimension(setup.model) : inputDimension(setup.model);
  initialise(arena, { seed, decoderBias: normals(dOut, seed + 1, 0.2) });
  for (const { name, value } of parametersOf(arena)) {
    if (name === "b_enc" || name.endsWith("bias")) value.set(normals(value.length, seed + 2, 0.2));
    if (name === "W_enc") for (let i = 0; i < value.length; i++) value[i] += 0.1 * Math.fround(Math.sin(i));
  }
  return arena;
}

/** {@link randomArena} of a sparse model. */
export function randomSparseArena(...args: Parameters<typeof randomArena>): SparseArena {
  const arena = randomArena(...args);
  if (arena.kind !== "sparse") throw new Error("not a sparse model");
  return arena;
}

/** Puts rows into slot 0 as the mini-batch of `step`. */
export function setBatch(arena: Arena, rows: ArrayLike<number>, step: number, train = true): void {
  const count = rows.length / inputDimension(arena.model);
  arena.slots[0]!.set(rows);
  arena.batches[BATCH.step] = step;
  arena.batches[BATCH.rows] = count;
  arena.batches[BATCH.examplesBefore] = step * count;
  arena.batches[BATCH.train] = train ? 1 : 0;
}

/** The bits of some numbers, so that 0 and −0, or two NaNs, compare as what they are. */
export function bits(data: Float32Array | Float64Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");
}

/** The bits of all parameters and moments, the latents' counters and the step's summary, by name. */
export function runBits(arena: Arena): Record<string, string> {
  const all: Record<string, string> = { summaries: bits(arena.summaries) };
  for (const { name, value, m, v } of parametersOf(arena)) {
    all[name] = bits(value);
    all[`${name}.m`] = bits(m);
    all[`${name}.v`] = bits(v);
  }
  if (arena.kind === "sparse") {
    all["lastFired"] = bits(arena.lastFired);
    all["fireCount"] = bits(arena.fireCount);
  }
  return all;
}
