/** Initial parameters: decoder from random directions or from data rows, encoder its transpose, b_dec at the data. */
import type { DeepArena } from "./arena-deep.ts";
import type { SparseArena } from "./arena-sparse.ts";
import { type Arena, parametersOf } from "./arena.ts";
import { type FloatArray, roundingTo } from "./precision.ts";
import { ARCHITECTURES } from "./architectures/index.ts";
import { CONTROL } from "./control.ts";
import { refreshMirror } from "./deep-options.ts";
import { assert, OptionError } from "./errors.ts";
import { outputDimension } from "./setup.ts";
import { startCopies } from "./optimizers/index.ts";
import { P_ANNEALING } from "./fields.ts";
import { gaussian, PURPOSE, uniform } from "./random.ts";
import { finishDecoderRow } from "./decoder-parts.ts";
import { laneScratch } from "./reference/chains.ts";

/** Norm of a free decoder's initial rows (Anthropic, April 2024: random directions of norm 0.05–1, typically 0.1). */
export const FREE_DECODER_NORM = 0.1;

/** How {@link initialise} chooses the first parameters. */
export interface Initialisation {
  readonly seed: number;
  /** Initial b_dec in the model's coordinates [dIn]; zero where missing. Sparse autoencoders only. */
  readonly decoderBias?: FloatArray;
  /**
   * Rows [any number, dIn] in the model's coordinates whose directions from b_dec become decoder rows, one per
   * latent. Latents beyond their number, and rows at b_dec itself, get random directions. Missing: all random.
   */
  readonly decoderRows?: FloatArray;
  /**
   * Entries of random decoder rows: normal, or uniform between ±1/√dIn, whose rows have norms about 1/√3 (Anthropic,
   * January 2025). Default normal.
   */
  readonly decoderEntries?: "normal" | "uniform";
  /** Norm of a free decoder's rows. Default {@link FREE_DECODER_NORM}, of uniform entries the norm that they have. */
  readonly decoderNorm?: number;
  /**
   * Encoder rows: `tied` equal to the decoder's; `scaled` times dIn/latents (Anthropic, January 2025); `random`
   * directions of their own with the decoder rows' norms. Default tied; of a transcoder random.
   */
  readonly encoder?: "tied" | "scaled" | "random";
  /**
   * Mean of a transcoder's input, in the model's coordinates [dIn]: encoder biases begin at −W_enc·mean (as sparsify),
   * so that pre-activations are 0 on average.
   */
  readonly inputMean?: FloatArray;
  /** The mean of what is rebuilt, in the model's coordinates [dIn], about which variance is measured; zero where missing. */
  readonly mean?: FloatArray;
}

/** Sets all parameters of a zeroed arena. */
export function initialise(arena: Arena, initialisation: Initialisation): void {
  if (initialisation.mean !== undefined) arena.mean.set(initialisation.mean);
  if (arena.kind === "sparse") initialiseSparse(arena, initialisation);
  else initialiseDeep(arena, initialisation.seed);
  for (const parameter of parametersOf(arena)) startCopies(parameter);
  if (arena.kind === "sparse" && arena.pAnnealing.length > 0) arena.pAnnealing[P_ANNEALING.factor] = 1;
}

/**
 * Puts the averages of the parameters in their place, where training keeps them: the model to measure and to export.
 * Training cannot go on from there.
 */
export function takeAverages(arena: Arena): void {
  for (const { value, average } of parametersOf(arena)) if (average.length > 0) value.set(average);
  refreshDerived(arena);
  // Quantised latents are of the parameters before.
  arena.control[CONTROL.equaliseAt] = 0;
}

/** Numbers that change places at a time: 256 KiB beside the arena, however large a parameter is. */
const EXCHANGED = 65_536;

/**
 * Exchanges the parameters with their averages, where training keeps them, so that the model can be measured in the
 * course of a run. Done twice, everything is as it was, to the bit, and training goes on.
 */
