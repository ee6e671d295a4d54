/** Byte offsets of a plan's regions, as the WebAssembly kernels take them. */
import type { Plan } from "../plan.ts";

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

/** Where a parameter tensor and its gradient lie. */
export interface ParameterPointers {
  readonly value: number;
  readonly gradient: number;
}

/** Byte offsets of a parameter's regions; only its value exists in a plan that evaluates. */
export function parameterPointers(plan: Plan, name: string): ParameterPointers {
  const at = pointersOf(plan);
  return { value: at(name), gradient: plan.purpose === "evaluate" ? 0 : at(`${name}.gradient`) };
}

/** Where what flows back into W_enc·input is summed by latent: with b_enc's gradient, unless a gate parts the two. */
export function inputGradientPointer(plan: Plan): number {
  if (plan.purpose === "evaluate") return 0;
  const own = plan.regions.find(({ name }) => name === "inputGradient");
  return own?.byteOffset ?? parameterPointers(plan, "b_enc").gradient;
}
