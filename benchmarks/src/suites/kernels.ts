/** The kernels one by one, on one thread. Rates count the operations of the formulas, two per multiply-add. */
import {
  allocateMemory,
  createProgram,
  latentPasses,
  type DeepArena,
  runStep,
  type SparseArena,
  type SparseKernels,
  type StepContext,
} from "@sparseloom/core";
import {
  DEEP_ROW_BLOCK,
  DIMENSION_BLOCK,
  instantiate,
  LATENT_BLOCK,
  LATENT_TERMS,
  PANEL,
  quantisedPanelBytes,
  ROW_BLOCK,
  ROW_TERMS,
  screenTile,
  integerSums,
  UNIT_BLOCK,
  WIDE_TILE,
} from "@sparseloom/core/kernels";
import type { Benchmark } from "../measure.ts";
import { openDeep, openSparse, type Problem, SEED, stepContext } from "../problem.ts";
import { fillNormal, randomSource } from "../random.ts";
import type { Shape } from "../shapes.ts";
import type { Variant } from "../variants.ts";

/** Latents of a tile of the float32 product, and at most whose maximum is kept together. */
const TILE = 6;
const LARGEST_GROUP = 24;

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

/** Tiles whose maximum is kept together, as selection asks for at this shape. */
function tilesPerGroup({ latents, k }: Shape, tile: number): number {
  return Math.max(1, Math.floor(Math.min(LARGEST_GROUP, latents / (8 * k)) / tile));
}

/**
 * The kernels of a shape in the order in which they must first run: each leaves what the next one needs. Each
 * memory is made when its turn comes.
 */
export function kernelBenchmarks(shape: Shape, variant: Variant): Benchmark[] {
  return [
    ...(variant === "reference"
      ? []
      : [productBenchmark(shape, variant), screeningBenchmark(shape, variant)]),
    ...sparseKernels(shape, variant, openSparse(variant, shape, "topk", "exact")),
    ...(withDeep(shape) ? deepKernels(shape, variant, openDeep(variant, shape)) : []),
  ];
}

/** Hands out places in a memory, one after the other, at multiples of 64 bytes. */
class Layout {
  end = 0;

  take(bytes: number): number {
    const at = this.end;
    this.end += 64 * Math.ceil(bytes / 64);
    return at;
  }
}

const PRODUCT = "product alone, with group maxima";

function productBenchmark(shape: Shape, variant: Variant): Benchmark {
  const { dIn, latents } = shape;
  const rows = PANEL * Math.ceil(shape.rows / PANEL);
  const block = Math.min(ROW_BLOCK, rows);
  const tiles = tilesPerGroup(shape, TILE);
  const layout = new Layout();
  const [packed, start, w] = [4 * rows * dIn, 4 * latents, 4 * latents * dIn].map((bytes) =>
    layout.take(bytes),
  ) as [number, number, number];
  const [z, maxima] = [layout.take(4 * latents * block), layout.take(4 * latents * block)];
  const memory = sharedMemory(layout.end);
  // Written once: pages that were only ever read are all one page of zeros, which no cache is made for.
  new Float32Array(memory.buffer).fill(1 / dIn);
  const functions = instantiate("wasm-relaxed-simd", memory);
  return {
    suite: "kernels",
    name: PRODUCT,
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
        functions.product(z, from, panels, start, w, latents, dIn, maxima, tiles, wide);
      }),
  };
}

function screeningBenchmark(shape: Shape, variant: Variant): Benchmark {
  const { dIn, latents } = shape;
  const padded = 32 * Math.ceil(dIn / 32);
  const rows = PANEL * Math.ceil(shape.rows / PANEL);
  const block = Math.min(ROW_BLOCK, rows);
  const { wideSums, latentLevels } = integerSums(
    instantiate("wasm-relaxed-simd", sharedMemory(1)),
    "wasm-relaxed-simd",
  );
  const pairs = variant === "wide" ? 1 : 0;
  const tile = screenTile(wideSums);
  const tiles = Math.max(2, tilesPerGroup(shape, tile));
  const filled = tile * Math.ceil(latents / tile);
  const layout = new Layout();
  const panel = { x: layout.take(4 * PANEL * dIn), factors: layout.take(4 * dIn) };
  const panelBytes = quantisedPanelBytes(dIn, wideSums);
  const panels = rows / PANEL;
  const [packed, rowTerms] = [layout.take(panels * panelBytes), layout.take(panels * ROW_TERMS)];
  const [quantised, latentTerms] = [layout.take(filled * padded), layout.take(filled * LATENT_TERMS)];
  const sums = layout.take(2 * 4 * WIDE_TILE * PANEL);
  const [bounds, maxima] = [layout.take(4 * latents * block), layout.take(4 * latents * block)];
  const memory = sharedMemory(layout.end);
  const functions = instantiate("wasm-relaxed-simd", memory);
  const values = new Float32Array(memory.buffer, panel.x, PANEL * dIn);
  new Float32Array(memory.buffer, panel.factors, dIn).fill(1);
  const random = randomSource(SEED);
  for (let latent = 0; latent < latents; latent++) {
    if (latent % PANEL === 0) fillNormal(values, random);
    const out = quantised + (latent - (latent % tile)) * padded + 4 * (latent % tile);
    const terms = latentTerms + latent * LATENT_TERMS;
    const from = panel.x + 4 * (latent % PANEL) * dIn;
    functions.quantiseLatent(out, terms, from, 0, panel.factors, dIn, wideSums, latentLevels);
  }
  const squares = functions.usualSquares(latentTerms, latents);
  for (let first = 0; first < rows; first += PANEL) {
    fillNormal(values, random);
    const terms = rowTerms + (first / PANEL) * ROW_TERMS;
    const out = packed + (first / PANEL) * panelBytes;
    functions.quantiseRows(
      out,
      terms,
      panel.x,
      0,
      0,
      panel.factors,
      PANEL,
      dIn,
      squares,
      wideSums,
      latentLevels,
    );
  }
  return {
    suite: "kernels",
    name: `integer ${PRODUCT}`,
    insteadOf: PRODUCT,
    shape: shape.name,
    variant,
    rows,
    work: 2 * rows * latents * dIn,
    unit: "GFLOP/s",
    run: () =>
      inBlocks(rows, block, (first, last) =>
        functions.screen(
          bounds,
          packed + (first / PANEL) * panelBytes,
          (last - first) / PANEL,
          rowTerms + (first / PANEL) * ROW_TERMS,
          quantised,
          latentTerms,
          latents,
          dIn,
          maxima,
          tiles,
          sums,
          wideSums,
          pairs,
        ),
      ),
  };
}

