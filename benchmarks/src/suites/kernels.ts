/** The kernels one by one, on one thread. Rates count the operations of the formulas, two per multiply-add. */
import { type DeepArena, referenceKernels, type SparseArena } from "@sparseloom/core";
import type { Benchmark } from "../measure.ts";
import { openDeep, openSparse, stepContext } from "../problem.ts";
import type { Shape } from "../shapes.ts";

/** Rows and latents that a kernel takes at a time, as the training step hands them out. */
const BLOCK = 16;
/** Dimensions that the decoder bias's kernel takes at a time. */
const DIMENSIONS = 64;

/** Calls `run` for [0, length) in blocks of `block`. */
function inBlocks(length: number, block: number, run: (first: number, last: number) => void): void {
  for (let first = 0; first < length; first += block) run(first, Math.min(first + block, length));
}

/** The kernels of a shape; the deep autoencoder's only at S. Each shape's memory is made when it is iterated. */
export function* kernelBenchmarks(shape: Shape): Generator<Benchmark> {
  yield* sparseKernels(shape, openSparse(shape, "topk"));
  if (shape.name !== "M" && shape.name !== "L") yield* deepKernels(shape, openDeep(shape));
}

function* sparseKernels(shape: Shape, arena: SparseArena): Generator<Benchmark> {
  const { dIn, latents, k, rows, iterations } = shape;
  const { sparse } = referenceKernels();
  const step = stepContext(arena, rows);
  const common = { suite: "kernels", shape: shape.name, rows, iterations, unit: "GFLOP/s" } as const;
  // The words of the step itself count the records; a fresh mini-batch starts at none.
  const forgetRecords = () => void arena.control.fill(0);
  const encode = () =>
    inBlocks(rows, BLOCK, (first, last) => {
      if (!sparse.encodeRows(arena, step, first, last)) throw new Error("internal: the records did not fit");
    });
  const decode = () => inBlocks(rows, BLOCK, (first, last) => sparse.decodeRows(arena, step, first, last));

  yield {
    ...common,
    name: "encode and select rows (TopK)",
    work: 2 * rows * latents * dIn,
    prepare: forgetRecords,
    run: encode,
  };
  forgetRecords();
  encode();
  // Reconstruction and ∂loss/∂latent: two products over the active latents.
  yield { ...common, name: "decode rows (TopK)", work: 4 * rows * k * dIn, run: decode };
  decode();
  yield {
    ...common,
    name: "gather and update latents (TopK)",
    // Two gradients over the active latents; Adam on encoder and decoder at 12 operations each.
    work: 4 * rows * k * dIn + 24 * latents * dIn,
    run: () =>
      inBlocks(latents, BLOCK, (first, last) => {
        sparse.gatherLatents(arena, step, first, last, 0, rows, true);
        sparse.updateLatents(arena, step, first, last);
      }),
  };
  yield {
    ...common,
    name: "update decoder bias",
    work: rows * dIn + Math.ceil(latents / BLOCK) * dIn,
    run: () => inBlocks(dIn, DIMENSIONS, (first, last) => sparse.updateDecoderBias(arena, step, first, last)),
  };
}

function* deepKernels(shape: Shape, arena: DeepArena): Generator<Benchmark> {
  const { rows, iterations } = shape;
  const { deep } = referenceKernels();
  const step = stepContext(arena, rows);
  const weights = arena.layers.reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);
  const first = arena.layers[0]!;
  const common = { suite: "kernels", shape: shape.name, rows, iterations, unit: "GFLOP/s" } as const;
  const propagate = () => inBlocks(rows, BLOCK, (from, to) => deep.propagateRows(arena, step, from, to));

  yield {
    ...common,
    name: "propagate rows (deep)",
    // Forward through all layers, deltas back through all but the first; zero deltas are skipped but counted.
    work: 2 * rows * (2 * weights - first.inputs * first.outputs),
    run: propagate,
  };
  propagate();
  yield {
    ...common,
    name: "update units (deep)",
    work: 2 * rows * weights + 12 * weights,
    run: () =>
      arena.layers.forEach(({ outputs }, layer) =>
        inBlocks(outputs, BLOCK, (from, to) => deep.updateUnits(arena, step, layer, from, to)),
      ),
  };
}
