/**
 * Every architecture with every recipe that changes a step, as small runs: what holds for all of them is tested on this
 * table. A new architecture, loss or trick belongs here.
 */
import type { TrainRequest } from "../src/options.ts";

/** Dimensions of the corpus's columns `before` and `after`: more than one block of dimensions, also as targets. */
export const WIDTHS = { before: 72, after: 66 } as const;
export const ROWS = 1000;
export const STEPS = 40;

/** Three blocks of rows and four of latents for up to four workers; five epochs, the last mini-batch short. */
const COMMON = { batch: 130, examples: (STEPS - 1) * 130 + 33, seed: 3, lr: 1e-2, logEvery: 7 } as const;
const ONE = { ...COMMON, column: "before" } as const;
const SPARSE = { ...ONE, latents: 150 } as const;
const TRANSCODER = { ...SPARSE, target: "after" } as const;
const CROSSCODER = { ...COMMON, latents: 150, columns: ["before", "after"] } satisfies TrainRequest;
const DEEP = { ...ONE, arch: "autoencoder" } as const;
/** Rows are sparse from the first step on, so that they can be screened. */
const SPARSE_START = { initEncoderBias: "sparse", initRate: 0.05 } as const;
const RELU = { arch: "relu", l1: 3, lr: 3e-3, ...SPARSE_START } as const;
const GATED = { arch: "gated", l1: 3, lr: 3e-3, ...SPARSE_START } as const;
const JUMP = {
  arch: "jumprelu",
  l0: 1,
  bandwidth: 0.5,
  initThreshold: 0.5,
  lr: 3e-3,
  ...SPARSE_START,
} as const;
/** Most latents are dead after a few steps. */
const AUX_K = { auxK: 9, deadWindow: 300 } as const;
const ANNEALED = { kAnnealSteps: 15 } as const;