export function exchangeAverages(arena: Arena): void {
  const averaged = parametersOf(arena).filter(({ average }) => average.length > 0);
  if (averaged.length === 0) return;
  for (const { value, average } of averaged) {
    for (let from = 0; from < value.length; from += EXCHANGED) {
      const held = value.slice(from, from + EXCHANGED);
      value.set(average.subarray(from, from + EXCHANGED), from);
      average.set(held, from);
    }
  }
  refreshDerived(arena);
  // Quantised latents are of the parameters before.
  arena.control[CONTROL.equaliseAt] = 0;
}

/** Derives what is not a parameter but follows from the parameters; needed after they were set or loaded. */
export function refreshDerived(arena: Arena): void {
  if (arena.kind === "deep") {
    arena.layers.forEach(({ outputs }, layer) => refreshMirror(arena, layer, 0, outputs));
    return;
  }
  const { latents, decoder } = arena.model;
  const lanes = laneScratch(arena.plan.precision);
  const round = roundingTo(arena.plan.precision);
  // A unit row is left as it is: dividing it by its norm again could change its last bits.
  if (decoder === "unit") arena.decoderNorm.fill(1);
  else for (let latent = 0; latent < latents; latent++) finishDecoderRow(arena, latent, lanes, round);
  const { finish } = ARCHITECTURES[arena.model.architecture];
  if (finish !== undefined) for (let latent = 0; latent < latents; latent++) finish(arena, latent, round);
  assert(arena.W_dec.value.length === latents * outputDimension(arena.model), "the decoder's length");
  for (let block = 0; block < arena.blockOrder.length; block++) arena.blockOrder[block] = block;
}

function initialiseSparse(arena: SparseArena, initialisation: Initialisation): void {
  const { latents, decoder } = arena.model;
  const dOut = outputDimension(arena.model);
  const { seed, decoderBias, decoderRows, decoderEntries = "normal" } = initialisation;
  const uniformEntries = decoderEntries === "uniform";
  if (decoderBias !== undefined) arena.b_dec.value.set(decoderBias);
  const direction = new Float64Array(dOut);
  for (let latent = 0; latent < latents; latent++) {
    const fromData = decoderRows !== undefined && (latent + 1) * dOut <= decoderRows.length;
    if (fromData) {
      for (let j = 0; j < dOut; j++) direction[j] = decoderRows[latent * dOut + j] - arena.b_dec.value[j];
    }
    const drawn = !fromData || direction.every((value) => value === 0);
    if (drawn) {
      for (let j = 0; j < dOut; j++) {
        const index = latent * dOut + j;
        direction[j] = uniformEntries
          ? (2 * uniform(seed, PURPOSE.decoderDirection, 0, index) - 1) / Math.sqrt(dOut)
          : gaussian(seed, PURPOSE.decoderDirection, 0, index);
      }
    }
    const length = lengthOf(direction);
    const asDrawn = drawn && uniformEntries ? length : FREE_DECODER_NORM;
    const norm = decoder === "free" ? (initialisation.decoderNorm ?? asDrawn) : 1;
    for (let j = 0; j < dOut; j++) arena.W_dec.value[latent * dOut + j] = (norm * direction[j]) / length;
  }
  const lanes = laneScratch(arena.plan.precision);
  const round = roundingTo(arena.plan.precision);
  for (let latent = 0; latent < latents; latent++) finishDecoderRow(arena, latent, lanes, round);
  initialiseEncoder(arena, initialisation);
  arena.threshold.value.fill(arena.model.jump?.initialThreshold ?? 0);
  refreshDerived(arena);
}