const ENCODER = "rows to selected latents (TopK)";

/** The screened encoder, in a memory of its own: what the other kernels work on comes from the exact one. */
function screenedEncoder(shape: Shape, variant: Variant): Benchmark {
  const { arena, kernels, rows } = openSparse(variant, shape, "topk", "screened");
  const step = { ...stepContext(arena, rows), screened: true };
  let ready = false;
  return {
    suite: "kernels",
    name: `${ENCODER}, screened`,
    insteadOf: ENCODER,
    shape: shape.name,
    variant,
    rows,
    work: 2 * rows * shape.latents * shape.dIn,
    unit: "GFLOP/s",
    prepare: () => {
      // A step makes the factors and quantises the latents.
      if (!ready) runStep(createProgram(arena, kernels, 0), 0);
      ready = true;
      arena.control.fill(0);
    },
    run: () => encodeAll(kernels.sparse, arena, step, rows),
  };
}

function encodeAll(sparse: SparseKernels, arena: SparseArena, step: StepContext, rows: number): void {
  inBlocks(rows, ROW_BLOCK, (first, last) => {
    if (!sparse.encodeRows(arena, step, first, last)) throw new Error("internal: the records did not fit");
  });
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
    name: ENCODER,
    work: 2 * rows * latents * dIn,
    // The words of the step itself count the records; a fresh mini-batch starts at none.
    prepare: () => void arena.control.fill(0),
    run: () => encodeAll(sparse, arena, step, rows),
  };
  if (variant !== "reference") yield screenedEncoder(shape, variant);
  yield {
    ...common,
    name: "decode and latent gradients (TopK)",
    // Reconstruction and ∂loss/∂latent: two products over the active latents.
    work: 4 * rows * k * dIn,
    prepare: () => void arena.control.fill(0),
    run: () => inBlocks(rows, ROW_BLOCK, (first, last) => sparse.decodeRows(arena, step, first, last)),
  };
  yield {
    ...common,
    name: "gather and update latents (TopK)",
    // Two gradients over the active latents; Adam on encoder and decoder at 12 operations each.
    work: 4 * rows * k * dIn + 24 * latents * dIn,
    run: () => {
      for (const weights of latentPasses(arena.plan)) {
        inBlocks(latents, LATENT_BLOCK, (first, last) => {
          sparse.gatherLatents(arena, step, first, last, 0, rows, true, weights);
          sparse.completeGradients(arena, step, first, last, weights);
          sparse.updateLatents(arena, step, first, last, weights);
        });
      }
    },
  };
  yield {
    ...common,
    name: "update decoder bias",
    work: rows * dIn + Math.ceil(latents / LATENT_BLOCK) * dIn,
    run: () =>
      inBlocks(dIn, DIMENSION_BLOCK, (first, last) => {
        sparse.gatherDecoderBias(arena, step, first, last);
        sparse.updateDecoderBias(arena, step, first, last);
      }),
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
    run: () => inBlocks(rows, DEEP_ROW_BLOCK, (from, to) => deep.propagateRows(arena, forward, from, to)),
  };
  yield {
    ...common,
    name: "forward and deltas (deep)",
    // Deltas go back through all layers but the first; those that are zero are skipped but counted.
    work: 2 * rows * (2 * weights - first.inputs * first.outputs),
    run() {
      arena.layers
        .slice(1)
        .forEach(({ outputs }, index) =>
          inBlocks(outputs, UNIT_BLOCK, (from, to) => deep.packUnits?.(arena, index + 1, from, to)),
        );
      inBlocks(rows, DEEP_ROW_BLOCK, (from, to) => deep.propagateRows(arena, step, from, to));
    },
  };
  yield {
    ...common,
    name: "gradients and update of units (deep)",
    work: 2 * rows * weights + 12 * weights,
    run: () =>
      arena.layers.forEach(({ outputs }, layer) =>
        inBlocks(outputs, UNIT_BLOCK, (from, to) => {
          deep.gatherUnits(arena, step, layer, from, to);
          deep.updateUnits(arena, step, layer, from, to);
        }),
      ),
  };
}

/** Operations of a round of `multiplyAdds`: 12 vectors of 4 multiply-adds. */
const FLOP_PER_ROUND = 96;
/** Calls of `multiplyAdds` for one look at the limit, and rounds of each: V8 improves a function between calls only. */
const LIMIT_CALLS = 1000;
const LIMIT_ROUNDS = 20_000;
/** Uncounted looks before the first: until V8 has compiled it well, on a busy machine, too. */
const LIMIT_WARMUP_LOOKS = 3;

/** Makes a function that measures the 128-bit FMA limit of one core, in GFLOP/s; some forty milliseconds a call. */
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