/** All recipes, by names that say what each is. */
export const RECIPES: Readonly<Record<string, TrainRequest>> = {
  autoencoder: { ...DEEP, widths: [72, 60, 9, 60, 72], outputActivation: "linear" },
  "autoencoder with tied layers and L1 on its code": {
    ...DEEP,
    widths: [72, 60, 9, 60, 72],
    tied: true,
    bottleneckL1: 0.1,
    ema: 0.9,
  },
  "autoencoder, clipped, by a cosine of the rate": {
    ...DEEP,
    widths: [72, 20, 72],
    clipNorm: 0.5,
    lrWarmup: 9,
    lrWarmupStart: 0.1,
    lrSchedule: "cosine",
    lrEnd: 1e-4,
  },
  "autoencoder by muon": { ...DEEP, widths: [72, 100, 5, 20, 72], optimizer: "muon" },
  "autoencoder with tied layers by schedule-free signum": {
    ...DEEP,
    widths: [72, 60, 72],
    tied: true,
    optimizer: "signum-schedule-free",
    lr: 1e-3,
  },
  "relu with free decoder": { ...SPARSE, ...RELU, l1: 5, init: "uniform", decoderNorm: 0.2 },
  "relu with unit decoder": { ...SPARSE, ...RELU, decoder: "unit" },
  "relu with p-annealing": { ...SPARSE, ...RELU, decoder: "unit", pAnnealStart: 12 },
  "relu with p-annealing of the root": {
    ...SPARSE,
    ...RELU,
    decoder: "unit",
    pAnnealStart: 12,
    pNorm: "root",
  },
  "relu with resampling": {
    ...SPARSE,
    ...RELU,
    decoder: "unit",
    l1: 8,
    lr: 1e-2,
    resampleAt: [15, 25],
    resampleWindow: 260,
    resampleRows: 500,
  },
  "relu by muon, clipped": { ...SPARSE, ...RELU, l1: 6, optimizer: "muon", clipNorm: 1, ema: 0.9 },
  gated: { ...SPARSE, ...GATED },
  "gated that sees x itself, by signum": {
    ...SPARSE,
    ...GATED,
    applyBDecToInput: false,
    optimizer: "signum",
    lr: 1e-3,
    ema: 0.97,
  },
  topk: { ...SPARSE, arch: "topk", k: 4, init: "data" },
  "topk that sees x itself": { ...SPARSE, arch: "topk", k: 4, applyBDecToInput: false },
  "topk of rows after LayerNorm": { ...SPARSE, arch: "topk", k: 4, init: "data", normalize: "layer-norm" },
  "topk with k-annealing": { ...SPARSE, arch: "topk", k: 4, ...ANNEALED },
  "topk with multi-TopK": { ...SPARSE, arch: "topk", k: 3, multiTopk: true },
  "topk by schedule-free signum, clipped": {
    ...SPARSE,
    arch: "topk",
    k: 4,
    optimizer: "signum-schedule-free",
    lr: 1e-3,
    clipNorm: 1,
  },
  "batch-topk": { ...SPARSE, arch: "batch-topk", k: 4 },
  "batch-topk with k-annealing": {
    ...SPARSE,
    arch: "batch-topk",
    k: 3,
    ...ANNEALED,
    kAnneal: "exponential",
  },
  matryoshka: { ...SPARSE, arch: "matryoshka", k: 4 },
  "matryoshka with k-annealing, by muon": {
    ...SPARSE,
    arch: "matryoshka",
    k: 3,
    prefixes: [5, 60, 150],
    ...ANNEALED,
    optimizer: "muon",
  },
  jumprelu: { ...SPARSE, ...JUMP },
  "jumprelu with a tanh, by schedule-free signum": {
    ...SPARSE,
    ...JUMP,
    l0Penalty: "tanh",
    optimizer: "signum-schedule-free",
    lr: 1e-3,
  },
  "jumprelu with a target and gradient to the input": {
    ...SPARSE,
    ...JUMP,
    l0: undefined,
    l0Penalty: "quadratic",
    targetL0: 6,
    gradientToInput: true,
  },
  "jumprelu that sees x itself, by muon, clipped": {
    ...SPARSE,
    ...JUMP,
    applyBDecToInput: false,
    optimizer: "muon",
    clipNorm: 1,
  },
  "topk transcoder": { ...TRANSCODER, arch: "topk", k: 4, center: false },
  "batch-topk skip transcoder": { ...TRANSCODER, arch: "batch-topk", k: 4, skip: true, ema: 0.9 },
  "matryoshka transcoder": { ...TRANSCODER, arch: "matryoshka", k: 4 },
  "relu transcoder with p-annealing": { ...TRANSCODER, ...RELU, l1: 0.5, decoder: "unit", pAnnealStart: 12 },
  "relu skip transcoder, clipped, by signum": {
    ...TRANSCODER,
    ...RELU,
    l1: 0.3,
    decoder: "unit",
    skip: true,
    center: false,
    clipNorm: 1,
    optimizer: "signum",
    lr: 1e-3,
  },
  "gated skip transcoder": { ...TRANSCODER, ...GATED, l1: 0.5, skip: true },
  "jumprelu skip transcoder by muon": { ...TRANSCODER, ...JUMP, skip: true, optimizer: "muon" },
  "topk crosscoder with multi-TopK": { ...CROSSCODER, arch: "topk", k: 3, multiTopk: true },
  "batch-topk crosscoder with k-annealing": { ...CROSSCODER, arch: "batch-topk", k: 4, ...ANNEALED },
  "relu crosscoder": { ...CROSSCODER, ...RELU, l1: 5 },
  "relu crosscoder that sees x itself, clipped": {
    ...CROSSCODER,
    ...RELU,
    decoder: "unit",
    applyBDecToInput: false,
    clipNorm: 1,
  },
  "gated crosscoder": { ...CROSSCODER, ...GATED },
  "jumprelu crosscoder": { ...CROSSCODER, ...JUMP, l0: 3, initRate: 0.02 },
  "topk with AuxK": { ...SPARSE, arch: "topk", k: 2, ...AUX_K, auxCoefficient: 0.5 },
  "topk with AuxK, multi-TopK and k-annealing, clipped": {
    ...SPARSE,
    arch: "topk",
    k: 2,
    ...AUX_K,
    ...ANNEALED,
    multiTopk: true,
    clipNorm: 1,
  },
  "batch-topk with AuxK in the same units, by muon": {
    ...SPARSE,
    arch: "batch-topk",
    k: 1,
    ...AUX_K,
    auxMode: "same-units",
    optimizer: "muon",
  },
  "matryoshka with AuxK": { ...SPARSE, arch: "matryoshka", k: 2, ...AUX_K },
  "jumprelu with a pre-activation loss": {
    ...SPARSE,
    ...JUMP,
    initThreshold: 3,
    preActLoss: 0.1,
    deadWindow: 300,
  },
  "topk skip transcoder with AuxK and multi-TopK": {
    ...TRANSCODER,
    arch: "topk",
    k: 1,
    skip: true,
    ...AUX_K,
    multiTopk: true,
  },
  "jumprelu transcoder with a pre-activation loss, clipped": {
    ...TRANSCODER,
    ...JUMP,
    initThreshold: 3,
    preActLoss: 0.1,
    deadWindow: 300,
    clipNorm: 1,
  },
  "matryoshka crosscoder with AuxK": { ...CROSSCODER, arch: "matryoshka", k: 2, ...AUX_K },
};
