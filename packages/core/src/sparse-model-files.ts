/**
 * A sparse autoencoder's folder: what its two files, SAELens's `cfg.json` and `sae_weights.safetensors`, say it is made
 * of. Files are read by the caller.
 */
import { OptionError } from "./errors.ts";
import { formOf } from "./model-form.ts";
import { decodeSafetensors, float32Elements } from "./safetensors.ts";
import type { Activation, SparseAutoencoderParts } from "./sparse-autoencoder.ts";
import { transpose } from "./transpose.ts";

/** The architectures of a `cfg.json` that can be read. */
const KNOWN = ["standard", "topk", "jumprelu", "gated"] as const;

function isKnown(architecture: unknown): architecture is (typeof KNOWN)[number] {
  return (KNOWN as readonly unknown[]).includes(architecture);
}

/**
 * Reads a model folder's contents.
 *
 * @param cfg the parsed `cfg.json`
 * @param weights the bytes of `sae_weights.safetensors`
 * @throws OptionError if the architecture is not one we know, a tensor is missing or has another shape, or rows would
 * have to be normalised at run time in another way than by LayerNorm
 */
export function readSparseParts(cfg: unknown, weights: Uint8Array): SparseAutoencoderParts {
  const config = cfg as Record<string, unknown>;
  const wrong = (what: string): OptionError =>
    new OptionError("model", `not a model that can be loaded: ${what}`);
  if (typeof cfg !== "object" || cfg === null) throw wrong("cfg.json is not an object");
  const whole = (key: string): number => {
    const value = config[key];
    if (!Number.isInteger(value) || (value as number) < 1) throw wrong(`cfg.json has no whole number ${key}`);
    return value as number;
  };
  const { architecture, columns, transcodes, skips } = formOf(config);
  if (!isKnown(architecture))
    throw wrong(`architecture must be ${KNOWN.join(" or ")}, got ${String(architecture)}`);
  // What else would change rows at run time is not done here: refused, or every number would be silently wrong.
  const normalization = config["normalize_activations"] ?? "none";
  const layerNorm = normalization === "layer_norm";
  if (normalization !== "none" && !layerNorm) {
    throw wrong(
      normalization === "constant_norm_rescale"
        ? `normalize_activations is "constant_norm_rescale", by which each row is rescaled by its own norm: no weights can take that over`
        : `normalize_activations is ${JSON.stringify(normalization)}: fold it into the weights, so that it is "none"`,
    );
  }
  if (layerNorm && transcodes)
    throw wrong("normalize_activations of a transcoder must be none, got layer_norm");
  const dIn = whole("d_in");
  const dOut = transcodes ? whole("d_out") : dIn;
  const latents = whole("d_sae");
  const { tensors } = decodeSafetensors(weights);
  const tensor = (name: string, length: number): Float32Array => {
    const found = tensors.get(name);
    const data = found === undefined ? undefined : float32Elements(found);
    if (data === undefined)
      throw wrong(
        found === undefined
          ? `no tensor ${name}`
          : `tensor ${name} is ${found.dtype}; F32, F16 and BF16 can be read`,
      );
    if (data.length !== length) throw wrong(`tensor ${name} has ${data.length} elements, expected ${length}`);
    return data;
  };
  const activationOf = {
    standard: (): Activation => ({ kind: "relu" }),
    topk: (): Activation => ({ kind: "topk", k: whole("k") }),
    // Below 0 a threshold lets nothing more through: SAELens takes the ReLU first.
    jumprelu: (): Activation => ({
      kind: "jumprelu",
      threshold: tensor("threshold", latents).map((value) => Math.max(0, value)),
    }),
    gated: (): Activation => ({
      kind: "gated",
      r_mag: tensor("r_mag", latents),
      b_mag: tensor("b_mag", latents),
    }),
  };
  const parts: SparseAutoencoderParts = {
    dIn,
    latents,
    activation: activationOf[architecture](),
    applyBDecToInput: !transcodes && config["apply_b_dec_to_input"] !== false,
    encoder: transpose(tensor("W_enc", dIn * latents), dIn, latents),
    b_enc: tensor(architecture === "gated" ? "b_gate" : "b_enc", latents),
    W_dec: tensor("W_dec", latents * dOut),
    b_dec: tensor("b_dec", dOut),
    ...(transcodes ? { dOut } : {}),
    ...(skips ? { W_skip: tensor("W_skip", dOut * dIn) } : {}),
    ...(columns === undefined ? {} : { columns }),
    ...(layerNorm ? { layerNorm } : {}),
  };
  if (parts.activation.kind === "topk" && parts.activation.k > latents)
    throw wrong(`k is ${parts.activation.k}, more than the ${latents} latents`);
  const rescaled = architecture === "topk" && config["rescale_acts_by_decoder_norm"] === true;
  return rescaled ? withUnitDecoder(parts) : parts;
}

/**
 * The same model with decoder rows of norm 1. Features take over the norms: SAELens's `rescale_acts_by_decoder_norm`
 * multiplies pre-activations by them before it selects, and divides by them when it decodes.
 */
function withUnitDecoder(parts: SparseAutoencoderParts): SparseAutoencoderParts {
  const { dIn, latents, dOut = dIn } = parts;
  const encoder = Float32Array.from(parts.encoder);
  const b_enc = Float32Array.from(parts.b_enc);
  const W_dec = Float32Array.from(parts.W_dec);
  for (let latent = 0; latent < latents; latent++) {
    const row = W_dec.subarray(latent * dOut, (latent + 1) * dOut);
    const norm = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    // SAELens divides by zero here and decodes to NaN; a latent without direction adds nothing.
    if (norm === 0) continue;
    b_enc[latent] *= norm;
    for (let j = 0; j < dIn; j++) encoder[latent * dIn + j] *= norm;
    for (let j = 0; j < dOut; j++) row[j] /= norm;
  }
  return { ...parts, encoder, b_enc, W_dec };
}
