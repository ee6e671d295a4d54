/**
 * The folder of a crosscoder. SAELens has no such architecture, and a folder for each column would be wrong, since the
 * columns are encoded together: this is its layout with keys of our own, under an architecture that its loader refuses.
 *
 *   W_enc [Σ d_in, d_sae]   W_dec [d_sae, Σ d_in]   b_dec [Σ d_in]   the columns one after the other
 */
import {
  type SaeLensFiles,
  type SaeLensMetadata,
  type SaeLensModel,
  SaeLensError,
  saeLensParts,
} from "./sae-lens.ts";

/** One of the vectors that lie side by side in a crosscoder's rows. */
export interface CrosscoderColumn {
  readonly name: string;
  readonly dIn: number;
}

/**
 * The files of a crosscoder in pieces, to be written one after the other. `cfg.json` has `architecture` crosscoder,
 * `activation` (SAELens's name of the architecture beside it), and `columns` with `name` and `d_in` of each.
 *
 * @param model its dIn is the sum of the columns'
 * @throws SaeLensError as `saeLensParts`, and where the columns do not sum to dIn
 */
export function crosscoderParts(
  model: SaeLensModel,
  columns: readonly CrosscoderColumn[],
  metadata: SaeLensMetadata,
): Readonly<Record<keyof SaeLensFiles, readonly Uint8Array[]>> {
  const sum = columns.reduce((total, { dIn }) => total + dIn, 0);
  if (sum !== model.dIn)
    throw new SaeLensError("columns", `have ${sum} dimensions together, expected dIn, which is ${model.dIn}`);
  return saeLensParts(model, metadata, {
    architecture: "crosscoder",
    activation: model.architecture,
    columns: columns.map(({ name, dIn }) => ({ name, d_in: dIn })),
  });
}
