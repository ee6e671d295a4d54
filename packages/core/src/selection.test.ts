import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { normals, randomSparseArena, setBatch, setupOf, sparseModel } from "../test/support.ts";
import {
  BATCH_THRESHOLD,
  createProgram,
  planRun,
  referenceKernels,
  runStep,
  type SparseArena,
} from "./index.ts";
import { annealedK } from "./selection.ts";

describe("k while it is annealed", () => {
  it("goes down from its start to the model's k, and stays there", () => {
    const shapes = fc.constantFrom("linear" as const, "exponential" as const);
    const whole = (min: number, max: number) => fc.integer({ min, max });
    fc.assert(
      fc.property(shapes, whole(1, 50), whole(1, 500), whole(1, 300), (shape, k, above, steps) => {
        const from = k + above;
        const values = Array.from({ length: steps + 3 }, (_, step) =>
          annealedK({ steps, shape, from }, k, step),
        );
        expect(values[0]).toBe(from);
        expect(values).toEqual(values.toSorted((a, b) => b - a));
        expect(values.slice(steps)).toEqual([k, k, k]);
      }),
    );
  });

  it("is half-way the arithmetic mean of both ends, or the geometric one", () => {
    expect(annealedK({ steps: 100, shape: "linear", from: 768 }, 32, 50)).toBe(400);
    expect(annealedK({ steps: 100, shape: "exponential", from: 768 }, 48, 50)).toBe(192);
  });
});

const activeIn = (arena: SparseArena): number => arena.summaries[3]! / 16;
function train(arena: SparseArena, steps: number, visit: (step: number) => void): void {
  const program = createProgram(arena, referenceKernels(), 0);
  for (let step = 0; step < steps; step++) {
    setBatch(arena, normals(16 * 7, step), step);
    runStep(program, 0);
    visit(step);
  }
}

describe("a run with k-annealing", () => {
  const kAnneal = { steps: 4, shape: "linear", from: 7 } as const;
  const architectures = ["topk", "batch-topk", "matryoshka"] as const;
  const setup = (architecture: (typeof architectures)[number]) =>
    setupOf(
      sparseModel({ architecture, k: 3, ...(architecture === "matryoshka" ? { prefixes: [5, 19] } : {}) }),
      { kAnneal },
    );

  it.each(architectures)(
    "selects as many latents as the step asks for, and k when it evaluates: %s",
    (name) => {
      const arena = randomSparseArena(setup(name), 1);
      arena.b_enc.value.fill(5);
      const found: number[] = [];
      train(arena, 6, () => {
        found.push(activeIn(arena));
        arena.b_enc.value.fill(5);
      });
      expect(found).toEqual([7, 6, 5, 4, 3, 3]);
      setBatch(arena, normals(16 * 7, 1), 0, false);
      runStep(createProgram(arena, referenceKernels(), 0), 0);
      expect(activeIn(arena)).toBe(3);
    },
  );

  it("moves BatchTopK's threshold only when k has come down", () => {
    const arena = randomSparseArena(setup("batch-topk"), 1);
    const seen: number[] = [];
    train(arena, 6, () => seen.push(arena.batchThreshold[BATCH_THRESHOLD.steps]!));
    expect(seen).toEqual([0, 0, 0, 0, 1, 2]);
  });

  it("is refused where it would not come down, or where there is no k", () => {
    const plan = (part: Parameters<typeof sparseModel>[0]) => () =>
      planRun({ setup: setupOf(sparseModel(part), { kAnneal }), workers: 1 });
    expect(plan({ k: 7 })).toThrow("k-annealing must begin above k: it begins at 7, and k is 7");
    expect(plan({ architecture: "relu", k: 0 })).toThrow("kAnneal is for architectures with k, not for relu");
  });
});

describe("multi-TopK", () => {
  const setup = setupOf(sparseModel({ k: 3 }), { multiTopK: true });

  it("leaves each row its k largest latents, and rebuilds it by its 4k largest, too", () => {
    const arena = randomSparseArena(setup, 1);
    const plain = randomSparseArena(setupOf(sparseModel({ k: 3 })), 1);
    const x = normals(16 * 7, 5);
    for (const each of [arena, plain]) {
      setBatch(each, x, 0);
      runStep(createProgram(each, referenceKernels(), 0), 0);
    }
    const rowOf = ({ rowOffset, rowCount, recordLatent, recordValue }: SparseArena, row: number) => {
      const [begin, end] = [rowOffset[row], rowOffset[row] + rowCount[row]];
      return [[...recordLatent.subarray(begin, end)], [...recordValue.subarray(begin, end)]];
    };
    for (let row = 0; row < 16; row++) expect(rowOf(arena, row)).toEqual(rowOf(plain, row));
    expect(Math.max(...arena.wideCount)).toBeGreaterThan(6);
    expect(arena.rowSquaredError).toEqual(plain.rowSquaredError);
    expect(arena.summaries[3]).toBe(plain.summaries[3]);
    expect(arena.fireCount).toEqual(plain.fireCount);
    expect(arena.summaries[0]).toBeGreaterThan(plain.summaries[0]!);
  });

  it("lets latents learn that no row has among its k largest", () => {
    const arena = randomSparseArena(setup, 1);
    const before = arena.W_dec.value.slice();
    setBatch(arena, normals(16 * 7, 5), 0);
    runStep(createProgram(arena, referenceKernels(), 0), 0);
    const silent = Array.from({ length: 19 }, (_, i) => i).filter((i) => arena.fireCount[i] === 0);
    const rows = silent.map((i) => [before, arena.W_dec.value].map((all) => all.subarray(i * 7, i * 7 + 7)));
    expect(rows.some(([a, b]) => a!.some((value, j) => value !== b![j]))).toBe(true);
  });

  it("is refused for other architectures", () => {
    const model = sparseModel({ architecture: "batch-topk" });
    expect(() => planRun({ setup: setupOf(model, { multiTopK: true }), workers: 1 })).toThrow(
      "multiTopK is for topk, not for batch-topk",
    );
  });
});
