/** A run's memory, and the typed-array views over its regions. Views are made once per thread. */
import { type DeepArena, openDeep } from "./arena-deep.ts";
import { openSparse, type SparseArena } from "./arena-sparse.ts";
import { ARCHITECTURES } from "./architectures/index.ts";
import { assert } from "./errors.ts";
import type { Plan } from "./plan.ts";
import { type ArenaBuffer, type ParameterViews, viewCommon, viewRegions } from "./views.ts";

/** A run's memory as its kind of model sees it. */
export type Arena = SparseArena | DeepArena;

/** The part of WebAssembly.Memory that we use; core compiles without the DOM's types. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

declare const WebAssembly: {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
};

/** Allocates the memory of `plan`, zeroed. `shared` makes it one that worker threads can see. */
export function allocateMemory(plan: Plan, options: { shared: boolean }): WasmMemory {
  const pages = plan.byteLength / 65536;
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: options.shared });
}

/** Makes the views of `plan` over `buffer`, which must hold plan.byteLength bytes. */
export function openArena(plan: Plan, buffer: ArenaBuffer): Arena {
  assert(
    buffer.byteLength >= plan.byteLength,
    `memory of ${buffer.byteLength} bytes for a plan of ${plan.byteLength}`,
  );
  const views = viewRegions(plan, buffer);
  const common = viewCommon(plan, views);
  const { model } = plan.setup;
  return model.kind === "sparse" ? openSparse(plan, model, common, views) : openDeep(model, common, views);
}

/** The parameter tensors of an arena, in a fixed order. */
export function parametersOf(arena: Arena): ParameterViews[] {
  if (arena.kind === "sparse") {
    const weights = [arena.W_enc, arena.b_enc, arena.W_dec, arena.b_dec];
    const { scalars = [] } = ARCHITECTURES[arena.model.architecture];
    const skip = arena.model.skip === true ? [arena.W_skip] : [];
    return [...weights, ...scalars.map((name) => arena[name]), ...skip];
  }
  return arena.layers.flatMap(({ weight, bias, tiedTo }) => (tiedTo === undefined ? [weight, bias] : [bias]));
}
