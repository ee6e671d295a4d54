/**
 * Gradients against central differences, in float64, for every loss; and float32 against float64. The losses here
 * are written anew, densely and without any of the product's code, so that they can disagree with it.
 */
import { describe, expect, it } from "vitest";
import {
  allocateMemory,
  type Arena,
  type AuxKSetup,
  BATCH,
  createProgram,
  type DeepModelSetup,
  initialise,
  type ModelSetup,
  openArena,
  parametersOf,
  planRun,
  type Precision,
  referenceKernels,
  refreshDerived,
  type SparseArena,
  type SparseModelSetup,
  type StepContext,
  type TrainingSetup,
} from "../src/index.ts";
import { LATENT_BLOCK, ROW_BLOCK } from "../src/block-sizes.ts";
import { annealedK } from "../src/selection.ts";
import { gaussian, PURPOSE } from "../src/random.ts";

const ROWS = ROW_BLOCK + 5;
const LAMBDA = 0.3;

function normals(count: number, seed: number, scale = 1): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => scale * gaussian(seed, PURPOSE.synthetic, 0, i));
}

function setupOf(model: ModelSetup, auxK: AuxKSetup | undefined, learningRate = 0) {
  const constant = (peak: number) => ({ peak, warmupSteps: 0, decaySteps: 0, totalSteps: 10 });
  return {
    model,
    training: {
      batchRows: ROWS,
      learningRate: constant(learningRate),
      l1Coefficient: constant(LAMBDA),
      adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
      deadWindow: 1000,
      ...(auxK === undefined ? {} : { auxK }),
    },
  };
}

/** An arena with random parameters, biases included, and a mini-batch in its slot; float32 numbers in both precisions. */
function prepare(
  model: ModelSetup,
  precision: Precision,
  recordBytes?: number,
  auxK?: AuxKSetup,
  training: Partial<TrainingSetup> = {},
): Arena {
  const plain = setupOf(model, auxK);
  const setup = { ...plain, training: { ...plain.training, ...training } };
  const plan = planRun({
    setup,
    workers: 1,
    slots: 1,
    precision,
    storeGradients: true,
    ...(recordBytes === undefined ? {} : { recordBytes }),
  });
  const arena = openArena(plan, allocateMemory(plan, { shared: false }).buffer);
  const dIn = model.kind === "sparse" ? model.dIn : (model.widths[0] as number);
  const dOut = model.kind === "sparse" ? (model.dOut ?? dIn) : dIn;
  initialise(arena, { seed: 1, decoderBias: Float32Array.from(normals(dOut, 2, 0.2)) });
  parametersOf(arena).forEach((parameter, index) => {
    if (parameter.name === "r_mag" || parameter.name === "b_mag")
      parameter.value.set(Float32Array.from(normals(parameter.value.length, 20 + index, 0.5)));
    if (parameter.name === "W_skip")
      parameter.value.set(Float32Array.from(normals(parameter.value.length, 20, 0.3)));
    if (parameter.name === "W_enc" || parameter.name.endsWith("bias") || parameter.name === "b_enc") {
      parameter.value.set(Float32Array.from(normals(parameter.value.length, 10 + index, 0.4)));
    }
    if (parameter.name.endsWith("bias"))
      for (let i = 0; i < parameter.value.length; i++) parameter.value[i] = 0.3 + 0.2 * parameter.value[i];
  });
  if (arena.kind === "sparse" && arena.model.decoder === "free") {
    arena.W_dec.value.set(Float32Array.from(normals(arena.W_dec.value.length, 5, 0.5)));
    for (let i = 0; i < arena.model.latents; i++)
      arena.decoderNorm[i] = decoderNorm(Float64Array.from(arena.W_dec.value), i, arena.model);
  }
  refreshDerived(arena);
  const slot = arena.slots[0] as Float64Array;
  slot.set(Float32Array.from(normals(slot.length, 3)));
  if (arena.kind === "sparse" && auxK !== undefined) {
    // Every other latent is dead; some of them are active in this very mini-batch.
    arena.lastFired.forEach((_, i) => {
      if (i % 2 === 0) arena.lastFired[i] = -1000;
    });
  }
  arena.batches[BATCH.rows] = ROWS;
  arena.batches[BATCH.train] = 1;
  return arena;
}

/** Runs the step's stages up to, but without, the first one called `until`. */
function runUntil(arena: Arena, until: string): void {
  const program = createProgram(arena, referenceKernels(arena.plan.precision), 0);
  program.begin(0);
  for (let stage = program.next(); stage !== undefined && stage.name !== until; stage = program.next()) {
    for (let block = 0; block < stage.blocks; block++) stage.run(block);
    stage.finish();
  }
}

