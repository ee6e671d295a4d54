/** What must not change a bit of a run: chunks of rows, stored gradients, number and order of threads. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  normals,
  randomArena,
  randomSparseArena,
  runBits,
  setBatch,
  setupOf,
  sparseModel,
} from "../test/support.ts";
import type { Arena } from "./arena.ts";
import { SUMMARY } from "./fields.ts";
import type { Kernels } from "./kernels.ts";
import { ROW_BLOCK } from "./block-sizes.ts";
import type { PlanOptions } from "./plan.ts";
import { referenceKernels } from "./reference/index.ts";
import { inputDimension, type DeepModelSetup, type ModelSetup, type SparseModelSetup } from "./setup.ts";
import type { StepProgram } from "./stage.ts";
import { createProgram, runStep } from "./stages.ts";
import { countDead } from "./step-context.ts";

const BATCH_ROWS = 3 * ROW_BLOCK - 6;

const topk = sparseModel({ latents: 210, k: 6 });
const relu = sparseModel({ architecture: "relu", decoder: "free", latents: 210, k: 0 });
const deep: DeepModelSetup = {
  kind: "deep",
  architecture: "autoencoder",
  widths: [7, 40, 3, 40, 7],
  outputActivation: "linear",
};
const MODELS: [string, ModelSetup][] = [
  ["TopK", topk],
  ["ReLU with a free decoder", relu],
  [
    "ReLU with a unit decoder whose encoder does not subtract b_dec",
    { ...relu, decoder: "unit", applyBDecToInput: false },
  ],
  ["a deep autoencoder", deep],
];

/** Mini-batches of a run, the last one short. */
function batches(model: ModelSetup, steps: number): Float32Array[] {
  const dIn = inputDimension(model);
  return Array.from({ length: steps }, (_, step) => {
    const rows = step === steps - 1 ? 17 : BATCH_ROWS;
    return normals(rows * dIn, 50 + step);
  });
}

/** Reference kernels that count how often the records of a block of rows did not fit. */
function countingKernels(): { kernels: Kernels; overflows: () => number } {
  const kernels = referenceKernels();
  let overflows = 0;
  const sparse = {
    ...kernels.sparse,
    encodeRows: (...args: Parameters<Kernels["sparse"]["encodeRows"]>) => {
      const fits = kernels.sparse.encodeRows(...args);
      if (!fits) overflows++;
      return fits;
    },
  };
  return { kernels: { ...kernels, sparse }, overflows: () => overflows };
}

/** Bits after every step of a run on one thread. */
function runAlone(model: ModelSetup, options: Partial<PlanOptions> = {}, kernels = referenceKernels()) {
  const arena = randomArena(setupOf(model, { batchRows: BATCH_ROWS }), 1, options);
  const program = createProgram(arena, kernels, 0);
  const steps = batches(model, 4).map((rows, step) => {
    setBatch(arena, rows, step);
    runStep(program, 0);
    return runBits(arena);
  });
  return { arena, steps };
}

/** One step by several programs over one arena: each block goes to some program, in some order. */
function runTeamStep(programs: readonly StepProgram[], choose: (below: number) => number): void {
  for (const program of programs) program.begin(0);
  for (;;) {
    const stages = programs.map((program) => program.next());
    const [first] = stages;
    expect(stages.map((stage) => [stage?.name, stage?.blocks])).toEqual(
      stages.map(() => [first?.name, first?.blocks]),
    );
    if (first === undefined) return;
    const left = Array.from({ length: first.blocks }, (_, block) => block);
    while (left.length > 0) {
      const [block] = left.splice(choose(left.length), 1);
      stages[choose(stages.length)]!.run(block!);
    }
    stages[choose(stages.length)]!.finish();
  }
}

const capacities = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: BATCH_ROWS * 210 * 12 }));

