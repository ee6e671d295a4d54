/** Choosing an implementation of the stages. */
import type { WasmMemory } from "./arena.ts";
import type { Kernels } from "./kernels.ts";
import type { Plan } from "./plan.ts";
import { referenceKernels } from "./reference/index.ts";
import { wasmKernels } from "./wasm/index.ts";
import { probeVariant, type WasmVariant } from "./wasm/instance.ts";
import type { KernelExports } from "./wasm/kernel-exports.ts";

/**
 * An implementation of the stages. `reference` and `wasm-relaxed-simd` give the same bits (but for double rounding
 * in about one of 2²⁹ operations of the reference); the others round each product and give other last bits.
 */
export type KernelVariant = "reference" | WasmVariant;

/** The fastest variant that this machine runs. */
export function bestKernelVariant(): KernelVariant {
  return probeVariant() ?? "reference";
}

/** What {@link createKernels} can be asked for. */
export interface KernelOptions {
  /**
   * Tile the products for 256-bit vectors. Faster only where the engine joins 128-bit operations, in V8 with
   * `--experimental-wasm-revectorize` set before the kernels are made; the bits are the same. Default false.
   */
  readonly wideSimd?: boolean;
  /**
   * Whether screening's integer product adds up in 32 bits, not 16: all threads that share a memory alike. The bits of
   * results are the same. Default: as is faster on this machine.
   */
  readonly wideSums?: boolean;
  /**
   * Gets the WebAssembly functions and gives those to use instead, for whoever times them one by one. The reference
   * has none. Default: as they are.
   */
  readonly wrapFunctions?: (functions: KernelExports) => KernelExports;
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
  return wasmKernels(plan, memory, variant, options);
}