type Tensors = Record<string, Float64Array>;

function copyOf(arena: Arena): Tensors {
  return Object.fromEntries(parametersOf(arena).map(({ name, value }) => [name, Float64Array.from(value)]));
}

/** Which latents are active in each row at the unperturbed point: no perturbation may change it. */
function activeSets(z: number[][], model: SparseModelSetup): boolean[][] {
  if (model.architecture !== "batch-topk" && model.architecture !== "matryoshka")
    return z.map((row) => activeSet(row, model));
  const all = z.flat();
  const order = Uint32Array.from(all.keys()).sort((a, b) => all[b]! - all[a]! || a - b);
  const top = new Set(order.subarray(0, model.k * z.length));
  return z.map((row, r) => row.map((value, i) => value > 0 && top.has(r * row.length + i)));
}

function activeSet(z: number[], model: SparseModelSetup): boolean[] {
  if (model.architecture === "relu") return z.map((value) => value > 0);
  const order = z.map((value, i) => ({ value, i })).sort((a, b) => b.value - a.value || a.i - b.i);
  const top = new Set(order.slice(0, model.k).map(({ i }) => i));
  return z.map((value, i) => top.has(i) && value > 0);
}

/** z of all rows, without any of the product's code. */
function preActivationsOf(p: Tensors, x: Float64Array, model: SparseModelSetup): number[][] {
  const { dIn: d, latents } = model;
  return Array.from({ length: ROWS }, (_row, r) =>
    Array.from({ length: latents }, (_, i) => {
      let sum = p["b_enc"]![i];
      for (let j = 0; j < d; j++)
        sum += p["W_enc"]![i * d + j] * (x[r * d + j] - (model.applyBDecToInput ? p["b_dec"]![j] : 0));
      return sum;
    }),
  );
}

/**
 * What is to be rebuilt of a mini-batch [ROWS, dIn]: itself, or of a transcoder what follows it [ROWS, dOut], without what
 * skips the latents.
 */
function targetOf(p: Tensors, x: Float64Array, { dIn, dOut }: SparseModelSetup): Float64Array {
  if (dOut === undefined) return x;
  const W_skip = p["W_skip"];
  return x.slice(ROWS * dIn).map((y, at) => {
    const [row, unit] = [Math.floor(at / dOut), at % dOut];
    let rest = y;
    if (W_skip !== undefined) for (let j = 0; j < dIn; j++) rest -= W_skip[unit * dIn + j] * x[row * dIn + j];
    return rest;
  });
}

/** ‖W_dec,i‖, or its sum over the columns of a crosscoder. */
function decoderNorm(
  W_dec: Float64Array,
  i: number,
  { dIn, dOut = dIn, columns = [dOut] }: SparseModelSetup,
): number {
  let at = i * dOut;
  return columns.reduce((sum, width) => sum + Math.hypot(...W_dec.subarray(at, (at += width))), 0);
}

function sparseLoss(
  p: Tensors,
  x: Float64Array,
  model: SparseModelSetup,
  penaltyOf = (weighted: readonly number[]) => weighted.reduce((sum, f) => sum + f, 0),
): { loss: number; active: string } {
  const { latents, decoder, dOut: d = model.dIn } = model;
  const target = targetOf(p, x, model);
  let loss = 0;
  let active = "";
  const all = preActivationsOf(p, x, model);
  const sets = activeSets(all, model);
  for (let r = 0; r < ROWS; r++) {
    const row = Array.from({ length: d }, (_, j) => target[r * d + j]);
    const z = all[r]!;
    const on = sets[r]!;
    active += on.map(Number).join("");
    const prefixes = model.prefixes ?? [latents];
    for (const width of prefixes) {
      for (let j = 0; j < d; j++) {
        let y = p["b_dec"]![j];
        for (let i = 0; i < width; i++) if (on[i]) y += z[i]! * p["W_dec"]![i * d + j];
        loss += (y - row[j]!) ** 2 / prefixes.length;
      }
    }
    if (model.architecture !== "relu") continue;
    const weighted = z.flatMap((value, i) => {
      const norm = decoder === "free" ? decoderNorm(p["W_dec"]!, i, model) : 1;
      return on[i] ? [value * norm] : [];
    });
    loss += LAMBDA * penaltyOf(weighted);
  }
  return { loss: loss / ROWS, active };
}

