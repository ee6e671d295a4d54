/** The implementations of the stages that are measured side by side. */
import {
  bestKernelVariant,
  type Arena,
  createKernels,
  type Kernels,
  type WasmMemory,
} from "@sparseloom/core";
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

/** The kernels of `variant` over the memory of `arena`. */
export function kernelsOf(variant: Variant, arena: Arena, memory: WasmMemory): Kernels {
  const name = variant === "reference" ? "reference" : bestKernelVariant();
  return createKernels(name, arena.plan, memory, { wideSimd: variant === "wide" });
}

/** Rows of the mini-batch that a variant is timed with. */
export function rowsOf(variant: Variant, shape: Shape): number {
  return variant === "reference" ? shape.referenceRows : shape.rows;
}
