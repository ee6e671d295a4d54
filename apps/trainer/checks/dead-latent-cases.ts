/**
 * Configurations in which latents die, and the recipes that are to keep them alive: a generated corpus and the options of
 * `train`. The check trains them as they are, a test the shorter ones.
 */
import type { TrainRequest } from "../src/options.ts";

/** A dead latent here: no activation in this many of the latest examples. */
export const DEAD_WINDOW = 100_000;

/** One configuration, without and with its recipe. */
export interface DeadLatentCase {
  readonly name: string;
  /** Arguments of `corpus generate`. */
  readonly corpus: readonly string[];
  readonly options: TrainRequest & { readonly latents: number };
  readonly recipe: TrainRequest;
}

const COMMON = { batch: 256, deadWindow: DEAD_WINDOW } as const;

/**
 * Far more features than dimensions, few latents per row and a high learning rate: plain TopK loses over a quarter.
 * AuxK's default coefficient, 1/32, needs some 4,000 steps of this size to bring all of them back.
 */
export const AUX_K_CASE: DeadLatentCase = {
  name: "TopK, with AuxK at its default coefficient",
  corpus: [
    "--rows",
    "40000",
    "--d",
    "64",
    "--features",
    "1024",
    "--active",
    "12",
    "--noise",
    "0.05",
    "--seed",
    "1",
  ],
  options: { ...COMMON, arch: "topk", latents: 1024, k: 2, lr: 0.01, epochs: 40 },
  recipe: { auxK: "auto" },
};

/** The same in half as many dimensions and fewer steps. */
export const SHORT_AUX_K_CASE: DeadLatentCase = {
  ...AUX_K_CASE,
  corpus: [
    "--rows",
    "40000",
    "--d",
    "32",
    "--features",
    "512",
    "--active",
    "8",
    "--noise",
    "0.05",
    "--seed",
    "1",
  ],
  options: { ...AUX_K_CASE.options, latents: 768, lr: 0.012, epochs: 30 },
};

/**
 * A start so sparse that latents of random directions fire on next to nothing: L1 then silences over a third of them for
 * good, though there are features for all.
 */
export const RESAMPLING_CASE: DeadLatentCase = {
  name: "ReLU with L1 and unit decoder, with resampling",
  corpus: [
    "--rows",
    "40000",
    "--d",
    "32",
    "--features",
    "256",
    "--active",
    "3",
    "--noise",
    "0.02",
    "--seed",
    "1",
  ],
  options: {
    ...COMMON,
    arch: "relu",
    decoder: "unit",
    latents: 128,
    l1: 0.5,
    lr: 0.001,
    epochs: 25,
    initEncoder: "random",
    initEncoderBias: "sparse",
    initRate: 1e-5,
  },
  recipe: { resampleEvery: 400, resampleUntil: 2800 },
};
