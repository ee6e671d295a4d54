/** Choosing between the two ways of the integer product, which give the same sums, by how fast they are here. */
import type { KernelExports } from "./instance.ts";

/**
 * Milliseconds of work by both ways in turn before one is chosen. Their first calls tell nothing: the engine compiles
 * functions properly only when they have run for a while, and later still on a busy machine.
 */
const TRIED_MS = 300;

/** The integer product without its last parameter, as {@link fasterScreen} gives it. */
export type Screen =
  Parameters<KernelExports["screen"]> extends [...infer Rest, wideSums: 0 | 1]
    ? (...rest: Rest) => void
    : never;

/**
 * The integer product of `wasm` by sums of 16 or of 32 bits: both in turn at first, then what took less time per panel
 * in its fastest call.
 */
export function fasterScreen(wasm: Pick<KernelExports, "screen">): Screen {
  const fastest: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  let spent = 0;
  let way: 0 | 1 = 0;
  return (u, packed, panels, rowTerms, quantised, latentTerms, units, dIn, maxima, tilesPerGroup, sums) => {
    const began = spent < TRIED_MS ? performance.now() : 0;
    wasm.screen(
      u,
      packed,
      panels,
      rowTerms,
      quantised,
      latentTerms,
      units,
      dIn,
      maxima,
      tilesPerGroup,
      sums,
      way,
    );
    if (spent >= TRIED_MS) return;
    const ms = performance.now() - began;
    spent += ms;
    fastest[way] = Math.min(fastest[way], ms / panels);
    way = way === 0 ? 1 : 0;
    if (spent >= TRIED_MS) way = fastest[1] < fastest[0] ? 1 : 0;
  };
}
