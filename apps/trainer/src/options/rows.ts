/** Options of `train` about rows: their scaling and what starts from them, columns, who is held out, their order. */
import { filterShape } from "../row-filters.ts";
import { z } from "zod";
import { whole } from "./numbers.ts";

/** Megabytes of a shuffle window: two of them must fit beside a small model in 250 MB. */
export const DEFAULT_WINDOW_MB = 12;

/** The largest share of documents that may be held out. */
export const MOST_HELD_OUT = 0.5;

/** Options of `train` about rows: their scaling and what starts from them, columns, who is held out, their order. */
export const ROW_OPTIONS = {
  normalize: z
    .enum(["none", "sqrt-d", "unit-mean-square", "layer-norm"])
    .default("sqrt-d")
    .describe(
      "scalar that rows are multiplied by; layer-norm: each row (of several columns each vector) less its own mean, over its own standard deviation, which the model then does to whatever it reads",
    ),
  units: z
    .enum(["none", "sqrt-d", "unit-mean-square"])
    .optional()
    .describe(
      "scaling in whose units --l1, --bottleneck-l1, --l0, --bandwidth, --init-threshold, --tanh-scale, --pre-act-loss and --clip-norm are meant (default: that of --normalize)",
    ),
  center: z
    .boolean()
    .default(true)
    .describe("subtract the corpus's mean from rows (with --normalize layer-norm not done)"),
  initFrom: z
    .string()
    .min(1)
    .optional()
    .describe(
      "first parameters from this model folder (SAELens format) or run, of the same sizes, instead of random ones; optimiser and schedules begin anew",
    ),
  init: z
    .enum(["random", "uniform", "data"])
    .default("random")
    .describe(
      "decoder from random directions, from entries uniform in ±1/√d (Anthropic, January 2025), or from rows of the corpus",
    ),
  decoderNorm: z
    .number()
    .positive()
    .optional()
    .describe("norm of a free decoder's rows at the start (default 0.1, with --init uniform about 1/√3)"),
  initEncoder: z
    .enum(["tied", "scaled", "random"])
    .optional()
    .describe(
      "encoder at the start: the decoder's transpose (default), d/latents times it (Anthropic, January 2025), or random directions of its norms",
    ),
  initEncoderBias: z
    .enum(["zero", "sparse"])
    .optional()
    .describe(
      "encoder bias at the start: zero (default), or so that each latent is active on --init-rate of the rows",
    ),
  initRate: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe(
      "share of rows for --init-encoder-bias sparse (default 10000/latents, with --target-l0 target/latents; at most 0.5)",
    ),
  initBias: z
    .enum(["mean", "median", "zero"])
    .default("median")
    .describe("initial b_dec: the corpus's mean, its geometric median, or zero"),
  fold: z
    .enum(["scale", "unit"])
    .optional()
    .describe("what export divides out of the decoder (default: unit for a free decoder, else scale)"),

  column: z.string().optional().describe("vector column (default: the only one there is)"),
  columns: z
    .array(z.string())
    .min(2)
    .optional()
    .describe(
      "instead of --column: several vector columns, which one dictionary encodes together and rebuilds each (a crosscoder); each has a mean and a scale of its own",
    ),
  target: z
    .string()
    .optional()
    .describe(
      "vector column that is rebuilt from --column instead of that itself (a transcoder); has a mean and a scale of its own",
    ),
  skip: z
    .boolean()
    .optional()
    .describe("also learn a linear map from --column to --target, past the latents (a skip transcoder)"),
  documentColumn: z
    .string()
    .optional()
    .describe(
      "label column by whose value rows are held out together (default: document, else sequence, where there is one)",
    ),
  heldOut: z
    .number()
    .min(0)
    .max(MOST_HELD_OUT)
    .default(0.01)
    .describe("share of documents (or rows) held out for evaluation"),
  ...filterShape,
  shuffle: z
    .enum(["window", "full", "none"])
    .default("window")
    .describe(
      "order of rows: blocks from anywhere, their rows mixed in windows; full: each row from anywhere, read by itself; none: as in the files",
    ),
  windowMb: z
    .number()
    .positive()
    .default(DEFAULT_WINDOW_MB)
    .describe("megabytes of raw rows shuffled together; two windows are held"),
  evalRows: whole(1)
    .optional()
    .describe(
      "rows of training and of held-out data on which the result is measured (default a tenth of the examples, at most 100000)",
    ),
};
