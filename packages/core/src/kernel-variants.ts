/** Choosing an implementation of the stages. */
import type { WasmMemory } from "./arena.ts";
import type { Kernels } from "./kernels.ts";
import type { Plan } from "./plan.ts";
import { referenceKernels } from "./reference/index.ts";
import { wasmKernels } from "./wasm/index.ts";
import { instantiate, probeVariant, smallestMemory, type WasmVariant } from "./wasm/instance.ts";

/**
 * An implementation of the stages. `reference` and `wasm-relaxed-simd` give the same bits (but for double rounding
 * in about one of 2²⁹ operations of the reference); the others round each product and give other last bits.
 */
export type KernelVariant = "reference" | WasmVariant;

/** The fastest variant that this machine runs. */
export function bestKernelVariant(): KernelVariant {
  return probeVariant() ?? "reference";
}

export interface KernelOptions {
  /**
   * Tile the products for 256-bit vectors. Faster only where the engine joins 128-bit operations, in V8 with
   * `--experimental-wasm-revectorize` set before the kernels are made; the bits are the same. Default false.
   */
  readonly wideSimd?: boolean;
}

/**
 * The kernels of `variant` over the memory laid out by `plan`; one instance per thread.
 *
 * @param memory a shared memory; only the reference does with one that is not
 */
export function createKernels(
  variant: KernelVariant,
  plan: Plan,
  memory: WasmMemory,
  options: KernelOptions = {},
): Kernels {
  if (variant === "reference") return referenceKernels(plan.precision);
  return wasmKernels(plan, memory, variant, options.wideSimd ?? false);
}

/** Rounds of one measurement: short, and many of them, so that the engine compiles the loop properly early on. */
const ROUNDS = 20_000;
const CALLS = 300;
/** 12 chains × 4 lanes × multiply and add. */
const FLOP_PER_ROUND = 96;

/**
 * This thread's limit for the kernels' products in GFLOP/s: 128-bit multiply-adds on registers alone, the best of
 * 300 short runs (about 0.2 s). Undefined for the reference, which has no such limit.
 */
export function multiplyAddLimit(variant: KernelVariant): number | undefined {
  if (variant === "reference") return undefined;
  const wasm = instantiate(variant, smallestMemory());
  let best = Number.POSITIVE_INFINITY;
  for (let call = 0; call < CALLS; call++) {
    const began = performance.now();
    wasm.multiplyAdds(ROUNDS, 1e-3);
    best = Math.min(best, performance.now() - began);
  }
  return (ROUNDS * FLOP_PER_ROUND) / best / 1e6;
}
