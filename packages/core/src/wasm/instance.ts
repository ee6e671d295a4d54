/**
 * The compiled kernels: choosing the variant that this machine can run, and instantiating it over a memory. Public as
 * `@sparseloom/core/kernels`, for whoever times single functions; trainers use the stages of `createKernels`.
 */
import type { WasmMemory } from "../arena.ts";
import type { IntegerSums } from "./integer-sums.ts";
import type { KernelExports } from "./kernel-exports.ts";
import { RELAXED_SIMD_MODULE, SIMD_MODULE } from "./modules.generated.ts";

export {
  DEEP_ROW_BLOCK,
  DIMENSION_BLOCK,
  LATENT_BLOCK,
  ROW_BLOCK,
  UNIT_BLOCK,
} from "../block-sizes.ts";
export { LATENT_TERMS, PANEL, quantisedPanelBytes, ROW_TERMS, screenTile, WIDE_TILE } from "../tiles.ts";
export { type IntegerSums, integerSums } from "./integer-sums.ts";
export type { GatheredFrom, GatheredInto, KernelExports } from "./kernel-exports.ts";

/** How products are tiled; no bit of a result depends on it. */
export interface Tiling extends IntegerSums {
  /** Two panels of rows at a time, for engines that join 128-bit operations into 256-bit ones. */
  readonly wide: 0 | 1;
}

/**
 * A variant of the kernels. Runs of different variants need not agree to the bit: relaxed SIMD agrees with the
 * reference where its multiply-add is fused; plain SIMD rounds twice.
 */
export type WasmVariant = "wasm-relaxed-simd" | "wasm-relaxed-simd-unfused" | "wasm-simd";

// Core compiles without the DOM's types; this is what it needs of WebAssembly's.
interface WasmModule {
  readonly isWasmModule: true;
}
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule, imports: object) => { readonly exports: unknown };
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
  validate(bytes: Uint8Array): boolean;
};
declare const atob: (base64: string) => string;

function decode(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/**
 * The best variant that this machine runs, or undefined where it has no WebAssembly SIMD with shared memory (as web
 * pages that are not cross-origin isolated).
 */
export function probeVariant(): WasmVariant | undefined {
  if (typeof WebAssembly === "undefined" || typeof SharedArrayBuffer === "undefined") return undefined;
  if (WebAssembly.validate(decode(RELAXED_SIMD_MODULE))) {
    const wasm = instantiate("wasm-relaxed-simd", scratchMemory());
    // (1 + 2⁻¹²)² − (1 + 2⁻¹¹) is 2⁻²⁴ when the product is not rounded before the sum, else 0.
    return wasm.maddScalar(1 + 2 ** -12, 1 + 2 ** -12, -(1 + 2 ** -11)) === 2 ** -24
      ? "wasm-relaxed-simd"
      : "wasm-relaxed-simd-unfused";
  }
  return WebAssembly.validate(decode(SIMD_MODULE)) ? "wasm-simd" : undefined;
}

/** A memory of at least `bytes`, zeroed, for functions called without a plan. Default: what must be there at least. */
export function scratchMemory(bytes: number = 1): WasmMemory {
  const pages = Math.ceil(bytes / 65536);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** A custom section of WebAssembly, named "wide" and empty: it means nothing. */
const WIDE_SECTION: readonly number[] = [0, 5, 4, 0x77, 0x69, 0x64, 0x65];

/**
 * The kernels' functions over `memory`, which must be shared. V8 compiles a function once for all of a process's modules of the same
 * bytes, by the flags of that moment: those for 256-bit vectors (`wide`) have other bytes, lest they run code that was compiled before
 * the flag was set. (A step at L then took 660 ms instead of 250.)
 */
export function instantiate(variant: WasmVariant, memory: WasmMemory, wide = false): KernelExports {
  const bytes = decode(variant === "wasm-simd" ? SIMD_MODULE : RELAXED_SIMD_MODULE);
  const module = new WebAssembly.Module(wide ? Uint8Array.of(...bytes, ...WIDE_SECTION) : bytes);
  return new WebAssembly.Instance(module, { env: { memory } }).exports as KernelExports;
}
