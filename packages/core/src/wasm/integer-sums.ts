/** How screening's integer product adds up on this machine, see assembly/screen.ts. */
import type { WasmVariant } from "./instance.ts";
import type { KernelExports } from "./kernel-exports.ts";

/**
 * How screening's integer product adds up. Latents and rows are quantised accordingly: all threads that share a memory must do
 * alike.
 */
export interface IntegerSums {
  /** In 32 bits, not 16: faster where four products are added to a sum by one instruction. */
  readonly wideSums: 0 | 1;
  /** Steps of a latent each way from zero at most. Stored with as much added, so that none is negative. */
  readonly latentLevels: number;
}

/** Of seven bits, as every machine multiplies them. */
const SEVEN_BITS = 63;
/** Of eight, for machines that take one factor of the product for eight bits without a sign. */
const EIGHT_BITS = 127;

/** What is fastest on this machine, or with `wideSums` as given: then it works, fast or not. */
export function integerSums(wasm: KernelExports, variant: WasmVariant, wideSums?: boolean): IntegerSums {
  const four = variant === "wasm-simd" ? 0 : wasm.fourProducts(-1);
  const here: IntegerSums =
    four === 4 * 127 * 255
      ? { wideSums: 1, latentLevels: EIGHT_BITS }
      : { wideSums: four === -4 * 127 ? 1 : 0, latentLevels: SEVEN_BITS };
  const asked = wideSums === undefined ? here.wideSums : wideSums ? 1 : 0;
  return asked === here.wideSums ? here : { wideSums: asked, latentLevels: SEVEN_BITS };
}
