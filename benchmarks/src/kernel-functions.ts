/**
 * The WebAssembly functions below core's stages: the product alone and the machine's limit cannot be timed through
 * the stages. Core does not publish them, so they are loaded from its folder; nothing else here may do that.
 */
import { fileURLToPath, pathToFileURL } from "node:url";
import { dirname, join } from "node:path";
import type { WasmMemory } from "@sparseloom/core";

/** The functions of core's module that are timed one by one. Pointers are byte offsets into the memory. */
export interface KernelFunctions {
  /** Rows [rows, dIn] into panels of 8 rows, [panel][dimension][8]. */
  packRows(packed: number, x: number, bias: number, centred: number, rows: number, dIn: number): void;
  /** Pre-activations [panel][unit][8] of packed rows, and the maxima of groups of 6·tilesPerGroup units. */
  product(
    z: number,
    packed: number,
    panels: number,
    start: number,
    w: number,
    units: number,
    dIn: number,
    maxima: number,
    tilesPerGroup: number,
    wide: 0 | 1,
  ): void;
  /** {@link FLOP_PER_ROUND} operations per round on registers alone. */
  multiplyAdds(rounds: number): number;
}

/** Operations of a round of `multiplyAdds`: 12 vectors of 4 multiply-adds. */
export const FLOP_PER_ROUND = 96;

/** Instantiates the kernels with fused multiply-adds over `memory`, which must be shared. */
export async function loadKernelFunctions(memory: WasmMemory): Promise<KernelFunctions> {
  const core = dirname(fileURLToPath(import.meta.resolve("@sparseloom/core/package.json")));
  const module = (await import(pathToFileURL(join(core, "src/wasm/instance.ts")).href)) as {
    instantiate(variant: "wasm-relaxed-simd", memory: WasmMemory): KernelFunctions;
  };
  return module.instantiate("wasm-relaxed-simd", memory);
}
