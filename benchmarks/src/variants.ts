/** The implementations of the stages that are measured side by side. */
import {
  type Arena,
  bestKernelVariant,
  createKernels,
  type Kernels,
  type KernelVariant,
  type WasmMemory,
} from "@sparseloom/core";
import type { KernelExports } from "@sparseloom/core/kernels";
import type { Shape } from "./shapes.ts";

/** `wide` is `wasm` with products tiled for 256-bit vectors, in a process that has the flag of V8 for them. */
export type Variant = "reference" | "wasm" | "wide";

/** All of them, the slowest first. */
export const VARIANTS: readonly Variant[] = ["reference", "wasm", "wide"];

/** What the process of a variant needs on Node's command line. */
export const NODE_FLAGS: Readonly<Record<Variant, readonly string[]>> = {
  reference: [],
  wasm: [],
  wide: ["--experimental-wasm-revectorize"],
};

/** What core calls a variant's kernels. */
export function kernelNameOf(variant: Variant): KernelVariant {
  return variant === "reference" ? "reference" : bestKernelVariant();
}

/** The kernels of `variant` over the memory of `arena`; `wrapFunctions` as in core's KernelOptions. */
export function kernelsOf(
  variant: Variant,
  arena: Arena,
  memory: WasmMemory,
  wrapFunctions: (functions: KernelExports) => KernelExports,
): Kernels {
  const wideSimd = variant === "wide";
  return createKernels(kernelNameOf(variant), arena.plan, memory, { wideSimd, wrapFunctions });
}

/** Rows of the mini-batch that a variant is timed with. */
export function rowsOf(variant: Variant, shape: Shape): number {
  return variant === "reference" ? shape.referenceRows : shape.rows;
}
