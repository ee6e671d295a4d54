/** A finished model's parameters where training keeps averages of them: views in which these take the parameters' place. */
import { type Arena, parametersOf } from "./arena.ts";
import type { LayerViews } from "./arena-deep.ts";
import { transposeUnits } from "./deep-options.ts";
import type { ParameterViews } from "./views.ts";

/** A tied layer's weight with the transposes of its encoder's averages, where there are any. */
function averagedCopy({ weight }: LayerViews, { inputs, outputs, weight: of }: LayerViews): ParameterViews {
  if (of.average.length === 0) return weight;
  const value = weight.value.slice();
  transposeUnits(value, of.average, inputs, outputs, 0, outputs);
  return { ...weight, value };
}

/** An arena's views with the averages of the parameters in their place, where training keeps them; only tied weights are copied. */
export function averagedViews(arena: Arena): Arena {
  const of = (parameter: ParameterViews): ParameterViews =>
    parameter.average.length > 0 ? { ...parameter, value: parameter.average } : parameter;
  if (arena.kind === "deep") {
    const layers = arena.layers.map((layer) => ({
      ...layer,
      weight: of(layer.tiedTo === undefined ? layer.weight : averagedCopy(layer, arena.layers[layer.tiedTo])),
      bias: of(layer.bias),
    }));
    return { ...arena, layers };
  }
  const parameters = Object.fromEntries(
    parametersOf(arena).map((parameter) => [parameter.name, of(parameter)]),
  );
  return { ...arena, ...parameters };
}
