/** From a finished model that works on raw activations to the parameters of a run that is to go on training it: the inverse of folding.ts. */
import type { SparseArena } from "./arena-sparse.ts";
import { parametersOf } from "./arena.ts";
import { ARCHITECTURES, hasThresholds } from "./architectures/index.ts";
import { finishDecoderRow } from "./decoder-parts.ts";
import { OptionError } from "./errors.ts";
import { refreshDerived } from "./initialise.ts";
import { type RowTransform, scaleOf } from "./normalisation.ts";
import { startCopies } from "./optimizers/index.ts";
import { roundingTo } from "./precision.ts";
import { laneScratch } from "./reference/chains.ts";
import { outputDimension } from "./setup.ts";
import type { Activation, SparseAutoencoder } from "./sparse-autoencoder.ts";

/**
 * Sets an initialised arena's parameters to those of `model`, in the coordinates of the rows that it is trained on: for
 * x′ = s·(x − μ) the arena then computes what the model does of x, pre-activations times the norms that a unit
 * decoder gives to them. Where TopK chooses among latents whose decoder rows had different norms, it may so choose others.
 * A latent whose decoder row is zero gives nothing: with a unit decoder, whose initial row it keeps, its encoder becomes zero. Moments are left as they are.
 *
 * @param transform how raw rows become those that the arena is trained on
 * @throws OptionError (initialModel) if sizes, LayerNorm or the skip map differ, or the architecture cannot go on from such a model
 */
export function initialiseFrom(arena: SparseArena, model: SparseAutoencoder, transform: RowTransform): void {
  requireAlike(arena, model, transform);
  const { dIn, latents, architecture, decoder, applyBDecToInput } = arena.model;
  const dOut = outputDimension(arena.model);
  const target = arena.model.dOut === undefined ? 0 : dIn;
  const { encoder, b_enc, W_dec, b_dec, activation, applyBDecToInput: subtracts, W_skip } = model.parts;
  const { mean } = transform;
  const lanes = laneScratch(arena.plan.precision);
  const round = roundingTo(arena.plan.precision);
  // What is left out of the pre-activation, or comes to it, where one encoder subtracts b_dec and the other does not.
  const moved = Number(applyBDecToInput) - Number(subtracts);

  for (let unit = 0; unit < dOut; unit++) {
    let base = b_dec[unit];
    for (let j = 0; W_skip !== undefined && j < dIn; j++) {
      const at = unit * dIn + j;
      arena.W_skip.value[at] = (W_skip[at] * scaleOf(transform, dIn + unit)) / scaleOf(transform, j);
      base += W_skip[at] * (mean?.[j] ?? 0);
    }
    arena.b_dec.value[unit] = (base - (mean?.[target + unit] ?? 0)) * scaleOf(transform, target + unit);
  }
  for (let latent = 0; latent < latents; latent++) {
    let square = 0;
    for (let j = 0; j < dOut; j++) square += (W_dec[latent * dOut + j] * scaleOf(transform, target + j)) ** 2;
    const norm = decoder === "unit" && square > 0 ? Math.sqrt(square) : 1;
    if (square > 0 || decoder === "free")
      for (let j = 0; j < dOut; j++) {
        const at = latent * dOut + j;
        arena.W_dec.value[at] = (W_dec[at] * scaleOf(transform, target + j)) / norm;
      }
    if (square === 0 && decoder === "unit") {
      silence(arena, latent);
      continue;
    }
    let shift = 0;
    let product = 0;
    for (let j = 0; j < dIn; j++) {
      const at = latent * dIn + j;
      arena.W_enc.value[at] = (encoder[at] * norm) / scaleOf(transform, j);
      if (!applyBDecToInput) shift += encoder[at] * norm * (mean?.[j] ?? 0);
      if (moved !== 0) product += encoder[at] * b_dec[j];
    }
    arena.b_enc.value[latent] = (b_enc[latent] + moved * product) * norm + shift;
    if (activation.kind === "gated") {
      const gain = Math.exp(activation.r_mag[latent]);
      arena.r_mag.value[latent] = activation.r_mag[latent];
      arena.b_mag.value[latent] = (activation.b_mag[latent] + gain * moved * product) * norm + gain * shift;
    }
    if (activation.kind === "jumprelu" && hasThresholds(ARCHITECTURES[architecture]))
      arena.threshold.value[latent] = activation.threshold[latent] * norm;
    finishDecoderRow(arena, latent, lanes, round);
  }
  refreshDerived(arena);
  for (const parameter of parametersOf(arena)) startCopies(parameter);
}

/** Leaves a latent without any pre-activation. */
function silence({ model, W_enc, b_enc, r_mag, b_mag }: SparseArena, latent: number): void {
  W_enc.value.fill(0, latent * model.dIn, (latent + 1) * model.dIn);
  for (const { value } of [b_enc, r_mag, b_mag]) if (value.length > 0) value[latent] = 0;
}

/** The activations of models from which an architecture can go on. */
function startsFrom(arena: SparseArena): readonly Activation["kind"][] {
  const kind = ARCHITECTURES[arena.model.architecture];
  // A model of BatchTopK has one threshold, which its training finds anew.
  if (kind.selection !== "positive") return ["topk", "jumprelu"];
  if (kind.gate === true) return ["gated"];
  return hasThresholds(kind) ? ["jumprelu"] : ["relu"];
}

function requireAlike(arena: SparseArena, model: SparseAutoencoder, { layerNorm }: RowTransform): void {
  const refuse = (what: string): OptionError => new OptionError("initialModel", what);
  const { dIn, latents, architecture, skip = false } = arena.model;
  const sizes = [
    ["dimensions", dIn, model.dIn],
    ["dimensions to rebuild", outputDimension(arena.model), model.dOut],
    ["latents", latents, model.latents],
  ] as const;
  for (const [what, here, there] of sizes)
    if (here !== there) throw refuse(`the model to begin with has ${there} ${what}, the new one ${here}`);
  const columnsOf = (widths: readonly number[] = []): string => widths.join(" + ") || "one vector";
  const [here, there] = [
    columnsOf(arena.model.columns),
    columnsOf(model.parts.columns?.map((one) => one.dIn)),
  ];
  if (here !== there && arena.model.dOut === undefined && layerNorm === undefined)
    throw refuse(`the model to begin with reads rows of ${there}, the new one of ${here}`);
  const { kind } = model.parts.activation;
  const possible = startsFrom(arena);
  if (!possible.includes(kind))
    throw refuse(`${architecture} cannot begin with a ${kind} model: it needs ${possible.join(" or ")}`);
  if (skip !== (model.parts.W_skip !== undefined))
    throw refuse(
      `the model to begin with has ${skip ? "no" : "a"} skip map, the new one has ${skip ? "one" : "none"}`,
    );
  const widths = (model.normalisedWidths ?? []).join();
  if (widths !== (layerNorm ?? []).join())
    throw refuse(
      `the model to begin with ${widths === "" ? "does not normalise" : "normalises"} rows by LayerNorm, the new one ${layerNorm === undefined ? "does not" : "does"}`,
    );
}
