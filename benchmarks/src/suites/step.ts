/** Whole training steps on one thread, and where their time goes, stage by stage. */
import { BATCH, createProgram, SUMMARY } from "@sparseloom/core";
import type { Benchmark } from "../measure.ts";
import { openDeep, openSparse, type Problem, setDensity } from "../problem.ts";
import type { Shape } from "../shapes.ts";
import type { Variant } from "../variants.ts";
import { withDeep } from "./kernels.ts";

/** The steps of a shape: TopK, ReLU at several densities, and at M the deep autoencoder. */
export function stepBenchmarks(shape: Shape, variant: Variant): Benchmark[] {
  const benchmarks = [
    trainingStep(shape, variant, `TopK, k = ${shape.k}`, openSparse(variant, shape, "topk")),
  ];
  for (const density of shape.densities) {
    const problem = openSparse(variant, shape, "relu");
    setDensity(problem, density);
    benchmarks.push(
      trainingStep(shape, variant, `ReLU + L1, ${Number((100 * density).toPrecision(2))} % active`, problem),
    );
  }
  if (withDeep(shape)) {
    const deep = openDeep(variant, shape);
    const widths = [shape.dIn, ...deep.arena.layers.map(({ outputs }) => outputs)].join("-");
    const weights = deep.arena.layers.reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);
    const first = deep.arena.layers[0]!;
    // Forward, deltas and gradients: three products, but no deltas for the input.
    const flop = 2 * deep.rows * (3 * weights - first.inputs * first.outputs);
    benchmarks.push(trainingStep(shape, variant, `deep autoencoder ${widths}`, deep, flop));
  }
  return benchmarks;
}

function trainingStep(
  shape: Shape,
  variant: Variant,
  name: string,
  { arena, kernels, rows }: Problem,
  flop: number = 2 * shape.dIn * shape.latents * rows,
): Benchmark {
  const program = createProgram(arena, kernels, 0);
  let step = 0;
  let parts: Record<string, number> = {};
  return {
    suite: "step",
    name,
    shape: shape.name,
    variant,
    rows,
    work: rows,
    unit: "activations/s",
    equivalentFlop: flop,
    run: () => {
      arena.batches[BATCH.step] = step;
      arena.batches[BATCH.examplesBefore] = step * rows;
      parts = {};
      program.begin(0);
      for (let stage = program.next(); stage !== undefined; stage = program.next()) {
        const began = performance.now();
        for (let block = 0; block < stage.blocks; block++) stage.run(block);
        stage.finish();
        // A stage comes up several times where the records of a mini-batch do not fit at once.
        parts[stage.name] = (parts[stage.name] ?? 0) + performance.now() - began;
      }
      if (!Number.isFinite(arena.summaries[SUMMARY.loss]))
        throw new Error(`the loss of ${name} is not finite`);
      step++;
    },
    parts: () => parts,
  };
}
