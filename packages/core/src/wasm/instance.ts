/**
 * The compiled kernels: choosing the variant that this machine can run, and instantiating it over a memory. Public as
 * `@sparseloom/core/kernels`, for whoever times single functions; trainers use the stages of `createKernels`.
 */
import type { WasmMemory } from "../arena.ts";
import type { IntegerSums } from "./integer-sums.ts";
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

/** A range of latents and of rows, their dimensions, and pointers to the rows' records. */
export type GatheredFrom = readonly [
  first: number,
  last: number,
  firstRow: number,
  lastRow: number,
  dIn: number,
  dOut: number,
  rowOffset: number,
  rowCount: number,
  recordLatent: number,
  recordValue: number,
  recordGradient: number,
];

/** Pointers to what latents see of the errors and rows, to their gradients, sums and counts, and to scratch; see assembly/gather.ts. */
export type GatheredInto = readonly [
  residual: number,
  input: number,
  encoderGradient: number,
  decoderGradient: number,
  biasGradient: number,
  activationSum: number,
  activeCount: number,
  scratch: number,
];

/** Functions of assembly/index.ts. Pointers are byte offsets into the memory. */
export interface KernelExports {
  packRows(packed: number, x: number, bias: number, centred: number, rows: number, dIn: number): void;
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
  packRow(panel: number, lane: number, x: number, dIn: number): void;
  quantiseLatent(
    out: number,
    terms: number,
    w: number,
    bias: number,
    equaliser: number,
    dIn: number,
    wideSums: 0 | 1,
    latentLevels: number,
  ): number;
  quantiseRows(
    packed: number,
    terms: number,
    x: number,
    bias: number,
    centred: number,
    inverse: number,
    rows: number,
    dIn: number,
    latentSquares: number,
    wideSums: 0 | 1,
    latentLevels: number,
  ): number;
  usualSquares(latentTerms: number, latents: number): number;
  screen(
    u: number,
    packed: number,
    panels: number,
    rowTerms: number,
    quantised: number,
    latentTerms: number,
    units: number,
    dIn: number,
    maxima: number,
    tilesPerGroup: number,
    sums: number,
    wideSums: 0 | 1,
    pairs: 0 | 1,
  ): void;
  screenGroupCount(units: number, tilesPerGroup: number, wideSums: 0 | 1): number;
  fourProducts(factor: number): number;
  replaceBounds(
    list: number,
    capacity: number,
    count: number,
    values: number,
    rowTerms: number,
    latentTerms: number,
  ): number;
  settleTopK(
    u: number,
    latents: number,
    maxima: number,
    groups: number,
    groupUnits: number,
    k: number,
    rows: number,
    unscreened: number,
    settled: number,
    words: number,
    first: number,
    firstCapacity: number,
    lists: number,
    capacity: number,
    evaluated: number,
    x: number,
    start: number,
    w: number,
    dIn: number,
    rowTerms: number,
    latentTerms: number,
  ): void;
  multiplyAdds(rounds: number, factor: number): number;
  groupCount(units: number, tilesPerGroup: number): number;
  nanRows(maxima: number, groups: number): number;
  selectTopK(
    z: number,
    units: number,
    maxima: number,
    groups: number,
    groupUnits: number,
    k: number,
    lists: number,
    capacity: number,
    counts: number,
    bounds: number,
    masks: number,
  ): void;
  copyList(list: number, capacity: number, count: number, latents: number, values: number): void;
  countAbove(z: number, units: number, floors: number, stride: number, counts: number): void;
  copyAbove(
    z: number,
    units: number,
    floors: number,
    stride: number,
    inUse: number,
    cursors: number,
    latents: number,
    values: number,
    masks: number,
  ): void;
  collectAbove(
    u: number,
    units: number,
    maxima: number,
    groups: number,
    groupUnits: number,
    lists: number,
    capacity: number,
    counts: number,
    floors: number,
    stride: number,
    least: number,
    inUse: number,
    masks: number,
  ): void;
  keepLargestSigned(values: number, latents: number, count: number, k: number): number;
  keepAbove(list: number, capacity: number, count: number, floors: number, stride: number): number;
  gatherPulls(
    first: number,
    last: number,
    firstRow: number,
    lastRow: number,
    rowOffset: number,
    rowCount: number,
    recordLatent: number,
    pulls: number,
    sums: number,
  ): void;
  decodeRow(
    residual: number,
    x: number,
    bias: number,
    W_dec: number,
    dIn: number,
    latents: number,
    values: number,
    count: number,
  ): number;
  addRecordsByChunk(
    out: number,
    rows: number,
    rowOffset: number,
    rowCount: number,
    latents: number,
    values: number,
    W: number,
    length: number,
    units: number,
    chunk: number,
    cursors: number,
  ): void;
  addRecordsByColumns(
    out: number,
    rows: number,
    rowOffset: number,
    rowCount: number,
    latents: number,
    values: number,
    W: number,
    length: number,
    units: number,
    scratch: number,
  ): void;
  chainsByChunk(
    values: number,
    x: number,
    rows: number,
    rowOffset: number,
    rowCount: number,
    latents: number,
    start: number,
    W: number,
    length: number,
    units: number,
    chunk: number,
    cursors: number,
  ): void;
  chains(
    values: number,
    latents: number,
    count: number,
    x: number,
    start: number,
    w: number,
    dIn: number,
  ): void;
  rowSquares(x: number, mean: number, dIn: number): number;
  scaleRow(values: number, scale: number, length: number): void;
  gather(...all: readonly [...GatheredFrom, ...GatheredInto]): void;
  gatherByColumns(...all: readonly [fresh: 0 | 1, ...GatheredFrom, ...GatheredInto]): void;
  gatherSorted(
    first: number,
    last: number,
    firstRow: number,
    lastRow: number,
    dIn: number,
    dOut: number,
    sorted: number,
    starts: number,
    startsBytes: number,
    block: number,
    ...into: GatheredInto
  ): void;
  sortRecords(
    first: number,
    last: number,
    rowOffset: number,
    rowCount: number,
    recordLatent: number,
    recordValue: number,
    recordGradient: number,
    sorted: number,
    base: number,
    starts: number,
    blocks: number,
    blockLatents: number,
  ): void;
  project(gradient: number, weights: number, dIn: number): void;
  rowNorm(weights: number, dIn: number): number;
  divideRow(weights: number, norm: number, dIn: number): void;
  adam(
    value: number,
    m: number,
    v: number,
    gradient: number,
    length: number,
    beta1: number,
    complement1: number,
    beta2: number,
    complement2: number,
    epsilon: number,
    stepSize: number,
    inverseRootCorrection2: number,
  ): void;
  mix(out: number, a: number, x: number, b: number, y: number, length: number): void;
  signStep(values: number, rate: number, direction: number, length: number): void;
  sumRows(sum: number, values: number, rows: number, dIn: number, first: number, last: number): void;
  subtractRows(sum: number, values: number, rows: number, dIn: number, first: number, last: number): void;
  axpy(out: number, scale: number, a: number, length: number): void;
  addRows(out: number, factors: number, rows: number, count: number, length: number): void;
  clear(pointer: number, bytes: number): void;
  laneDot(a: number, b: number, length: number): number;
  unpackPanels(out: number, z: number, rows: number, units: number): void;
  rectify(values: number, length: number): void;
  difference(out: number, a: number, b: number, length: number): void;
  maskByPositive(values: number, gate: number, length: number): void;
  combine(
    out: number,
    weights: number,
    weightStride: number,
    units: number,
    x: number,
    length: number,
    depth: number,
    scratch: number,
    wide: 0 | 1,
    fresh: 0 | 1,
  ): void;
  addColumnProducts(
    sums: number,
    weights: number,
    weightStride: number,
    units: number,
    x: number,
    panelBytes: number,
    length: number,
    depth: number,
    wide: 0 | 1,
    fresh: 0 | 1,
  ): void;
  packPanels(panels: number, panelBytes: number, from: number, length: number, count: number): void;
  unpackColumns(out: number, sums: number, length: number, units: number): void;
  subtractRow(residual: number, x: number, dIn: number): number;
  collectRow(gradients: number, z: number, lane: number, latents: number, count: number): void;
  transposeColumns(
    out: number,
    outStride: number,
    from: number,
    stride: number,
    rows: number,
    columns: number,
    sums: number,
  ): void;
  maddScalar(a: number, b: number, c: number): number;
}

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