/** Gated's loss; `at`: where the frozen decoder of the gate's reconstruction is taken from. */
function gatedLoss(
  p: Tensors,
  at: Tensors,
  x: Float64Array,
  model: SparseModelSetup,
): { loss: number; active: string } {
  const { dOut: d = model.dIn } = model;
  const target = targetOf(p, x, model);
  // What skips the latents is frozen for the gate, as the decoder is.
  const frozen = targetOf(at, x, model);
  const z = preActivationsOf(p, x, model);
  let loss = 0;
  let active = "";
  for (let r = 0; r < ROWS; r++) {
    const gates = z[r]!.map((gate) => Math.max(0, gate));
    const f = gates.map((gate, i) => {
      const m = Math.exp(p["r_mag"]![i]) * (z[r]![i]! - p["b_enc"]![i]) + p["b_mag"]![i];
      active += gate > 0 ? (m > 0 ? "2" : "1") : "0";
      return gate > 0 ? Math.max(0, m) : 0;
    });
    for (let j = 0; j < d; j++) {
      const rebuilt = f.reduce((y, value, i) => y + value * p["W_dec"]![i * d + j], p["b_dec"]![j]);
      const byGate = gates.reduce((y, gate, i) => y + gate * at["W_dec"]![i * d + j], at["b_dec"]![j]);
      loss += (rebuilt - target[r * d + j]) ** 2 + (byGate - frozen[r * d + j]) ** 2;
    }
    for (const gate of gates) loss += LAMBDA * gate;
  }
  return { loss: loss / ROWS, active };
}

/**
 * JumpReLU's loss in which each step function is replaced by the line that the straight-through definition says it has at
 * the unperturbed point: its derivatives are the straight-through gradients, so differences of it must give them.
 */
function straightThroughLoss(p: Tensors, at: Tensors, x: Float64Array, model: SparseModelSetup): number {
  const { latents, dOut: d = model.dIn } = model;
  const target = targetOf(p, x, model);
  const { bandwidth, penalty, tanhScale, targetL0, gradientToInput } = model.jump!;
  const z = preActivationsOf(p, x, model);
  const z0 = preActivationsOf(at, x, model);
  let loss = 0;
  for (let r = 0; r < ROWS; r++) {
    let l0 = 0;
    let tanh = 0;
    const f = Array.from({ length: latents }, (_, i) => {
      const [theta, theta0] = [p["threshold"]![i], at["threshold"]![i]];
      const u = z0[r]![i]! - theta0;
      const on = u > 0 ? 1 : 0;
      const window = Math.abs(u) < bandwidth / 2 ? 1 / bandwidth : 0;
      const moved = theta0 - theta + (gradientToInput ? z[r]![i]! - z0[r]![i]! : 0);
      l0 += on + window * moved;
      const value = on * z[r]![i]! + theta0 * window * moved;
      tanh += Math.tanh(tanhScale * value);
      return value;
    });
    for (let j = 0; j < d; j++) {
      let y = p["b_dec"]![j];
      for (let i = 0; i < latents; i++) y += f[i]! * p["W_dec"]![i * d + j];
      loss += (y - target[r * d + j]) ** 2;
    }
    const quadratic = (2 / targetL0) * (l0 - targetL0) ** 2;
    loss += LAMBDA * { step: l0, tanh, quadratic }[penalty];
  }
  return loss / ROWS;
}

function deepLoss(
  p: Tensors,
  x: Float64Array,
  { widths, outputActivation: output, tied }: DeepModelSetup,
): { loss: number; active: string } {
  let loss = 0;
  let active = "";
  const layers = widths.length - 1;
  // The code: the narrowest layer between the first and the last.
  let code = 1;
  for (let layer = 1; layer < layers; layer++) if (widths[layer]! < widths[code]!) code = layer;
  const weight = (layer: number, o: number, i: number): number =>
    tied === true && layer >= layers / 2
      ? p[`layers.${layers - 1 - layer}.weight`]![i * widths[layer + 1]! + o]!
      : p[`layers.${layer}.weight`]![o * widths[layer]! + i]!;
  for (let r = 0; r < ROWS; r++) {
    const d = widths[0]!;
    let a = Array.from(x.subarray(r * d, (r + 1) * d));
    for (let layer = 0; layer < layers; layer++) {
      const inputs = widths[layer]!;
      a = Array.from({ length: widths[layer + 1]! }, (_, o) => {
        let z = p[`layers.${layer}.bias`]![o]!;
        for (let i = 0; i < inputs; i++) z += weight(layer, o, i) * a[i]!;
        if (layer + 1 === layers && output === "linear") return z;
        active += z > 0 ? "1" : "0";
        return Math.max(0, z);
      });
      if (layer + 1 === code) loss += LAMBDA * a.reduce((sum, value) => sum + value, 0);
    }
    for (let j = 0; j < d; j++) loss += (a[j]! - x[r * d + j]) ** 2;
  }
  return { loss: loss / ROWS, active };
}

