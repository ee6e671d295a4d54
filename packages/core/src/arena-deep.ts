/** The views of a deep autoencoder's run: what each is, and from which region it comes. Regions: plan-deep.ts. */
import { tiedTo } from "./deep-options.ts";
import type { DeepModelSetup } from "./setup.ts";
import type { FloatArray } from "./precision.ts";
import type { CommonViews, ParameterViews, RegionViews } from "./views.ts";

/** Views of one fully connected layer of a deep autoencoder. */
export interface LayerViews {
  readonly inputs: number;
  readonly outputs: number;
  readonly relu: boolean;
  /** The layer of whose weights this one has the transposes, see deep-options.ts. */
  readonly tiedTo: number | undefined;
  /** [outputs, inputs]; only its values where it is tied. */
  readonly weight: ParameterViews;
  readonly bias: ParameterViews;
  /** [B, outputs]. */
  readonly activation: FloatArray;
  /** ∂loss/∂z of this layer [B, outputs]. */
  readonly delta: FloatArray;
}

/** Views of a deep autoencoder's run. B batchRows. */
export interface DeepArena extends CommonViews {
  readonly kind: "deep";
  readonly model: DeepModelSetup;
  readonly layers: readonly LayerViews[];
}

/** Makes the views of a deep model's run. */
export function openDeep(
  model: DeepModelSetup,
  common: CommonViews,
  { float, parameter }: RegionViews,
): DeepArena {
  const last = model.widths.length - 2;
  const layers = Array.from(
    { length: last + 1 },
    (_, layer): LayerViews => ({
      inputs: model.widths[layer] as number,
      outputs: model.widths[layer + 1] as number,
      relu: layer < last || model.outputActivation === "relu",
      tiedTo: tiedTo(model, layer),
      weight: parameter(`layers.${layer}.weight`),
      bias: parameter(`layers.${layer}.bias`),
      activation: float(`activation.${layer + 1}`),
      delta: float(`delta.${layer + 1}`),
    }),
  );
  return { kind: "deep", model, ...common, layers };
}
