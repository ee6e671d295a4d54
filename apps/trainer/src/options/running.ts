/** Options of `train` about the machine, of which the kernels alone may change a bit of the result, and the run directory. */
import { availableParallelism } from "node:os";
import { z } from "zod";
import { whole } from "./numbers.ts";

/** Threads beyond this only take memory, some 10 MB each; a thousand of them take the machine. */
export const MOST_WORKERS: number = Math.max(64, 4 * availableParallelism());

/** Seeds are numbers of 32 bits. */
export const MOST_SEED: number = 2 ** 32 - 1;

export const RUNNING_OPTIONS = {
  workers: whole(1)
    .max(MOST_WORKERS)
    .default(availableParallelism())
    .describe("worker threads; changes no bit of the result"),
  kernels: z
    .enum(["auto", "reference"])
    .default("auto")
    .describe("auto: the fastest that this machine runs; reference: plain TypeScript"),
  encoder: z
    .enum(["auto", "exact", "screened"])
    .default("auto")
    .describe(
      "exact: one float32 product; screened: integer bounds first, float32 where they leave it open; same bits; auto: the faster one",
    ),
  audit: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("share of rows whose screening is checked against the exact product"),
  experimentalWideSimd: z
    .boolean()
    .default(false)
    .describe("256-bit vectors by an experimental flag of V8: same bits, up to twice as fast"),
  experimentalHugePages: z
    .boolean()
    .default(false)
    .describe(
      "pages of 2 MiB by Linux, which Node's experimental FFI asks: same bits, some % faster where models are large",
    ),
  allowDifferentKernels: z
    .boolean()
    .default(false)
    .describe("resume under kernels that may give other last bits than those the run was made with"),
  seed: whole(0).max(MOST_SEED).default(0).describe("decides everything random"),
  dataSeed: whole(0)
    .max(MOST_SEED)
    .optional()
    .describe(
      "instead of the seed, decides who is held out, which rows samples take and the order of rows: runs with other seeds then see the same data (default: the seed)",
    ),
  out: z.string().min(1).optional().describe("run directory (default runs/<arch>-<time>)"),
  modelName: z
    .string()
    .optional()
    .describe("language model that the activations are of, for the model's cfg.json (SAELens's model_name)"),
  hookName: z
    .string()
    .optional()
    .describe("place in that model, such as blocks.6.hook_resid_pre, likewise (hook_name)"),
  logEvery: whole(1).default(10).describe("steps between two lines of metrics.jsonl"),
  evalEvery: whole(1)
    .optional()
    .describe(
      "steps between two measurements of the model on held-out rows while it trains, and one at the end; they go to metrics.jsonl and change no bit of the model (default: none)",
    ),
  evalSample: whole(1)
    .optional()
    .describe(
      "held-out rows for --eval-every, the same each time, kept in memory (default 8192, or fewer for whole mini-batches)",
    ),
  checkpointEvery: whole(1).default(1000).describe("steps between two checkpoints"),
  keepCheckpoints: whole(1).default(3).describe("newest checkpoints that are kept"),
  stopAt: whole(1).optional().describe("save a checkpoint after this step and stop; continue with --resume"),
  stuckTimeout: z
    .number()
    .positive()
    .default(30)
    .describe("seconds without progress of any worker after which the run fails"),
};