/** ‖a − b‖ / ‖b‖. */
function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** Central differences of `loss` for tensor `name`, failing when a perturbation changes the active set. */
function centralDifferences(
  p: Tensors,
  name: string,
  loss: (p: Tensors) => { loss: number; active: string },
): Float64Array {
  const tensor = p[name]!;
  const before = loss(p).active;
  const step = 1e-6;
  return tensor.map((_, i) => {
    const value = tensor[i];
    tensor[i] = value + step;
    const up = loss(p);
    tensor[i] = value - step;
    const down = loss(p);
    tensor[i] = value;
    expect([up.active, down.active]).toEqual([before, before]);
    return (up.loss - down.loss) / (2 * step);
  });
}

const sparse = (part: Partial<SparseModelSetup>): SparseModelSetup => ({
  kind: "sparse",
  architecture: "topk",
  dIn: 7,
  latents: 19,
  k: 4,
  decoder: "unit",
  applyBDecToInput: true,
  ...part,
});

const SPARSE_CASES: [string, SparseModelSetup][] = [
  ["TopK", sparse({})],
  ["TopK whose encoder does not subtract b_dec", sparse({ applyBDecToInput: false })],
  ["BatchTopK", sparse({ architecture: "batch-topk" })],
  ["BatchTopK with more places than positive values", sparse({ architecture: "batch-topk", k: 17 })],
  [
    "Matryoshka BatchTopK, whose prefixes end within blocks and at their edges",
    sparse({ architecture: "matryoshka", latents: 60, k: 5, prefixes: [1, 7, 48, 60] }),
  ],
  [
    "Matryoshka BatchTopK whose encoder does not subtract b_dec",
    sparse({ architecture: "matryoshka", prefixes: [9, 19], applyBDecToInput: false }),
  ],
  ["ReLU with plain L1 and unit decoder", sparse({ architecture: "relu", decoder: "unit" })],
  [
    "ReLU with L1 weighted by decoder norms and free decoder",
    sparse({ architecture: "relu", decoder: "free" }),
  ],
  [
    "a crosscoder's ReLU with L1 weighted by the sum of its columns' norms",
    sparse({ architecture: "relu", decoder: "free", columns: [2, 4, 1] }),
  ],
];
const jumpCase = (
  penalty: "step" | "tanh" | "quadratic",
  gradientToInput: boolean,
): [string, SparseModelSetup] => [
  `${penalty}, ${gradientToInput ? "with" : "without"} gradient to the input`,
  sparse({
    architecture: "jumprelu",
    k: 0,
    jump: { bandwidth: 0.7, initialThreshold: 0.3, penalty, tanhScale: 2, targetL0: 3, gradientToInput },
  }),
];
const JUMP_CASES = (["step", "tanh", "quadratic"] as const).flatMap((penalty) => [
  jumpCase(penalty, false),
  jumpCase(penalty, true),
]);

const GATED = sparse({ architecture: "gated", k: 0 });
const GATED_CASES: [string, SparseModelSetup][] = [
  ["Gated", GATED],
  ["Gated whose encoder does not subtract b_dec", { ...GATED, applyBDecToInput: false }],
  ["Gated transcoder", { ...GATED, applyBDecToInput: false, dOut: 5 }],
  ["Gated skip transcoder", { ...GATED, applyBDecToInput: false, dOut: 5, skip: true }],
];

const transcoder = (part: Partial<SparseModelSetup>): SparseModelSetup =>
  sparse({ dOut: 5, applyBDecToInput: false, ...part });
