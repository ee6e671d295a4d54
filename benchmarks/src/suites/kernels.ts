/** The kernels one by one, on one thread. Rates count the operations of the formulas, two per multiply-add. */
import { allocateMemory, type DeepArena, type SparseArena } from "@sparseloom/core";
import { instantiate } from "@sparseloom/core/kernels";
import type { Benchmark } from "../measure.ts";
import { openDeep, openSparse, type Problem, stepContext } from "../problem.ts";
import type { Shape } from "../shapes.ts";
import type { Variant } from "../variants.ts";

/** Rows that a kernel takes at a time, as the training step hands them out. */
const ROW_BLOCK = 32;
/** Latents that a kernel takes at a time. */
const LATENT_BLOCK = 16;
/** Output units of a layer that a kernel takes at a time. */
const UNIT_BLOCK = 48;
/** Dimensions that the decoder bias's kernel takes at a time. */
const DIMENSION_BLOCK = 64;
/** Rows of a packed panel. */
const PANEL = 8;
/** Tiles of 6 latents whose maximum is kept together, as selection asks for at M and L. */
const TILES_PER_GROUP = 4;

/** The names of the shapes at which the deep autoencoder is left out: it is measured at M, and in tests. */
const WITHOUT_DEEP: readonly string[] = ["S", "L"];

/** Whether the deep autoencoder is measured at a shape. */
export function withDeep(shape: Shape): boolean {
  return !WITHOUT_DEEP.includes(shape.name);
}

/** Calls `run` for [0, length) in blocks of `block`. */
function inBlocks(length: number, block: number, run: (first: number, last: number) => void): void {
  for (let first = 0; first < length; first += block) run(first, Math.min(first + block, length));
}

/**
 * The kernels of a shape in the order in which they must first run: each leaves what the next one needs. Each
 * memory is made when its turn comes.
 */
export function kernelBenchmarks(shape: Shape, variant: Variant): Benchmark[] {
  return [
    ...(variant === "reference" ? [] : [productBenchmark(shape, variant)]),
    ...sparseKernels(shape, variant, openSparse(variant, shape, "topk")),
    ...(withDeep(shape) ? deepKernels(shape, variant, openDeep(variant, shape)) : []),
  ];
}

/** The memory's layout is our own: rows, packed rows, start, weights, pre-activations and maxima, one after the other. */
function productBenchmark(shape: Shape, variant: Variant): Benchmark {
  const { dIn, latents } = shape;
  const rows = PANEL * Math.ceil(shape.rows / PANEL);
  const block = Math.min(ROW_BLOCK, rows);
  const groups = Math.ceil(latents / (6 * TILES_PER_GROUP));
  const lengths = [rows * dIn, latents, latents * dIn, latents * block, groups * block];
  let end = 0;
  const [packed, start, w, z, maxima] = lengths.map((length) => {
    const at = end;
    end += Math.ceil(length / 16) * 64;
    return at;
  }) as [number, number, number, number, number];
  const memory = sharedMemory(end);
  // Written once: pages that were only ever read are all one page of zeros, which no cache is made for.
  new Float32Array(memory.buffer).fill(1 / dIn);
  const functions = instantiate("wasm-relaxed-simd", memory);
  return {
    suite: "kernels",
    name: "product alone, with group maxima",
    shape: shape.name,
    variant,
    rows,
    work: 2 * rows * latents * dIn,
    unit: "GFLOP/s",
    run: () =>
      inBlocks(rows, block, (first, last) => {
        const from = packed + 4 * first * dIn;
        const panels = (last - first) / PANEL;
        const wide = variant === "wide" ? 1 : 0;
        functions.product(z, from, panels, start, w, latents, dIn, maxima, TILES_PER_GROUP, wide);
      }),
  };
}

/** A zeroed memory of at least `bytes`. */
function sharedMemory(bytes: number): ReturnType<typeof allocateMemory> {
  const byteLength = 65536 * Math.ceil(bytes / 65536);
  return allocateMemory({ byteLength } as Parameters<typeof allocateMemory>[0], { shared: true });
}