describe("a run's parameters, moments, counters and summaries do not depend, to the bit, on", () => {
  it.each(MODELS)("storing gradients: %s", (_, model) => {
    const [stored, scratch] = [true, false].map((storeGradients) => runAlone(model, { storeGradients }));
    expect(stored!.arena.plan.storeGradients).not.toBe(scratch!.arena.plan.storeGradients);
    expect(stored!.steps).toEqual(scratch!.steps);
  });

  it.each(MODELS.slice(0, 3) as [string, SparseModelSetup][])("the room for records: %s", (_, model) => {
    const whole = runAlone(model, { storeGradients: false });
    expect(whole.arena.plan.storeGradients).toBe(false);
    fc.assert(
      fc.property(capacities, (recordBytes) => {
        expect(runAlone(model, { recordBytes }).steps).toEqual(whole.steps);
      }),
      { numRuns: 15 },
    );
  });

  it.each(MODELS)("how many threads take which blocks in which order: %s", (_, model) => {
    const alone = runAlone(model).steps;
    const teams = fc.record({
      workers: fc.integer({ min: 1, max: 5 }),
      storeGradients: fc.boolean(),
      recordBytes: capacities,
    });
    fc.assert(
      fc.property(teams, fc.infiniteStream(fc.nat(2 ** 30)), (options, stream) => {
        const arena = randomArena(setupOf(model, { batchRows: BATCH_ROWS }), 1, options);
        const programs = Array.from({ length: options.workers }, (_unused, rank) =>
          createProgram(arena, referenceKernels(), rank),
        );
        batches(model, 4).forEach((rows, step) => {
          setBatch(arena, rows, step);
          runTeamStep(programs, (below) => (stream.next().value as number) % below);
          expect(runBits(arena)).toEqual(alone[step]);
        });
      }),
      { numRuns: 15 },
    );
  });

  it("the order of the blocks of latents, which follows their heat after some steps", () => {
    const setup = setupOf(topk, { batchRows: BATCH_ROWS });
    const [hot, fixed] = [randomSparseArena(setup, 1), randomSparseArena(setup, 1)];
    for (const arena of [hot, fixed]) {
      const program = createProgram(arena, referenceKernels(), 0);
      for (let step = 0; step < 20; step++) {
        setBatch(arena, normals(BATCH_ROWS * 7, step), step);
        runStep(program, 0);
        if (arena === fixed) for (let block = 0; block < 5; block++) arena.blockOrder[block] = 4 - block;
      }
    }
    const heats = [...hot.blockOrder].map((block) => hot.blockHeat[block]);
    expect(hot.blockOrder.toSorted()).toEqual(Int32Array.of(0, 1, 2, 3, 4));
    expect([...hot.blockOrder]).not.toEqual([0, 1, 2, 3, 4]);
    expect(new Set(heats).size).toBeGreaterThan(1);
    expect(runBits(hot)).toEqual(runBits(fixed));
  });
});

describe("a thread", () => {
  it("writes to its own scratch alone, so that threads can work at the same time", () => {
    const arena = randomSparseArena(setupOf(topk, { batchRows: BATCH_ROWS }), 1, { workers: 3 });
    const scratch = [
      arena.preActivations,
      arena.selectedValue,
      arena.selectedLatent,
      arena.W_enc.gradient,
      arena.W_dec.gradient,
    ];
    for (const views of scratch) views.fill(77);
    setBatch(arena, normals(BATCH_ROWS * 7, 1), 0);
    runStep(createProgram(arena, referenceKernels(), 1), 0);
    for (const views of scratch) {
      const share = views.length / 3;
      const touched = [0, 1, 2].map((rank) =>
        views.subarray(rank * share, (rank + 1) * share).some((value) => value !== 77),
      );
      expect(touched).toEqual([false, true, false]);
    }
  });
});

describe("rows whose records do not fit", () => {
  it.each(MODELS.slice(0, 3) as [string, SparseModelSetup][])(
    "are worked off again in smaller chunks, with the least room there can be: %s",
    (_, model) => {
      const { kernels, overflows } = countingKernels();
      const { arena } = runAlone(model, { recordBytes: 0 }, kernels);
      expect(arena.plan.recordCapacity).toBe(ROW_BLOCK * (model.k || model.latents));
      expect(overflows()).toBeGreaterThan(0);
    },
  );

  it("are halved until they fit when every latent is active in every row", () => {
    const { kernels, overflows } = countingKernels();
    const names: string[] = [];
    const arena = randomSparseArena(setupOf(relu, { batchRows: 4 * ROW_BLOCK }), 1, { recordBytes: 0 });
    arena.b_enc.value.fill(100);
    setBatch(arena, normals(4 * ROW_BLOCK * 7, 2), 0);
    const program = createProgram(arena, kernels, 0);
    program.begin(0);
    for (let stage = program.next(); stage !== undefined; stage = program.next()) {
      names.push(`${stage.name} ${stage.blocks}`);
      for (let block = 0; block < stage.blocks; block++) stage.run(block);
      stage.finish();
    }
    // Four blocks of rows, then two, then four times one.
    const chunk = ["rows 1", "decode 1", "gather 5"];
    expect(names).toEqual([
      "rows 4",
      "rows 2",
      ...chunk,
      ...chunk,
      ...chunk,
      ...chunk,
      "update 5",
      "decoder bias 1",
    ]);
    expect(overflows()).toBe(2);
    expect(arena.summaries[SUMMARY.active]).toBe(4 * ROW_BLOCK * 210);
  });

  it("never occur where there is room for all: every step takes all rows at once", () => {
    const { kernels, overflows } = countingKernels();
    const arena = randomSparseArena(setupOf(topk, { batchRows: BATCH_ROWS }), 1);
    arena.b_enc.value.fill(100);
    const program = createProgram(arena, kernels, 0);
    for (let step = 0; step < 5; step++) {
      setBatch(arena, normals(BATCH_ROWS * 7, step), step);
      program.begin(0);
      const rows = program.next()!;
      expect([rows.name, rows.blocks]).toEqual(["rows", Math.ceil(BATCH_ROWS / ROW_BLOCK)]);
      runStep(program, 0);
      expect(arena.summaries[SUMMARY.active]).toBe(BATCH_ROWS * topk.k);
    }
    expect(overflows()).toBe(0);
  });
});