const TRANSCODER_CASES: [string, SparseModelSetup][] = [
  ["TopK transcoder", transcoder({})],
  ["TopK transcoder to more dimensions", transcoder({ dOut: 11 })],
  ["BatchTopK transcoder", transcoder({ architecture: "batch-topk" })],
  ["Matryoshka transcoder", transcoder({ architecture: "matryoshka", prefixes: [1, 9, 19] })],
  ["ReLU transcoder with unit decoder", transcoder({ architecture: "relu", decoder: "unit" })],
  ["ReLU transcoder with free decoder", transcoder({ architecture: "relu", decoder: "free" })],
  ["TopK skip transcoder", transcoder({ skip: true })],
  ["BatchTopK skip transcoder", transcoder({ architecture: "batch-topk", dOut: 9, skip: true })],
  [
    "Matryoshka skip transcoder",
    transcoder({ architecture: "matryoshka", prefixes: [1, 9, 19], skip: true }),
  ],
  ["ReLU skip transcoder", transcoder({ architecture: "relu", decoder: "free", skip: true })],
];
SPARSE_CASES.push(...TRANSCODER_CASES);
JUMP_CASES.push([
  "quadratic, with gradient to the input, of a transcoder",
  { ...jumpCase("quadratic", true)[1], dOut: 5, applyBDecToInput: false },
]);
JUMP_CASES.push([
  "tanh, of a skip transcoder",
  { ...jumpCase("tanh", false)[1], dOut: 5, applyBDecToInput: false, skip: true },
]);

const DEEP_CASES: [string, DeepModelSetup][] = [
  [
    "4-3-2-3-4 with ReLU after each layer",
    { kind: "deep", architecture: "autoencoder", widths: [4, 3, 2, 3, 4], outputActivation: "relu" },
  ],
  [
    "6-9-3-9-6 with linear output",
    { kind: "deep", architecture: "autoencoder", widths: [6, 9, 3, 9, 6], outputActivation: "linear" },
  ],
  [
    "4-3-2-3-4 with tied layers",
    {
      kind: "deep",
      architecture: "autoencoder",
      widths: [4, 3, 2, 3, 4],
      outputActivation: "relu",
      tied: true,
    },
  ],
  [
    "6-9-3-9-6 with tied layers and linear output",
    {
      kind: "deep",
      architecture: "autoencoder",
      widths: [6, 9, 3, 9, 6],
      outputActivation: "linear",
      tied: true,
    },
  ],
];

/** AuxK's and multi-TopK's parts are gathered by the update itself. */
function addFurtherGradients(arena: SparseArena, part: "gatherAuxiliary" | "gatherWide"): void {
  const { sparse } = referenceKernels(arena.plan.precision);
  const step = { rank: 0, slot: 0, rows: ROWS } as StepContext;
  for (let first = 0; first < arena.model.latents; first += LATENT_BLOCK)
    sparse[part](arena, step, first, Math.min(first + LATENT_BLOCK, arena.model.latents));
}

/**
 * The auxiliary term: the k_aux dead latents of largest z rebuild e = x − x̂ without b_dec. `at`: where e, the selection
 * and the denominator are taken from; they are held fixed.
 */
function auxiliaryLoss(
  at: Tensors,
  x: Float64Array,
  model: SparseModelSetup,
  auxK: AuxKSetup,
): (p: Tensors) => number {
  const { latents, dOut: d = model.dIn } = model;
  const target = targetOf(at, x, model);
  const z0 = preActivationsOf(at, x, model);
  const sets = activeSets(z0, model);
  const errors = z0.map((row, r) =>
    Array.from({ length: d }, (_, j) => {
      let y = at["b_dec"]![j];
      for (let i = 0; i < latents; i++) if (sets[r]![i]) y += row[i]! * at["W_dec"]![i * d + j];
      return target[r * d + j] - y;
    }),
  );
  const mean = Array.from({ length: d }, (_, j) => errors.reduce((sum, e) => sum + e[j]!, 0) / ROWS);
  const spread = errors.reduce((sum, e) => sum + e.reduce((s, v, j) => s + (v - mean[j]!) ** 2, 0), 0) / ROWS;
  const dead = Array.from({ length: latents }, (_, i) => i).filter((i) => i % 2 === 0);
  const chosen = z0.map((row) => dead.toSorted((a, b) => row[b]! - row[a]! || a - b).slice(0, auxK.k));
  const factor = auxK.mode === "variance" ? auxK.totalVariance / spread : Math.min(dead.length / auxK.k, 1);
  return (p) => {
    const z = preActivationsOf(p, x, model);
    let sum = 0;
    for (let r = 0; r < ROWS; r++) {
      for (let j = 0; j < d; j++) {
        const rebuilt = chosen[r]!.reduce((y, i) => y + z[r]![i]! * p["W_dec"]![i * d + j], 0);
        sum += (errors[r]![j]! - rebuilt) ** 2;
      }
    }
    return (auxK.coefficient * factor * sum) / ROWS;
  };
}

