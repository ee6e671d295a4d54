/** Options of `train` that say what is trained: architecture, size, sparsity. */
import { PRESET_NAMES } from "../presets.ts";
import { z } from "zod";
import { whole } from "./numbers.ts";

const list = z.array(whole(1)).min(3);

/** Options of `train` that say what is trained: architecture, size, sparsity. */
export const MODEL_OPTIONS = {
  preset: z
    .enum(PRESET_NAMES)
    .optional()
    .describe(
      "a published recipe: its options instead of the defaults; what is given beside it overrides it",
    ),
  arch: z
    .enum(["topk", "batch-topk", "matryoshka", "jumprelu", "relu", "gated", "autoencoder"])
    .default("topk")
    .describe("architecture"),
  latents: whole(1).optional().describe("number of dictionary units (sparse architectures)"),
  expansion: z
    .number()
    .positive()
    .optional()
    .describe("instead of --latents: latents as a multiple of the dimension (default 8)"),
  k: whole(1)
    .optional()
    .describe("active latents per row (topk; batch-topk and matryoshka: on average; default 32)"),
  threshold: z
    .enum(["calibrated", "ema"])
    .optional()
    .describe(
      "the finished model's threshold: so that mean L0 is k on held-out rows (default), or training's moving average (batch-topk, matryoshka)",
    ),
  prefixes: z
    .array(whole(1))
    .min(2)
    .optional()
    .describe(
      "widths of the nested prefixes, ascending, the last all latents (matryoshka; default 1/16, 1/8, 1/4, 1/2 and all of them)",
    ),
  auxK: z
    .union([whole(1), z.literal("auto")])
    .optional()
    .describe(
      "dead latents that rebuild a row's error, as an auxiliary loss that revives them; auto: the power of two nearest to half the dimension (topk, batch-topk, matryoshka; default none)",
    ),
  auxMode: z
    .enum(["variance", "same-units"])
    .optional()
    .describe(
      "auxiliary error relative to the error's variance, in units of the rows' (default), or as it is (as SAELens)",
    ),
  auxCoefficient: z
    .number()
    .positive()
    .optional()
    .describe("α of the auxiliary loss (default 1/32; same-units: 1)"),
  kAnnealSteps: whole(1)
    .optional()
    .describe(
      "steps in which k comes down from the dimension (at most all latents) to --k (topk, batch-topk, matryoshka; default none)",
    ),
  kAnneal: z
    .enum(["linear", "exponential"])
    .optional()
    .describe("how k comes down: as in dictionary_learning (default), or as in sparsify"),
  multiTopk: z
    .boolean()
    .optional()
    .describe("rows are also rebuilt by their 4·k largest latents, with weight 1/8 (topk; default false)"),
  l0Penalty: z
    .enum(["step", "tanh", "quadratic"])
    .optional()
    .describe("λ·L0, λ·Σ tanh(c·f), or λ·(2/target)·(L0 − target)² (jumprelu; default step)"),
  l0: z
    .number()
    .min(0)
    .optional()
    .describe("λ of the sparsity penalty (jumprelu; default 1, with a quadratic penalty 10)"),
  l0Warmup: whole(0).optional().describe("steps of linear warm-up of λ (jumprelu; default 5 % of the steps)"),
  targetL0: z.number().positive().optional().describe("target of --l0-penalty quadratic (default 20)"),
  tanhScale: z.number().positive().optional().describe("c of --l0-penalty tanh (default 4)"),
  bandwidth: z
    .number()
    .positive()
    .optional()
    .describe("width of the window about a threshold in which it has a gradient (jumprelu; default 0.05)"),
  initThreshold: z.number().min(0).optional().describe("thresholds at the start (jumprelu; default 0.01)"),
  preActLoss: z
    .number()
    .positive()
    .optional()
    .describe(
      "coefficient of a loss that draws dead latents to their thresholds, Σ ‖W_dec‖·ReLU(θ − z) over them (jumprelu; default none, Anthropic's 3e-6)",
    ),
  gradientToInput: z
    .boolean()
    .optional()
    .describe("the thresholds' straight-through gradient also goes to the encoder (jumprelu; default false)"),
  l1: z.number().min(0).optional().describe("λ of the L1 penalty (relu; gated: on the gates; default 1)"),
  l1Warmup: whole(0)
    .optional()
    .describe(
      "steps of linear warm-up of λ (relu, gated, autoencoder with --bottleneck-l1; default 5 % of the steps)",
    ),
  pAnnealStart: whole(1)
    .optional()
    .describe(
      "step from which on the penalty is of a power of the activations that falls from 1 in ten updates, λ adapted at each (relu with --decoder unit; default never)",
    ),
  pEnd: z.number().positive().lt(1).optional().describe("the last power (default 0.2)"),
  pNorm: z
    .enum(["sum", "root"])
    .optional()
    .describe("penalty λ·Σ f^p (default), or λ·(Σ f^p)^(1/p), with p-annealing"),
  decoder: z
    .enum(["unit", "free"])
    .optional()
    .describe(
      "decoder rows of norm 1, or free with the penalty weighted by their norms (relu; default free; others have unit only)",
    ),
  applyBDecToInput: z.boolean().default(true).describe("subtract b_dec from the encoder's input"),
  widths: list.optional().describe("layer widths, e.g. 768,256,64,256,768 (autoencoder)"),
  tied: z
    .boolean()
    .optional()
    .describe(
      "decoder weights are the transposes of the encoder's; widths mirrored (autoencoder; default false)",
    ),
  bottleneckL1: z
    .number()
    .min(0)
    .optional()
    .describe("λ of an L1 penalty on the narrowest hidden layer's activations (autoencoder; default 0)"),
  outputActivation: z
    .enum(["relu", "linear"])
    .default("relu")
    .describe("activation function of the last layer (autoencoder)"),
};