/** Sets the encoder's rows, when the decoder's are there. */
function initialiseEncoder(
  { model, W_enc, b_enc, W_dec, decoderNorm }: SparseArena,
  { seed, encoder = "tied", inputMean }: Initialisation,
): void {
  const { dIn, latents } = model;
  const transcodes = model.dOut !== undefined;
  if (transcodes && encoder === "scaled")
    throw new OptionError(
      "encoder",
      "encoder must be random in a transcoder: its decoder's rows are of another place",
    );
  if (!transcodes) W_enc.value.set(W_dec.value);
  if (encoder === "scaled") {
    for (let i = 0; i < W_enc.value.length; i++) W_enc.value[i] *= dIn / latents;
  } else if (encoder === "random" || transcodes) {
    const direction = new Float64Array(dIn);
    for (let latent = 0; latent < latents; latent++) {
      for (let j = 0; j < dIn; j++)
        direction[j] = gaussian(seed, PURPOSE.encoderDirection, 0, latent * dIn + j);
      const factor = decoderNorm[latent] / lengthOf(direction);
      for (let j = 0; j < dIn; j++) W_enc.value[latent * dIn + j] = factor * direction[j];
    }
  }
  if (inputMean === undefined) return;
  for (let latent = 0; latent < latents; latent++) {
    let product = 0;
    for (let j = 0; j < dIn; j++) product += W_enc.value[latent * dIn + j] * inputMean[j];
    b_enc.value[latent] = -product;
  }
}

function lengthOf(direction: Float64Array): number {
  return Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
}

/** Weights normal with variance 2/inputs (He et al. 2015, for ReLU), biases zero. */
function initialiseDeep(arena: DeepArena, seed: number): void {
  arena.layers.forEach((layer, index) => {
    if (layer.tiedTo !== undefined) return;
    const deviation = Math.sqrt(2 / layer.inputs);
    const { value } = layer.weight;
    for (let i = 0; i < value.length; i++)
      value[i] = deviation * gaussian(seed, PURPOSE.layerWeight, index, i);
  });
  refreshDerived(arena);
}

/**
 * The geometric median of `rows` [any number, dIn]: the point with the least summed distance to all rows
 * (Weiszfeld's iteration from the mean, until it moves less than `tolerance` of the spread, at most 100 times).
 * Rows that lie at the current point are treated as Vardi & Zhang (2000) do, so that it cannot stick to them.
 *
 * @throws OptionError unless there is at least one whole row
 */
export function geometricMedian(rows: FloatArray, dIn: number, tolerance = 1e-6): Float64Array {
  const count = rows.length / dIn;
  if (!Number.isInteger(count) || count < 1) {
    throw new OptionError(
      "rows",
      `a geometric median needs at least one whole row of ${dIn} values, got ${rows.length} values`,
    );
  }
  const median = new Float64Array(dIn);
  for (let i = 0; i < rows.length; i++) median[i % dIn] += rows[i] / count;
  const next = new Float64Array(dIn);
  const pull = new Float64Array(dIn);
  for (let iteration = 0; iteration < 100; iteration++) {
    next.fill(0);
    pull.fill(0);
    let weights = 0;
    let spread = 0;
    let here = 0;
    for (let row = 0; row < count; row++) {
      let square = 0;
      for (let j = 0; j < dIn; j++) square += (rows[row * dIn + j] - median[j]) ** 2;
      const distance = Math.sqrt(square);
      spread += distance / count;
      if (distance < 1e-12) {
        here++;
        continue;
      }
      const weight = 1 / distance;
      weights += weight;
      for (let j = 0; j < dIn; j++) {
        next[j] += weight * rows[row * dIn + j];
        pull[j] += weight * (rows[row * dIn + j] - median[j]);
      }
    }
    // Rows at this very point hold it against the pull of all others, one unit of pull each.
    const free = here === 0 ? 1 : Math.max(0, 1 - here / Math.hypot(...pull));
    if (weights === 0 || free === 0) break;
    let moved = 0;
    for (let j = 0; j < dIn; j++) {
      const value = free * (next[j] / weights) + (1 - free) * median[j];
      moved += (value - median[j]) ** 2;
      median[j] = value;
    }
    if (Math.sqrt(moved) <= tolerance * spread) break;
  }
  return median;
}
