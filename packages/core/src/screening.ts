/**
 * When rows are screened, and by which equaliser. Screening finds the active latents of a row from an integer product,
 * computing exactly only what that leaves open; its arithmetic is in wasm/screen.ts and assembly/. Nothing here changes
 * a bit of a result (up to the stated probability): it decides how much work a step is.
 */
import type { SparseArena } from "./arena-sparse.ts";
import { BATCH, BATCH_FIELDS, SCREENING, SCREENING_FIELDS, SUMMARY, SUMMARY_FIELDS } from "./fields.ts";
import { ARCHITECTURES } from "./architectures/index.ts";
import { CONTROL } from "./control.ts";
import type { ScreeningCosts, StepContext } from "./kernels.ts";

/** Rows and latents looked at for the equaliser: enough for a mean, spread over all of them. */
const SAMPLED_ROWS = 512;
const SAMPLED_LATENTS = 2048;

/**
 * The steps at which the equaliser is made anew: the first of a process, powers of two, then every 1,024th. In between
 * it stays, so that quantised latents keep their meaning.
 */
export function nextEqualising(step: number): number {
  if (step >= 1024) return 1024 * (Math.floor(step / 1024) + 1);
  let next = 1;
  while (next <= step) next *= 2;
  return next;
}

/**
 * Makes the equaliser: per dimension i a factor e_i for the encoder's weights, 1/e_i for the rows, so that neither has
 * dimensions that drown the others when rows and latents are each scaled by their largest entry. e_i = √(x_i / w_i), where
 * x_i and w_i are means over rows and latents of |entry| relative to the row's, the latent's root mean square. Taken
 * relative to its own row, one massive entry counts at most √d times, however massive.
 */
export function equalise(arena: SparseArena, slot: number): void {
  const { dIn, latents, applyBDecToInput } = arena.model;
  const rows = arena.batches[slot * BATCH_FIELDS + BATCH.rows];
  const ofRows = meanMagnitudes(
    arena.slots[slot],
    rows,
    Math.ceil(rows / SAMPLED_ROWS),
    dIn,
    applyBDecToInput ? arena.b_dec.value : undefined,
  );
  const stride = Math.ceil(latents / SAMPLED_LATENTS);
  const ofLatents = meanMagnitudes(arena.W_enc.value, latents, stride, dIn, undefined);
  for (let i = 0; i < dIn; i++) {
    const ratio = Math.fround(Math.sqrt(ofRows[i] / ofLatents[i]));
    // A dimension that is always zero, or not a number, keeps its scale.
    const factor = ratio > 1e-6 && ratio < 1e6 ? ratio : 1;
    arena.equaliser[i] = factor;
    arena.equaliser[dIn + i] = 1 / factor;
  }
}

function meanMagnitudes(
  values: ArrayLike<number>,
  rows: number,
  stride: number,
  dIn: number,
  centre: ArrayLike<number> | undefined,
): Float64Array {
  const sums = new Float64Array(dIn);
  for (let row = 0; row < rows; row += stride) {
    const at = row * dIn;
    let squares = 0;
    for (let i = 0; i < dIn; i++) {
      const value = values[at + i] - (centre === undefined ? 0 : centre[i]);
      squares += value * value;
    }
    if (!(squares > 0 && squares < Number.POSITIVE_INFINITY)) continue;
    const scale = 1 / Math.sqrt(squares);
    for (let i = 0; i < dIn; i++) {
      sums[i] += scale * Math.abs(values[at + i] - (centre === undefined ? 0 : centre[i]));
    }
  }
  return sums;
}

/** Share of latents that may be unscreened: each is a candidate of every row. */
const UNSCREENED_SHARE = 1 / 64;
/** Candidates per active latent of rows of many: bounds lie above values. */
const CANDIDATES_PER_ACTIVE = 1.15;

/** Whether rows with this share of all latents as candidates, and of rows done again, cost less than the exact product. */
function pays(costs: ScreeningCosts, candidates: number, redone = 0): boolean {
  return costs.product + costs.candidate * candidates + redone <= 1;
}

/**
 * Whether a mini-batch begins with a new equaliser. Rows that are only evaluated make one where there is none; it holds
 * until the next training step, which makes its own.
 */
export function isEqualisedAnew({ control }: SparseArena, { step, train }: StepContext): boolean {
  return control[CONTROL.equaliseAt] <= (train ? step : 0);
}

/** Decides after all latents were quantised whether rows are screened from now on. Runs on one thread. */
export function startScreening(
  arena: SparseArena,
  { step, k, train }: StepContext,
  costs: ScreeningCosts,
): void {
  const { control, model, plan } = arena;
  // While k is annealed rows have too many candidates.
  const annealing = k > model.k;
  const next = nextEqualising(train ? step : 0);
  const steps = plan.setup.training.kAnneal?.steps ?? 0;
  control[CONTROL.equaliseAt] = annealing ? Math.min(next, steps) : next;
  const sparse = pays(costs, (CANDIDATES_PER_ACTIVE * control[CONTROL.density]) / model.latents);
  control[CONTROL.screening] = !annealing && (sparse || hasK(arena)) ? 1 : 0;
  checkUnscreened(arena);
}

/** Ends screening until the next equaliser where too many latents cannot be screened. Runs on one thread. */
export function checkUnscreened(arena: SparseArena): void {
  const { control, model } = arena;
  if (control[CONTROL.unscreened] > UNSCREENED_SHARE * model.latents) control[CONTROL.screening] = 0;
  control[CONTROL.unscreened] = 0;
}

/**
 * Adds the rows' reports up into the summary, and ends screening until the next equaliser where it did not pay. Runs on
 * one thread.
 */
export function summariseScreening(
  arena: SparseArena,
  { screened, rows, slot, train }: StepContext,
  costs: ScreeningCosts | undefined,
): void {
  const at = slot * SUMMARY_FIELDS;
  const { control, summaries, rowScreening, model, plan } = arena;
  for (const field of [
    SUMMARY.candidates,
    SUMMARY.redone,
    SUMMARY.screeningError,
    SUMMARY.audited,
    SUMMARY.missed,
    SUMMARY.screened,
  ]) {
    summaries[at + field] = 0;
  }
  if (!screened || costs === undefined) return;
  let candidates = 0;
  let redone = 0;
  let error = 0;
  let audited = 0;
  let missed = 0;
  for (let row = 0; row < rows; row++) {
    const report = row * SCREENING_FIELDS;
    candidates += rowScreening[report + SCREENING.candidates];
    redone += rowScreening[report + SCREENING.redone];
    error = Math.max(error, rowScreening[report + SCREENING.error]);
    const found = rowScreening[report + SCREENING.missed];
    if (found >= 0) {
      audited++;
      missed += found;
    }
  }
  summaries[at + SUMMARY.candidates] = candidates;
  summaries[at + SUMMARY.redone] = redone;
  summaries[at + SUMMARY.screeningError] = error;
  summaries[at + SUMMARY.audited] = audited;
  summaries[at + SUMMARY.missed] = missed;
  summaries[at + SUMMARY.screened] = rows - redone;
  // Rows that are evaluated in the course of training, by a threshold that lags, say nothing of the steps to come.
  const decides = train || plan.purpose === "evaluate";
  if (decides && !pays(costs, candidates / (rows * model.latents), redone / rows))
    control[CONTROL.screening] = 0;
}

function hasK({ model }: SparseArena): boolean {
  return ARCHITECTURES[model.architecture].selection !== "positive";
}
