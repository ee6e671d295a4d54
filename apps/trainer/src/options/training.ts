/** Options of `train` that say how: length, learning rate, optimiser, dead latents. */
import { z } from "zod";
import { whole } from "./numbers.ts";

/** Options of `train` that say how: length, learning rate, optimiser, dead latents. */
export const TRAINING_OPTIONS = {
  batch: whole(1).default(4096).describe("rows of a mini-batch"),
  epochs: whole(1).optional().describe("passes over the corpus (default 1)"),
  examples: whole(1).optional().describe("instead of --epochs: rows to train on in all"),
  lr: z
    .union([z.number().positive(), z.literal("auto")])
    .default("auto")
    .describe(
      "learning rate; auto: 2e-4/√(latents/16384) for topk, batch-topk and matryoshka, found at batches of 65,000 rows and more; 3e-4 for relu, gated and jumprelu, 1e-3 for autoencoder; other optimizers: see the start message",
    ),
  lrWarmup: whole(0).default(0).describe("steps of warm-up of the learning rate"),
  lrWarmupStart: z
    .number()
    .positive()
    .max(1)
    .optional()
    .describe("share of the learning rate that the warm-up's first step takes (default 1/--lr-warmup)"),
  lrWarmupShape: z
    .enum(["linear", "cosine"])
    .optional()
    .describe("how the learning rate warms up (default linear)"),
  lrSchedule: z
    .enum(["constant", "linear", "cosine"])
    .optional()
    .describe("how the learning rate decays at the end (default linear)"),
  lrDecay: whole(0)
    .optional()
    .describe(
      "steps of decay at the end (default: linear 20 % of the steps; cosine, and muon, all after the warm-up)",
    ),
  lrEnd: z.number().min(0).optional().describe("learning rate that the decay leads to (default 0)"),
  optimizer: z
    .enum(["adam", "signum", "signum-schedule-free", "muon"])
    .default("adam")
    .describe(
      "what turns gradients into updates; signum: against the sign of their running mean; signum-schedule-free: sign descent whose average is the model (sparsify's default); muon: matrices by their orthogonalised momentum, at a cost that the start message tells",
    ),
  momentum: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe("β of the momentum (signum: default 0.9; signum-schedule-free and muon: 0.95)"),
  weightDecay: z
    .number()
    .min(0)
    .optional()
    .describe("decoupled weight decay of matrices (muon; default 0.1)"),
  beta1: z.number().min(0).lt(1).default(0.9).describe("Adam's β1"),
  beta2: z.number().min(0).lt(1).default(0.999).describe("Adam's β2"),
  epsilon: z.number().positive().default(1e-8).describe("Adam's ε"),
  resampleAt: z
    .array(whole(1))
    .min(1)
    .optional()
    .describe(
      "steps at which dead latents are made anew from rows that are rebuilt badly (relu with --decoder unit; Towards Monosemanticity: 25000,50000,75000,100000)",
    ),
  resampleEvery: whole(1).optional().describe("instead of --resample-at: every so many steps"),
  resampleUntil: whole(1).optional().describe("last step of --resample-every (default half of the steps)"),
  resampleWindow: whole(1)
    .optional()
    .describe(
      "examples without activation after which a latent is resampled (default half of those since the resampling before)",
    ),
  resampleRows: whole(1)
    .optional()
    .describe(
      "training rows of which dead latents are made, by the squares of their losses (default 819200)",
    ),
  ema: z
    .number()
    .positive()
    .lt(1)
    .optional()
    .describe("decay of a moving average of the parameters, which the finished model has (default none)"),
  clipNorm: z
    .number()
    .positive()
    .optional()
    .describe("norm of all gradients together above which they are scaled down to it (default none)"),
  deadWindow: whole(1)
    .optional()
    .describe(
      "examples without activation after which a latent is dead (default 20 mini-batches or 5 % of the run, whichever is more, but at most 10,000,000)",
    ),
};
