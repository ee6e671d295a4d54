/** From what a sparse run has trained to a model that works on raw activations: scaling, mean and norms are folded in. */
import type { SparseArena } from "./arena-sparse.ts";
import { ARCHITECTURES, hasThresholds } from "./architectures/index.ts";
import { OptionError } from "./errors.ts";
import { BATCH_THRESHOLD } from "./fields.ts";
import { type RowTransform, scaleOf } from "./normalisation.ts";
import { outputDimension } from "./setup.ts";
import { type Activation, SparseAutoencoder, type SparseAutoencoderParts } from "./sparse-autoencoder.ts";

/** What is divided out of the decoder at export. */
export type Fold =
  /** Only the scaling of the rows: decoder rows of a unit-norm architecture then have norm 1/scale. */
  | "scale"
  /** Also each decoder row's norm: rows have norm 1, features carry the magnitude in raw units. */
  | "unit";

/**
 * The model that a run has trained, folded to work on raw activations: for x′ = s·(x − μ),
 * W_enc·s, W_dec/s, b_dec/s + μ, and b_enc − s·μ·W_enc where the encoder does not subtract b_dec. Pre-activations stay
 * what they were, times the decoder's norm where that is folded; thresholds and a gate's magnitudes go with them. A
 * BatchTopK autoencoder gets its moving threshold. A crosscoder's columns have a scale each, and one norm together.
 * Of a transcoder the transform is of its input and its target, side by side. LayerNorm is not folded: the model does it;
 * several vectors in a row then are its `columns`, named by number. The matrices are put into `memory` where
 * given, of latents · dIn and latents · dOut numbers.
 */
export function foldedModel(
  arena: SparseArena,
  transform: RowTransform,
  fold: Fold,
  memory?: { readonly encoder: Float32Array; readonly W_dec: Float32Array },
): SparseAutoencoder {
  const { dIn, latents, k, architecture, applyBDecToInput } = arena.model;
  const threshold = new Float32Array(latents);
  const kind = ARCHITECTURES[architecture];
  const { selection, gate = false } = kind;
  const thresholds = hasThresholds(kind);
  const r_mag = Float32Array.from(arena.r_mag.value);
  const b_mag = new Float32Array(gate ? latents : 0);
  const { mean } = transform;
  const dOut = outputDimension(arena.model);
  // A transcoder's target comes after its input in the rows that the transform is of.
  const target = arena.model.dOut === undefined ? 0 : dIn;
  const encoder = memory?.encoder ?? new Float32Array(latents * dIn);
  const b_enc = new Float32Array(latents);
  const W_dec = memory?.W_dec ?? new Float32Array(latents * dOut);
  const b_dec = new Float32Array(dOut);
  for (let j = 0; j < dOut; j++) {
    const shift = mean === undefined ? 0 : mean[target + j];
    b_dec[j] = arena.b_dec.value[j] / scaleOf(transform, target + j) + shift;
  }
  for (let latent = 0; latent < latents; latent++) {
    let square = 0;
    let shift = 0;
    for (let j = 0; j < dOut; j++)
      square += (arena.W_dec.value[latent * dOut + j] / scaleOf(transform, target + j)) ** 2;
    if (!applyBDecToInput && mean !== undefined)
      for (let j = 0; j < dIn; j++)
        shift += scaleOf(transform, j) * mean[j] * arena.W_enc.value[latent * dIn + j];
    const factor = fold === "unit" && square > 0 ? Math.sqrt(square) : 1;
    for (let j = 0; j < dIn; j++) {
      const at = latent * dIn + j;
      encoder[at] = arena.W_enc.value[at] * scaleOf(transform, j) * factor;
    }
    for (let j = 0; j < dOut; j++) {
      const at = latent * dOut + j;
      W_dec[at] = arena.W_dec.value[at] / (scaleOf(transform, target + j) * factor);
    }
    b_enc[latent] = (arena.b_enc.value[latent] - shift) * factor;
    // exp(r_mag) multiplies what W_enc gives, so that it stays, and the shift of W_enc's result comes with it.
    if (gate) b_mag[latent] = (arena.b_mag.value[latent] - Math.exp(r_mag[latent]) * shift) * factor;
    if (thresholds) threshold[latent] = arena.threshold.value[latent] * factor;
    if (selection === "batch") threshold[latent] = arena.batchThreshold[BATCH_THRESHOLD.moving] * factor;
  }
  const activation: Activation =
    selection === "topk"
      ? { kind: "topk", k }
      : thresholds || selection === "batch"
        ? { kind: "jumprelu", threshold }
        : gate
          ? { kind: "gated", r_mag, b_mag }
          : { kind: "relu" };
  return new SparseAutoencoder({
    dIn,
    latents,
    activation,
    applyBDecToInput,
    encoder,
    b_enc,
    W_dec,
    b_dec,
    ...(arena.model.dOut === undefined ? {} : { dOut }),
    ...(arena.model.skip === true ? { W_skip: foldedSkip(arena, transform, b_dec) } : {}),
    ...layerNormOf(transform, arena.model.dOut !== undefined),
  });
}

/** The parts of a model whose rows are to be normalised. @throws OptionError for a transcoder */
function layerNormOf(
  { layerNorm }: RowTransform,
  transcodes: boolean,
): Pick<SparseAutoencoderParts, "layerNorm" | "columns"> {
  if (layerNorm === undefined) return {};
  if (transcodes)
    throw new OptionError(
      "transform",
      "LayerNorm is not for a transcoder: what it took from the target is not known when that is rebuilt",
    );
  if (layerNorm.length === 1) return { layerNorm: true };
  return { layerNorm: true, columns: layerNorm.map((dIn, i) => ({ name: String(i), dIn })) };
}

/** W_skip·s_x/s_y, which takes its share of the input's mean, −W_skip′·μ_x, to b_dec. */
function foldedSkip(arena: SparseArena, transform: RowTransform, b_dec: Float32Array): Float32Array {
  const { dIn } = arena.model;
  const W_skip = new Float32Array(arena.W_skip.value.length);
  for (let unit = 0; unit < b_dec.length; unit++) {
    let shift = 0;
    for (let j = 0; j < dIn; j++) {
      const at = unit * dIn + j;
      W_skip[at] = (arena.W_skip.value[at] * scaleOf(transform, j)) / scaleOf(transform, dIn + unit);
      shift += W_skip[at] * (transform.mean?.[j] ?? 0);
    }
    b_dec[unit] -= shift;
  }
  return W_skip;
}
