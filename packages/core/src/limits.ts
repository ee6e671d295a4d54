/** What this machine's cores can do at most, measured on the spot: what rates of the encoders are held against. */
import type { KernelVariant } from "./kernel-variants.ts";
import { LATENT_TERMS, PANEL, quantisedPanelBytes, ROW_TERMS, screenTile, WIDE_TILE } from "./tiles.ts";
import { instantiate, scratchMemory } from "./wasm/instance.ts";
import { integerSums } from "./wasm/integer-sums.ts";

/** Rounds of one run: short, so that the engine compiles the loop properly early on. */
const ROUNDS = 20_000;
/** Milliseconds that short runs are repeated for: until V8's compiler has had its turn, on a busy machine, too. */
const MEASURED_MS = 100;
/** 12 chains × 4 lanes × multiply and add. */
const FLOP_PER_ROUND = 96;

/**
 * This thread's limit for the kernels' products in GFLOP/s: 128-bit multiply-adds on registers alone, the best of
 * many short runs (0.1 s). Undefined for the reference, which has no such limit.
 */
export function multiplyAddLimit(variant: KernelVariant): number | undefined {
  if (variant === "reference") return undefined;
  const wasm = instantiate(variant, scratchMemory());
  const seconds = shortest(() => void wasm.multiplyAdds(ROUNDS, 1e-3));
  return (ROUNDS * FLOP_PER_ROUND) / seconds / 1e9;
}

/** A block of rows and as many latents as stay in a second-level cache of 512 KiB. */
const ROWS = 32;
const LATENTS = 240;
const DIMENSIONS = 768;

/**
 * What one thread makes of the screened encoder's integer product, bounds and group maxima included, with everything
 * in the cache: 10⁹ multiplications and additions per second, counted as for a float32 product, the
 * best of many short runs (0.1 s). Undefined for variants that do not screen.
 */
export function integerProductRate(variant: KernelVariant): number | undefined {
  if (variant === "reference" || variant === "wasm-simd") return undefined;
  let end = 0;
  const take = (bytes: number): number => {
    const at = end;
    end = 64 * Math.ceil((end + bytes) / 64);
    return at;
  };
  const [x, w, equaliser] = [take(4 * ROWS * DIMENSIONS), take(4 * DIMENSIONS), take(4 * DIMENSIONS)];
  const [packed, quantised] = [
    take((ROWS / PANEL) * quantisedPanelBytes(DIMENSIONS, 0)),
    take(LATENTS * DIMENSIONS),
  ];
  const [rowTerms, latentTerms] = [take((ROWS / PANEL) * ROW_TERMS), take(LATENT_TERMS * LATENTS)];
  const [bounds, maxima, sums] = [
    take(4 * ROWS * LATENTS),
    take(4 * ROWS * LATENTS),
    take(2 * WIDE_TILE * PANEL * 4),
  ];
  const memory = scratchMemory(end);
  const wasm = instantiate(variant, memory);
  const { wideSums, latentLevels } = integerSums(wasm, variant);
  const tile = screenTile(wideSums);
  const rows = new Float32Array(memory.buffer, x, ROWS * DIMENSIONS);
  const weights = new Float32Array(memory.buffer, w, DIMENSIONS);
  new Float32Array(memory.buffer, equaliser, DIMENSIONS).fill(1);
  // Any numbers that do not become zeros.
  for (let i = 0; i < rows.length; i++) rows[i] = Math.sin(i);
  for (let latent = 0; latent < LATENTS; latent++) {
    for (let i = 0; i < DIMENSIONS; i++) weights[i] = Math.cos(latent * DIMENSIONS + i);
    const out = quantised + (latent - (latent % tile)) * DIMENSIONS + 4 * (latent % tile);
    const terms = latentTerms + LATENT_TERMS * latent;
    wasm.quantiseLatent(out, terms, w, 0, equaliser, DIMENSIONS, wideSums, latentLevels);
  }
  const squares = wasm.usualSquares(latentTerms, LATENTS);
  for (let panel = 0; panel < ROWS / PANEL; panel++) {
    const [out, from] = [
      packed + panel * quantisedPanelBytes(DIMENSIONS, wideSums),
      x + panel * 4 * PANEL * DIMENSIONS,
    ];
    const terms = rowTerms + ROW_TERMS * panel;
    wasm.quantiseRows(out, terms, from, 0, 0, equaliser, PANEL, DIMENSIONS, squares, wideSums, latentLevels);
  }
  const panels = ROWS / PANEL;
  const seconds = shortest(() =>
    wasm.screen(
      bounds,
      packed,
      panels,
      rowTerms,
      quantised,
      latentTerms,
      LATENTS,
      DIMENSIONS,
      maxima,
      Math.floor(24 / tile),
      sums,
      wideSums,
      0,
    ),
  );
  return (2 * ROWS * LATENTS * DIMENSIONS) / seconds / 1e9;
}

/** Seconds of the shortest of many runs. */
function shortest(run: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  const end = performance.now() + MEASURED_MS;
  for (let began = performance.now(); began < end; ) {
    run();
    const ended = performance.now();
    best = Math.min(best, ended - began);
    began = ended;
  }
  return best / 1000;
}
