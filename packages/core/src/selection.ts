/**
 * How many latents a step selects. With k-annealing k goes from a larger number down to the model's own while training
 * begins, so that few latents die early; with multi-TopK each row also has a second, wider set (multi-topk.ts).
 * Both concern training alone: whatever only evaluates takes the model's k.
 */
import { ARCHITECTURES } from "./architectures/index.ts";
import { OptionError } from "./errors.ts";
import type { KAnnealSetup, Setup } from "./setup.ts";

/** Latents of a row's wider set with multi-TopK, as a multiple of k (Gao et al. 2024, sparsify). */
const WIDE_MULTIPLE = 4;

/** k at a training step (0-based): linear rounds down, as dictionary_learning does; exponential rounds to nearest. */
export function annealedK({ steps, shape, from }: KAnnealSetup, k: number, step: number): number {
  if (step >= steps) return k;
  const share = step / steps;
  return shape === "linear"
    ? Math.floor(from * (1 - share) + k * share)
    : Math.round(from * (k / from) ** share);
}

/** Active latents per row (TopK), or per row on average (BatchTopK), and the records that TopK selects of a row. */
export interface Selected {
  k: number;
  selected: number;
}

/** Writes what a step selects. */
export function setSelected(into: Selected, { model, training }: Setup, step: number, train: boolean): void {
  if (model.kind !== "sparse") return;
  const { kAnneal } = training;
  into.k = train && kAnneal !== undefined ? annealedK(kAnneal, model.k, step) : model.k;
  into.selected = train ? widened(into.k, { model, training }) : into.k;
}

/** Records that TopK selects of a row once k is the model's: for these the kernels' tiles are chosen. */
export function usualSelected(setup: Setup): number {
  return setup.model.kind === "sparse" ? widened(setup.model.k, setup) : 0;
}

/** The largest k of all steps. */
export function mostK({ model, training }: Setup): number {
  return model.kind === "sparse"
    ? Math.min(model.latents, Math.max(model.k, training.kAnneal?.from ?? 0))
    : 0;
}

/** The most records that TopK selects of a row in any step. */
export function mostSelected(setup: Setup): number {
  return widened(mostK(setup), setup);
}

function widened(k: number, { model, training }: Setup): number {
  if (model.kind !== "sparse" || training.multiTopK !== true) return k;
  return Math.min(model.latents, WIDE_MULTIPLE * k);
}

/** Checks annealing and multi-TopK against the model. Throws {@link OptionError} saying what would be right. */
export function checkSelection({ model, training }: Setup): void {
  const { kAnneal, multiTopK = false } = training;
  if (model.kind !== "sparse") return;
  const { selection } = ARCHITECTURES[model.architecture];
  if (multiTopK && selection !== "topk")
    throw new OptionError("multiTopK", `multiTopK is for topk, not for ${model.architecture}`);
  if (kAnneal === undefined) return;
  if (selection === "positive")
    throw new OptionError("kAnneal", `kAnneal is for architectures with k, not for ${model.architecture}`);
  const { steps, from } = kAnneal;
  if (!Number.isInteger(steps) || steps < 1)
    throw new OptionError("kAnneal", `kAnneal.steps must be a whole number of at least 1, got ${steps}`);
  if (!Number.isInteger(from) || from <= model.k)
    throw new OptionError(
      "kAnneal",
      `k-annealing must begin above k: it begins at ${from}, and k is ${model.k}`,
    );
}
