/** Byte offsets of a plan's regions, as the WebAssembly kernels take them. */
import type { AdamStep } from "../adam.ts";
import type { Plan } from "../plan.ts";
import type { KernelExports } from "./instance.ts";

/** Looks up a region's byte offset. Throws for a name that the plan does not have. */
export type Pointers = (name: string) => number;

export function pointersOf(plan: Plan): Pointers {
  const offsets = new Map(plan.regions.map((region) => [region.name, region.byteOffset]));
  return (name) => {
    const offset = offsets.get(name);
    if (offset === undefined) throw new Error(`internal: the plan has no region ${name}`);
    return offset;
  };
}

/** Where a parameter tensor and its moments lie. */
export interface ParameterPointers {
  readonly value: number;
  readonly m: number;
  readonly v: number;
  readonly gradient: number;
}

/** Byte offsets of a parameter's regions; only its value exists in a plan that evaluates. */
export function parameterPointers(plan: Plan, name: string): ParameterPointers {
  const at = pointersOf(plan);
  if (plan.purpose === "evaluate") return { value: at(name), m: 0, v: 0, gradient: 0 };
  return { value: at(name), m: at(`${name}.m`), v: at(`${name}.v`), gradient: at(`${name}.gradient`) };
}

/** Where what flows back into W_enc·input is summed by latent: with b_enc's gradient, unless a gate parts the two. */
export function inputGradientPointer(plan: Plan): number {
  if (plan.purpose === "evaluate") return 0;
  const own = plan.regions.find(({ name }) => name === "inputGradient");
  return own?.byteOffset ?? parameterPointers(plan, "b_enc").gradient;
}

/** Adam on `length` elements from `byteOffset` on, with the gradient at pointer `gradient`. */
export function adamOn(
  wasm: KernelExports,
  parameter: ParameterPointers,
  byteOffset: number,
  gradient: number,
  length: number,
  adam: AdamStep,
): void {
  const { beta1, complement1, beta2, complement2, epsilon, stepSize, inverseRootCorrection2 } = adam;
  const { value, m, v } = parameter;
  wasm.adam(
    value + byteOffset,
    m + byteOffset,
    v + byteOffset,
    gradient,
    length,
    beta1,
    complement1,
    beta2,
    complement2,
    epsilon,
    stepSize,
    inverseRootCorrection2,
  );
}