/** All gradients of one step, before projection and optimiser. */
function gradients(
  model: ModelSetup,
  precision: Precision,
  recordBytes?: number,
  auxK?: AuxKSetup,
  training: Partial<TrainingSetup> = {},
  step = 0,
): { arena: Arena; before: Tensors; gradients: Record<string, Float64Array> } {
  const arena = prepare(model, precision, recordBytes, auxK, training);
  arena.batches[BATCH.step] = step;
  const before = copyOf(arena);
  const lastFired = arena.kind === "sparse" ? arena.lastFired.slice() : undefined;
  runUntil(arena, model.kind === "sparse" ? "update" : "none");
  if (training.multiTopK === true && arena.kind === "sparse") addFurtherGradients(arena, "gatherWide");
  if (auxK !== undefined && arena.kind === "sparse") addFurtherGradients(arena, "gatherAuxiliary");
  const found = Object.fromEntries(
    parametersOf(arena).map(({ name, gradient }) => [name, Float64Array.from(gradient)]),
  );
  if (arena.kind === "sparse") {
    // The penalty's pull on the decoder, and b_dec's gradient, belong to the update; the learning rate is 0.
    if (lastFired !== undefined) arena.lastFired.set(lastFired);
    runUntil(arena, "none");
    if (arena.model.decoder === "free") found["W_dec"] = Float64Array.from(arena.W_dec.gradient);
    found["b_dec"] = Float64Array.from(arena.b_dec.gradient);
    if (arena.model.skip === true) found["W_skip"] = Float64Array.from(arena.W_skip.gradient);
  }
  return { arena, before, gradients: found };
}

