/** Whole training steps on one thread: the figure to compare with other systems' activations per second. */
import { type Arena, BATCH, createProgram, referenceKernels, runStep } from "@sparseloom/core";
import type { Benchmark } from "../measure.ts";
import { openDeep, openSparse } from "../problem.ts";
import type { Shape } from "../shapes.ts";

/** The steps of a shape; the deep autoencoder's only at S. Each memory is made when it is iterated. */
export function* stepBenchmarks(shape: Shape): Generator<Benchmark> {
  yield trainingStep(shape, `TopK, k = ${shape.k}`, openSparse(shape, "topk"));
  yield trainingStep(shape, "ReLU + L1", openSparse(shape, "relu"));
  if (shape.name !== "M" && shape.name !== "L") {
    const deep = openDeep(shape);
    const widths = [shape.dIn, ...deep.layers.map(({ outputs }) => outputs)].join("-");
    yield trainingStep(shape, `deep autoencoder ${widths}`, deep);
  }
}

function trainingStep(shape: Shape, name: string, arena: Arena): Benchmark {
  const program = createProgram(arena, referenceKernels(), 0);
  const { rows, iterations } = shape;
  let step = 0;
  return {
    suite: "step",
    name,
    shape: shape.name,
    rows,
    iterations,
    work: rows,
    unit: "activations/s",
    run: () => {
      arena.batches[BATCH.step] = step;
      arena.batches[BATCH.examplesBefore] = step * rows;
      runStep(program, 0);
      step++;
    },
  };
}
