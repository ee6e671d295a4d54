/** A run's state as named tensors: what a checkpoint holds. Everything else follows from it and the configuration. */
import { type Arena, parametersOf } from "./arena.ts";
import type { FloatArray } from "./precision.ts";
import { refreshDerived } from "./initialise.ts";

/** A named tensor over the arena's own memory (a view, not a copy). */
export interface StateTensor {
  readonly shape: readonly number[];
  readonly data: FloatArray;
}

/** What may be kept for a parameter, in the order of a checkpoint. */
const KEPT = ["m", "v", "z", "average"] as const;

/** Parameters, what the optimiser keeps for them, the latents' activity counters, BatchTopK's moving threshold and p-annealing's λ, as views, in a fixed order. */
export function stateTensors(arena: Arena): Record<string, StateTensor> {
  const tensors: Record<string, StateTensor> = {};
  for (const { name, shape, value, ...kept } of parametersOf(arena)) {
    tensors[name] = { shape, data: value };
    for (const of of KEPT) if (kept[of].length > 0) tensors[`${name}.${of}`] = { shape, data: kept[of] };
  }
  if (arena.kind === "sparse") {
    const shape = [arena.model.latents];
    tensors["lastFired"] = { shape, data: arena.lastFired };
    tensors["fireCount"] = { shape, data: arena.fireCount };
    if (arena.pAnnealing.length > 0)
      tensors["pAnnealing"] = { shape: [arena.pAnnealing.length], data: arena.pAnnealing };
    if (arena.batchThreshold.length > 0)
      tensors["batchThreshold"] = { shape: [2], data: arena.batchThreshold.subarray(0, 2) };
  }
  return tensors;
}

/**
 * Copies saved tensors into the arena.
 *
 * @throws Error when a tensor is missing or has another length: the checkpoint belongs to another configuration.
 */
export function loadState(
  arena: Arena,
  saved: Readonly<Record<string, { readonly data: ArrayLike<number> }>>,
): void {
  for (const [name, { data }] of Object.entries(stateTensors(arena))) {
    const source = saved[name];
    if (source === undefined) throw new Error(`the checkpoint has no tensor ${name}`);
    if (source.data.length !== data.length) {
      throw new Error(
        `tensor ${name} of the checkpoint has ${source.data.length} elements, expected ${data.length}`,
      );
    }
    data.set(source.data);
  }
  refreshDerived(arena);
}