describe("gradients in float64 equal central differences to 1e-6", () => {
  it.each(SPARSE_CASES)("%s", (_, model) => {
    const { arena, before, gradients: found } = gradients(model, "float64");
    const x = Float64Array.from(arena.slots[0]!);
    const loss = (p: Tensors) => sparseLoss(p, x, model);
    expect(arena.summaries[0]).toBeCloseTo(loss(before).loss, 10);
    for (const name of ["W_enc", "b_enc", "W_dec", "b_dec", ...("W_skip" in before ? ["W_skip"] : [])]) {
      expect(relativeError(found[name]!, centralDifferences(before, name, loss))).toBeLessThanOrEqual(1e-6);
    }
  });

  it.each([
    ["variance", 4],
    ["same-units", 4],
    ["same-units", 13],
  ] as const)("TopK and BatchTopK with AuxK, %s, k_aux %d, errors held fixed", (mode, k) => {
    const auxK = { coefficient: 0.5, k, mode, totalVariance: 5 };
    for (const architecture of ["topk", "batch-topk", "matryoshka"] as const) {
      for (const shape of [
        { applyBDecToInput: true },
        { applyBDecToInput: false },
        { applyBDecToInput: false, dOut: 5 },
        { applyBDecToInput: false, dOut: 5, skip: true },
      ]) {
        const prefixes = architecture === "matryoshka" ? { prefixes: [5, 19] } : {};
        const model = sparse({ architecture, ...shape, ...prefixes });
        const { arena, before, gradients: found } = gradients(model, "float64", undefined, auxK);
        const x = Float64Array.from(arena.slots[0]!);
        const auxiliary = auxiliaryLoss(copyOf(arena), x, model, auxK);
        const loss = (p: Tensors) => {
          const { loss: squares, active } = sparseLoss(p, x, model);
          return { loss: squares + auxiliary(p), active };
        };
        expect(arena.summaries[0]).toBeCloseTo(loss(before).loss, 10);
        for (const name of ["W_enc", "b_enc", "W_dec", "b_dec", ...("W_skip" in before ? ["W_skip"] : [])])
          expect(relativeError(found[name]!, centralDifferences(before, name, loss)), name).toBeLessThan(
            1e-6,
          );
      }
    }
  });

  it.each([
    ["linear", 0],
    ["exponential", 3],
  ] as const)("TopK, BatchTopK and Matryoshka whose k is annealed, %s, at step %d", (shape, step) => {
    const kAnneal = { steps: 8, shape, from: 7 };
    for (const architecture of ["topk", "batch-topk", "matryoshka"] as const) {
      const prefixes = architecture === "matryoshka" ? { prefixes: [5, 19] } : {};
      const model = sparse({ architecture, k: 2, ...prefixes });
      const {
        arena,
        before,
        gradients: found,
      } = gradients(model, "float64", undefined, undefined, { kAnneal }, step);
      const x = Float64Array.from(arena.slots[0]!);
      const annealed = { ...model, k: annealedK(kAnneal, 2, step) };
      expect(annealed.k).toBeGreaterThan(2);
      const loss = (p: Tensors) => sparseLoss(p, x, annealed);
      expect(arena.summaries[0]).toBeCloseTo(loss(before).loss, 10);
      for (const name of ["W_enc", "b_enc", "W_dec", "b_dec"])
        expect(relativeError(found[name]!, centralDifferences(before, name, loss)), name).toBeLessThan(1e-6);
    }
  });

  it.each([
    ["an autoencoder", sparse({ k: 1 })],
    ["a skip transcoder", transcoder({ k: 1, skip: true })],
  ] as const)("AuxK, multi-TopK and k-annealing at once, of %s", (_, model) => {
    const auxK = { coefficient: 0.5, k: 3, mode: "variance", totalVariance: 5 } as const;
    const kAnneal = { steps: 8, shape: "linear", from: 5 } as const;
    const {
      arena,
      before,
      gradients: found,
    } = gradients(model, "float64", undefined, auxK, { kAnneal, multiTopK: true }, 4);
    const x = Float64Array.from(arena.slots[0]!);
    const narrow = { ...model, k: annealedK(kAnneal, 1, 4) };
    const wide = { ...model, k: 4 * narrow.k };
    expect([narrow.k, wide.k]).toEqual([3, 12]);
    const auxiliary = auxiliaryLoss(copyOf(arena), x, narrow, auxK);
    const loss = (p: Tensors) => {
      const [first, second] = [sparseLoss(p, x, narrow), sparseLoss(p, x, wide)];
      return { loss: first.loss + second.loss / 8 + auxiliary(p), active: first.active + second.active };
    };
    expect(arena.summaries[0]).toBeCloseTo(loss(before).loss, 10);
    for (const name of ["W_enc", "b_enc", "W_dec", "b_dec", ...("W_skip" in before ? ["W_skip"] : [])])
      expect(relativeError(found[name]!, centralDifferences(before, name, loss)), name).toBeLessThan(1e-6);
  });

  it.each(["sum", "root"] as const)("ReLU whose penalty's power is annealed: %s", (norm) => {
    const model = sparse({ architecture: "relu", k: 0, decoder: "unit" });
    const pAnneal = { from: 10, totalSteps: 30, end: 0.5, norm };
    // The seventh update: 1 − 0.7·0.5.
    const power = 0.65;
    const {
      arena,
      before,
      gradients: found,
    } = gradients(model, "float64", undefined, undefined, { pAnneal }, 22);
    const x = Float64Array.from(arena.slots[0]!);
    const penaltyOf = (f: readonly number[]): number => {
      const sum = f.reduce((all, value) => all + value ** power, 0);
      return norm === "sum" ? sum : sum ** (1 / power);
    };
    const loss = (p: Tensors) => sparseLoss(p, x, model, penaltyOf);
    expect(arena.summaries[0]).toBeCloseTo(loss(before).loss, 10);
    for (const name of ["W_enc", "b_enc", "W_dec", "b_dec", ...("W_skip" in before ? ["W_skip"] : [])])
      expect(relativeError(found[name]!, centralDifferences(before, name, loss)), name).toBeLessThan(1e-6);
  });

  it.each([
    ["4k of the latents", sparse({ k: 2 })],
    ["more places than latents", sparse({ k: 6, applyBDecToInput: false })],
    ["of a transcoder", transcoder({ k: 2 })],
    ["of a skip transcoder", transcoder({ k: 2, skip: true })],
  ] as const)("multi-TopK, %s", (_, model) => {
    const {
      arena,
      before,
      gradients: found,
    } = gradients(model, "float64", undefined, undefined, {
      multiTopK: true,
    });
    const x = Float64Array.from(arena.slots[0]!);
    const wide = sparse({ ...model, k: Math.min(19, 4 * model.k) });
    const loss = (p: Tensors) => {
      const [narrow, second] = [sparseLoss(p, x, model), sparseLoss(p, x, wide)];
      return { loss: narrow.loss + second.loss / 8, active: narrow.active + second.active };
    };
    expect(arena.summaries[0]).toBeCloseTo(loss(before).loss, 10);
    for (const name of ["W_enc", "b_enc", "W_dec", "b_dec", ...("W_skip" in before ? ["W_skip"] : [])])
      expect(relativeError(found[name]!, centralDifferences(before, name, loss)), name).toBeLessThan(1e-6);
  });

  it.each(JUMP_CASES)("JumpReLU by its straight-through definition: %s", (_, model) => {
    const { arena, before, gradients: found } = gradients(model, "float64");
    const x = Float64Array.from(arena.slots[0]!);
    const unperturbed = copyOf(arena);
    const loss = (p: Tensors) => ({ loss: straightThroughLoss(p, unperturbed, x, model), active: "" });
    expect(arena.summaries[0]).toBeCloseTo(loss(before).loss, 10);
    for (const name of [
      "W_enc",
      "b_enc",
      "W_dec",
      "b_dec",
      "threshold",
      ...("W_skip" in before ? ["W_skip"] : []),
    ]) {
      expect(relativeError(found[name]!, centralDifferences(before, name, loss)), name).toBeLessThanOrEqual(
        1e-6,
      );
    }
  });

  it.each(GATED_CASES)("%s: the decoder is frozen in the gate's reconstruction", (_, model) => {
    const { arena, before, gradients: found } = gradients(model, "float64");
    const x = Float64Array.from(arena.slots[0]!);
    const unperturbed = copyOf(arena);
    const loss = (p: Tensors) => gatedLoss(p, unperturbed, x, model);
    expect(arena.summaries[0]).toBeCloseTo(loss(before).loss, 10);
    // Some gates are open on latents of magnitude 0.
    expect(new Set(loss(before).active)).toEqual(new Set("012"));
    for (const name of [
      "W_enc",
      "b_enc",
      "W_dec",
      "b_dec",
      "r_mag",
      "b_mag",
      ...("W_skip" in before ? ["W_skip"] : []),
    ]) {
      expect(relativeError(found[name]!, centralDifferences(before, name, loss)), name).toBeLessThanOrEqual(
        1e-6,
      );
    }
  });

  it.each(DEEP_CASES)("deep autoencoder with L1 on its code, %s", (_, model) => {
    const { arena, before, gradients: found } = gradients(model, "float64");
    const x = Float64Array.from(arena.slots[0]!);
    const loss = (p: Tensors) => deepLoss(p, x, model);
    expect(arena.summaries[0]).toBeCloseTo(loss(before).loss, 10);
    for (const name of Object.keys(before)) {
      expect(relativeError(found[name]!, centralDifferences(before, name, loss))).toBeLessThanOrEqual(1e-6);
    }
  });
});

