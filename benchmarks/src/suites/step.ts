/** Whole training steps on one thread, and where their time goes, stage by stage. */
import { BATCH, createProgram, type Encoder, SUMMARY } from "@sparseloom/core";
import type { Benchmark } from "../measure.ts";
import { openDeep, openSparse, type Problem, setDensity } from "../problem.ts";
import type { Stopwatch } from "../stopwatch.ts";
import { deepFlop, deepWidths, type Shape } from "../shapes.ts";
import { rowsOf, type Variant } from "../variants.ts";
import { withDeep } from "./kernels.ts";

/**
 * The first step's number: in the middle of a run, where screening's factors are made anew every 1,024 steps only. The
 * uncounted first step makes them.
 */
const FIRST_STEP = 1025;

/** The steps of a shape: TopK by both encoders, ReLU at several densities, and at M the deep autoencoder. */
export function stepBenchmarks(shape: Shape, variant: Variant): Benchmark[] {
  const topK = (encoder: Encoder, insteadOf?: string): Benchmark =>
    trainingStep(shape, variant, {
      name: `TopK, k = ${shape.k}, ${encoder}`,
      ...(insteadOf === undefined ? {} : { insteadOf }),
      open: () => openSparse(variant, shape, "topk", encoder),
    });
  const exact = topK("exact");
  const benchmarks = [exact];
  if (variant !== "reference") benchmarks.push(topK("screened", exact.name));
  for (const density of shape.densities) {
    const open = (): Problem => {
      const problem = openSparse(variant, shape, "relu", "auto");
      setDensity(problem, density);
      return problem;
    };
    const name = `ReLU + L1, ${Number((100 * density).toPrecision(2))} % active`;
    benchmarks.push(trainingStep(shape, variant, { name, open }));
  }
  if (withDeep(shape)) {
    const name = `deep autoencoder ${deepWidths(shape).join("-")}`;
    const flop = rowsOf(variant, shape) * deepFlop(shape);
    benchmarks.push(trainingStep(shape, variant, { name, open: () => openDeep(variant, shape), flop }));
  }
  return benchmarks;
}

/** A step to time; its memory is made when it first runs. */
interface StepOptions {
  readonly name: string;
  readonly insteadOf?: string;
  readonly open: () => Problem;
  /** Default: 2·d·latents per row. */
  readonly flop?: number;
}

function trainingStep(shape: Shape, variant: Variant, { open, flop, ...names }: StepOptions): Benchmark {
  const rows = rowsOf(variant, shape);
  let run: (() => Record<string, number>) | undefined;
  let parts: Record<string, number> = {};
  return {
    suite: "step",
    ...names,
    shape: shape.name,
    variant,
    rows,
    work: rows,
    unit: "activations/s",
    equivalentFlop: flop ?? 2 * shape.dIn * shape.latents * rows,
    prepare: () => void (run ??= stepOf(names.name, open())),
    run: () => {
      if (run === undefined) throw new Error("internal: not prepared");
      parts = run();
    },
    parts: () => parts,
    release: () => void (run = undefined),
  };
}

/** A function that takes a step and tells the milliseconds of its stages. */
function stepOf(name: string, { arena, kernels, stopwatch, rows }: Problem): () => Record<string, number> {
  const program = createProgram(arena, kernels, 0);
  let step = FIRST_STEP;
  return () => {
    arena.batches[BATCH.step] = step;
    arena.batches[BATCH.examplesBefore] = step * rows;
    const parts: Record<string, number> = {};
    stopwatch.reset();
    program.begin(0);
    for (let stage = program.next(); stage !== undefined; stage = program.next()) {
      const began = performance.now();
      for (let block = 0; block < stage.blocks; block++) stage.run(block);
      stage.finish();
      // A stage comes up several times where the records of a mini-batch do not fit at once.
      parts[stage.name] = (parts[stage.name] ?? 0) + performance.now() - began;
    }
    if (!Number.isFinite(arena.summaries[SUMMARY.loss])) throw new Error(`the loss of ${name} is not finite`);
    step++;
    return arena.kind === "sparse" ? { ...parts, ...rowParts(stopwatch) } : parts;
  };
}

/** Parts of encoding that are not worth a figure, as a share of it. */
const SMALLEST_PART = 1e-3;

/** What the row stage, encoding, is made of: products, and what is left (selection, exact candidates). */
function rowParts(stopwatch: Stopwatch): Record<string, number> {
  const encode = stopwatch.read("encode");
  const [screening, product] = [stopwatch.read("encode/screening"), stopwatch.read("encode/product")];
  const parts = { screening, product, selection: encode - screening - product };
  return Object.fromEntries(
    Object.entries(parts).flatMap(([name, ms]) =>
      ms > SMALLEST_PART * encode ? [[`rows/${name}`, ms]] : [],
    ),
  );
}