describe("a mini-batch that is only evaluated", () => {
  it.each(MODELS)(
    "changes no parameter and has the loss of the same mini-batch in training: %s",
    (_, model) => {
      const setup = setupOf(model, { batchRows: BATCH_ROWS });
      const [rows] = batches(model, 2);
      const train = randomArena(setup, 1);
      const evaluate = randomArena(setup, 1, { purpose: "evaluate", recordBytes: 0 });
      const before = runBits(evaluate);
      for (const arena of [train, evaluate]) {
        setBatch(arena, rows!, 0, arena === train);
        runStep(createProgram(arena, referenceKernels(), 0), 0);
      }
      const { summaries: _changed, ...parameters } = runBits(evaluate);
      expect(before).toMatchObject(parameters);
      for (const field of [
        SUMMARY.loss,
        SUMMARY.squaredError,
        SUMMARY.squares,
        SUMMARY.active,
        SUMMARY.rows,
      ]) {
        expect(evaluate.summaries[field]).toBe(train.summaries[field]);
      }
    },
  );
});

describe("a step's summary", () => {
  const at = (arena: Arena, field: number) => arena.summaries[field];

  it("is NaN in the loss when one number of one row is NaN, whatever the architecture", () => {
    for (const [, model] of MODELS) {
      const arena = randomArena(setupOf(model, { batchRows: BATCH_ROWS }), 1);
      const rows = normals(BATCH_ROWS * 7, 1);
      rows[30 * 7 + 2] = Number.NaN;
      setBatch(arena, rows, 0);
      runStep(createProgram(arena, referenceKernels(), 0), 0);
      expect(at(arena, SUMMARY.loss)).toBeNaN();
    }
  });

  it("is NaN in the loss when a parameter is NaN, even one of a latent that is not active", () => {
    for (const model of [topk, relu]) {
      const arena = randomSparseArena(setupOf(model, { batchRows: BATCH_ROWS }), 1);
      arena.b_enc.value[11] = Number.NaN;
      setBatch(arena, normals(BATCH_ROWS * 7, 1), 0);
      runStep(createProgram(arena, referenceKernels(), 0), 0);
      expect(at(arena, SUMMARY.loss)).toBeNaN();
    }
  });

  it("counts as dead the latents that were silent for the dead window", () => {
    const arena = randomSparseArena(setupOf(topk, { batchRows: BATCH_ROWS, deadWindow: 2 * BATCH_ROWS }), 1);
    arena.b_enc.value.fill(-1000, 0, 9);
    arena.b_enc.value.fill(1000, 9, 15);
    const program = createProgram(arena, referenceKernels(), 0);
    const dead = [0, 1, 2].map((step) => {
      setBatch(arena, normals(BATCH_ROWS * 7, step), step);
      runStep(program, 0);
      return at(arena, SUMMARY.dead);
    });
    // Six latents take all of k = 6; the other 204 are dead once two mini-batches have passed without them.
    expect(dead).toEqual([0, 204, 204]);
    const always = 3 * BATCH_ROWS;
    const counts = [0, always, always, always, always, always, always, 0];
    expect([...arena.fireCount.subarray(8, 16)]).toEqual(counts);
    expect(arena.lastFired[9]).toBe(3 * BATCH_ROWS);
    expect(countDead(arena, 5 * BATCH_ROWS - 1)).toBe(204);
    expect(countDead(arena, 5 * BATCH_ROWS)).toBe(210);
  });
});