describe("gradients in float32 equal their float64 selves to 1e-4", () => {
  it.each([...SPARSE_CASES, ...JUMP_CASES, ...GATED_CASES, ...DEEP_CASES] as [string, ModelSetup][])(
    "%s",
    (_, model) => {
      const single = gradients(model, "float32").gradients;
      const double = gradients(model, "float64").gradients;
      for (const name of Object.keys(double))
        expect(relativeError(single[name]!, double[name]!)).toBeLessThanOrEqual(1e-4);
    },
  );
});

describe("rows worked off in chunks, because their records do not fit at once,", () => {
  it.each([
    ["ReLU", sparse({ architecture: "relu", decoder: "free", latents: 40 })],
    ["JumpReLU", { ...jumpCase("quadratic", true)[1], latents: 40 }],
    ["Gated", { ...GATED, latents: 40 }],
  ] as const)("give the gradients of the whole mini-batch to the bit: %s", (_, model) => {
    const whole = gradients(model, "float32");
    // Room for one block of rows of 40 records each, of a few rows more: at least two chunks.
    const recordBytes = { relu: 12, jumprelu: 16, gated: 28 }[model.architecture as "relu"];
    const chunked = gradients(model, "float32", ROW_BLOCK * 40 * recordBytes);
    expect(chunked.arena.plan.recordCapacity).toBe(ROW_BLOCK * 40);
    for (const name of Object.keys(whole.gradients))
      expect(chunked.gradients[name]).toEqual(whole.gradients[name]);
    expect(chunked.arena.summaries).toEqual(whole.arena.summaries);
  });
});

describe("the parallel component of a unit decoder's gradient", () => {
  it("is removed before the optimiser, and rows keep norm 1", () => {
    const arena = prepare(sparse({}), "float64");
    runUntil(arena, "none");
    const { dIn, latents } = arena.model as SparseModelSetup;
    const { value, gradient } = (arena as Extract<Arena, { kind: "sparse" }>).W_dec;
    for (let i = 0; i < latents; i++) {
      let along = 0;
      let norm = 0;
      for (let j = i * dIn; j < (i + 1) * dIn; j++) {
        along += value[j] * gradient[j];
        norm += value[j] ** 2;
      }
      expect(Math.abs(along)).toBeLessThan(1e-12);
      expect(norm).toBeCloseTo(1, 12);
    }
  });
});
