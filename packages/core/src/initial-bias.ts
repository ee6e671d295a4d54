/**
 * A start from which each latent is active on a given share of rows (Anthropic, January 2025): its encoder bias is put
 * so that this share of a sample has a pre-activation above what makes it active, 0 or its threshold. The products are
 * the encoder's own, some latents at a time, so that memory goes with the sample and not with the model.
 */
import type { SparseArena } from "./arena-sparse.ts";
import { allocateMemory, openArena } from "./arena.ts";
import { ROW_BLOCK } from "./block-sizes.ts";
import { assert, OptionError } from "./errors.ts";
import { createKernels, type KernelVariant } from "./kernel-variants.ts";
import { startCopies } from "./optimizers/index.ts";
import { planRun } from "./plan.ts";
import { evaluationTraining, type SparseModelSetup } from "./setup.ts";
import { emptyContext } from "./step-context.ts";

/** Latents at a time: their pre-activations on 20,000 rows take 20 MB. */
const LATENTS_AT_A_TIME = 256;

/**
 * The share by default: where the penalty has a target, target/latents, so that training begins at it; else
 * 10,000/latents (Anthropic, January 2025). At most a half.
 */
export function defaultInitialRate({ latents, jump }: SparseModelSetup): number {
  return Math.min(0.5, (jump?.penalty === "quadratic" ? jump.targetL0 : 10_000) / latents);
}

/**
 * Sets `b_enc` so that each latent is active on `rate` of `rows` [any number, dIn], in the model's coordinates, to the
 * nearest row, but on one at least and not on all. Needs the other parameters; for architectures whose latents are
 * active above a threshold of their own (`selection` positive).
 *
 * @param kernels computes the pre-activations: the run's, since others may give other last bits
 * @throws OptionError unless there are two whole rows and 0 < rate < 1
 */
export function setInitialBias(
  arena: SparseArena,
  rows: Float32Array,
  rate: number,
  kernels: KernelVariant,
): void {
  const { dIn, latents } = arena.model;
  const count = rows.length / dIn;
  if (!Number.isInteger(count) || count < 2)
    throw new OptionError(
      "rows",
      `rows must be at least two whole rows of ${dIn}, got ${rows.length} values`,
    );
  if (!(rate > 0 && rate < 1)) throw new OptionError("rate", `rate must be above 0 and below 1, got ${rate}`);
  const active = Math.min(count - 1, Math.max(1, Math.round(rate * count)));
  const products = new Products(arena, kernels, Math.min(LATENTS_AT_A_TIME, latents));
  for (let first = 0; first < latents; first += products.latents) {
    const last = Math.min(first + products.latents, latents);
    const z = products.of(first, last, rows);
    for (let latent = first; latent < last; latent++) {
      const sorted = z.subarray((latent - first) * count, (latent - first + 1) * count).sort();
      const between = (sorted[count - active - 1] + sorted[count - active]) / 2;
      arena.b_enc.value[latent] = (arena.threshold.value[latent] ?? 0) - between;
    }
  }
  startCopies(arena.b_enc);
}

/** Pre-activations without bias, by a ReLU model of a few latents that records whatever there is. */
class Products {
  /** Latents at a time. */
  readonly latents: number;
  readonly #of: SparseArena;
  readonly #small: SparseArena;
  readonly #kernels: ReturnType<typeof createKernels>;

  constructor(of: SparseArena, variant: KernelVariant, latents: number) {
    this.latents = latents;
    this.#of = of;
    const { dIn, applyBDecToInput } = of.model;
    const model: SparseModelSetup = {
      kind: "sparse",
      architecture: "relu",
      dIn,
      latents,
      k: 0,
      decoder: "free",
      applyBDecToInput,
    };
    const training = evaluationTraining(ROW_BLOCK);
    const plan = planRun({ setup: { model, training }, workers: 1, slots: 1, purpose: "evaluate" });
    const memory = allocateMemory(plan, { shared: variant !== "reference" });
    const small = openArena(plan, memory.buffer);
    assert(small.kind === "sparse", "a sparse model's arena");
    this.#small = small;
    this.#kernels = createKernels(variant, plan, memory);
    if (applyBDecToInput) small.b_dec.value.set(of.b_dec.value);
    small.floors.fill(Number.NEGATIVE_INFINITY);
  }

  /** Of latents [first, last) [last − first, rows]. */
  of(first: number, last: number, rows: Float32Array): Float32Array {
    const small = this.#small;
    const { dIn } = small.model;
    const count = rows.length / dIn;
    small.W_enc.value.set(this.#of.W_enc.value.subarray(first * dIn, last * dIn));
    const z = new Float32Array((last - first) * count);
    const context = emptyContext(0, small.plan.setup);
    for (let from = 0; from < count; from += ROW_BLOCK) {
      const taken = Math.min(ROW_BLOCK, count - from);
      small.slots[0].set(rows.subarray(from * dIn, (from + taken) * dIn));
      small.control.fill(0);
      context.rows = taken;
      const fits = this.#kernels.sparse.encodeRows(small, context, 0, taken);
      assert(fits, "the records of one block of rows fit");
      for (let row = 0; row < taken; row++) {
        const records = small.rowOffset[row];
        for (let latent = 0; latent < last - first; latent++)
          z[latent * count + from + row] = small.recordValue[records + latent];
      }
    }
    return z;
  }
}