function* sparseKernels(shape: Shape, variant: Variant, problem: Problem<SparseArena>): Generator<Benchmark> {
  const { dIn, latents, k } = shape;
  const { arena, rows } = problem;
  const { sparse } = problem.kernels;
  const step = stepContext(arena, rows);
  const common = { suite: "kernels", shape: shape.name, variant, rows, unit: "GFLOP/s" } as const;

  yield {
    ...common,
    name: "rows to selected latents (TopK)",
    work: 2 * rows * latents * dIn,
    // The words of the step itself count the records; a fresh mini-batch starts at none.
    prepare: () => void arena.control.fill(0),
    run: () =>
      inBlocks(rows, ROW_BLOCK, (first, last) => {
        if (!sparse.encodeRows(arena, step, first, last))
          throw new Error("internal: the records did not fit");
      }),
  };
  yield {
    ...common,
    name: "decode and latent gradients (TopK)",
    // Reconstruction and ∂loss/∂latent: two products over the active latents.
    work: 4 * rows * k * dIn,
    run: () => inBlocks(rows, ROW_BLOCK, (first, last) => sparse.decodeRows(arena, step, first, last)),
  };
  yield {
    ...common,
    name: "gather and update latents (TopK)",
    // Two gradients over the active latents; Adam on encoder and decoder at 12 operations each.
    work: 4 * rows * k * dIn + 24 * latents * dIn,
    run: () =>
      inBlocks(latents, LATENT_BLOCK, (first, last) => {
        sparse.gatherLatents(arena, step, first, last, 0, rows, true);
        sparse.updateLatents(arena, step, first, last);
      }),
  };
  yield {
    ...common,
    name: "update decoder bias",
    work: rows * dIn + Math.ceil(latents / LATENT_BLOCK) * dIn,
    run: () =>
      inBlocks(dIn, DIMENSION_BLOCK, (first, last) => sparse.updateDecoderBias(arena, step, first, last)),
  };
}

function* deepKernels(shape: Shape, variant: Variant, problem: Problem<DeepArena>): Generator<Benchmark> {
  const { arena, rows } = problem;
  const { deep } = problem.kernels;
  const step = stepContext(arena, rows);
  const forward = { ...step, train: false };
  const weights = arena.layers.reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);
  const first = arena.layers[0]!;
  const common = { suite: "kernels", shape: shape.name, variant, rows, unit: "GFLOP/s" } as const;

  yield {
    ...common,
    name: "forward (deep)",
    work: 2 * rows * weights,
    run: () => inBlocks(rows, ROW_BLOCK, (from, to) => deep.propagateRows(arena, forward, from, to)),
  };
  yield {
    ...common,
    name: "forward and deltas (deep)",
    // Deltas go back through all layers but the first; those that are zero are skipped but counted.
    work: 2 * rows * (2 * weights - first.inputs * first.outputs),
    run: () => inBlocks(rows, ROW_BLOCK, (from, to) => deep.propagateRows(arena, step, from, to)),
  };
  yield {
    ...common,
    name: "gradients and update of units (deep)",
    work: 2 * rows * weights + 12 * weights,
    run: () =>
      arena.layers.forEach(({ outputs }, layer) =>
        inBlocks(outputs, UNIT_BLOCK, (from, to) => deep.updateUnits(arena, step, layer, from, to)),
      ),
  };
}

/** Operations of a round of `multiplyAdds`: 12 vectors of 4 multiply-adds. */
const FLOP_PER_ROUND = 96;
/** Calls of `multiplyAdds` for one look at the limit, and rounds of each: V8 improves a function between calls only. */
const LIMIT_CALLS = 100;
const LIMIT_ROUNDS = 20_000;
/** Uncounted looks before the first: until V8 has compiled it well, on a busy machine, too. */
const LIMIT_WARMUP_LOOKS = 12;

/** Makes a function that measures the 128-bit FMA limit of one core, in GFLOP/s; some tens of milliseconds a call. */
export function limitMeter(): () => number {
  const functions = instantiate("wasm-relaxed-simd", sharedMemory(65536));
  const look = (): number => {
    const began = performance.now();
    for (let call = 0; call < LIMIT_CALLS; call++) functions.multiplyAdds(LIMIT_ROUNDS, 1e-3);
    return (FLOP_PER_ROUND * LIMIT_ROUNDS * LIMIT_CALLS) / (performance.now() - began) / 1e6;
  };
  for (let call = 0; call < LIMIT_WARMUP_LOOKS; call++) look();
  return look;
}
