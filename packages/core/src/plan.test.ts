import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { setupOf, sparseModel } from "../test/support.ts";
import { allocateMemory, openArena, parametersOf } from "./arena.ts";
import { OptionError } from "./errors.ts";
import { ROW_BLOCK } from "./block-sizes.ts";
import { mostRecordsPerRow } from "./plan-sparse.ts";
import { bytesByRole, type Plan, type PlanOptions, planRun, regionOf } from "./plan.ts";
import type { DeepModelSetup, SparseModelSetup } from "./setup.ts";

const deep: DeepModelSetup = {
  kind: "deep",
  architecture: "autoencoder",
  widths: [9, 5, 3, 5, 9],
  outputActivation: "linear",
};

const sparseModels = fc
  .record({
    architecture: fc.constantFrom("relu" as const, "topk" as const),
    dIn: fc.integer({ min: 1, max: 70 }),
    latents: fc.integer({ min: 1, max: 200 }),
    k: fc.integer({ min: 1, max: 200 }),
    applyBDecToInput: fc.boolean(),
  })
  .map((part): SparseModelSetup => sparseModel({ ...part, k: Math.min(part.k, part.latents) }));

const plans: fc.Arbitrary<Plan> = fc
  .record({
    model: fc.oneof(sparseModels, fc.constant(deep)),
    batchRows: fc.integer({ min: 1, max: 100 }),
    workers: fc.integer({ min: 1, max: 5 }),
    slots: fc.integer({ min: 1, max: 3 }),
    precision: fc.constantFrom("float32" as const, "float64" as const),
    purpose: fc.constantFrom("train" as const, "evaluate" as const),
    storeGradients: fc.boolean(),
    recordBytes: fc.integer({ min: 0, max: 100_000 }),
  })
  .map(({ model, batchRows, ...options }) => planRun({ setup: setupOf(model, { batchRows }), ...options }));

describe("a plan", () => {
  it("has regions of the right size at cache-line boundaries that never overlap, within whole pages", () => {
    fc.assert(
      fc.property(plans, (plan) => {
        let end = 0;
        for (const { type, shape, length, byteOffset, byteLength } of plan.regions) {
          expect(byteOffset % 64).toBe(0);
          expect(byteOffset).toBeGreaterThanOrEqual(end);
          expect(byteOffset - end).toBeLessThan(64);
          expect(length).toBe(shape.reduce((product, size) => product * size, 1));
          const bytes = type === "int32" || (type === "float" && plan.precision === "float32") ? 4 : 8;
          expect(byteLength).toBe(length * bytes);
          end = byteOffset + byteLength;
        }
        expect(plan.byteLength % 65536).toBe(0);
        expect(plan.byteLength - end).toBeLessThan(65536);
        expect(plan.byteLength).toBeGreaterThanOrEqual(end);
        expect(new Set(plan.regions.map(({ name }) => name)).size).toBe(plan.regions.length);
      }),
    );
  });

  it("is a function of its options", () => {
    const options = { setup: setupOf(sparseModel()), workers: 3 };
    expect(planRun(options)).toEqual(planRun(options));
  });

  it("gives every view of the arena a region of its own", () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const arena = openArena(plan, new ArrayBuffer(plan.byteLength));
        for (const { name, shape, value } of parametersOf(arena)) {
          expect(value.byteOffset).toBe(regionOf(plan, name).byteOffset);
          expect(value.length).toBe(shape.reduce((product, size) => product * size, 1));
        }
        expect(arena.slots.length).toBe(plan.slots);
        expect(new Set(arena.slots.map((slot) => slot.length)).size).toBe(1);
      }),
      { numRuns: 30 },
    );
  });

  it("has room for the records of a block of rows, or of a mini-batch that is shorter", () => {
    fc.assert(
      fc.property(plans, ({ setup, recordCapacity, storeGradients }) => {
        const { batchRows } = setup.training;
        const most = setup.model.kind === "deep" ? 0 : mostRecordsPerRow(setup);
        expect(recordCapacity).toBeGreaterThanOrEqual(Math.min(ROW_BLOCK, batchRows) * most);
        // Several chunks of rows need gradients that outlive a chunk, whatever was asked for.
        expect(storeGradients || recordCapacity === batchRows * most).toBe(true);
      }),
    );
  });

  it("leaves out moments, gradients and the order of blocks when only evaluating", () => {
    for (const model of [sparseModel(), deep]) {
      const roles = bytesByRole(planRun({ setup: setupOf(model), workers: 1, purpose: "evaluate" }));
      expect(roles.map(([role]) => role)).not.toContain("moments");
      expect(roles.map(([role]) => role)).not.toContain("gradients");
    }
    const evaluate = planRun({ setup: setupOf(sparseModel()), workers: 1, purpose: "evaluate" });
    expect(evaluate.regions.map(({ name }) => name)).not.toContain("blockOrder");
    expect(evaluate.recordCapacity).toBe(16 * 4);
  });

  it("counts every byte of its regions under a role, the largest first", () => {
    const plan = planRun({ setup: setupOf(sparseModel({ latents: 400 })), workers: 2 });
    const roles = bytesByRole(plan);
    const sum = (sizes: number[]) => sizes.reduce((total, size) => total + size, 0);
    expect(sum(roles.map(([, bytes]) => bytes))).toBe(sum(plan.regions.map(({ byteLength }) => byteLength)));
    expect(roles).toEqual(roles.toSorted((a, b) => b[1] - a[1]));
  });

  it.each(["exact", "screened"] as const)(
    "of TopK at d 768 and 12,288 latents is at most 1.3 times its parameters, moments and batch slots: %s",
    (encoder) => {
      const model = sparseModel({ dIn: 768, latents: 12_288, k: 32 });
      const plan = planRun({ setup: setupOf(model, { batchRows: 4096 }), workers: 2, encoder });
      const bytes = Object.fromEntries(bytesByRole(plan));
      const needed = (bytes["parameters"] ?? 0) + (bytes["moments"] ?? 0) + (bytes["batch slots"] ?? 0);
      expect(plan.encoder).toBe(encoder);
      expect(plan.byteLength / needed).toBeLessThan(1.3);
    },
  );
});

describe("a model that is too large", () => {
  const options = (latents: number, part: Partial<SparseModelSetup> = {}, batchRows = 4096): PlanOptions => ({
    setup: setupOf(sparseModel({ dIn: 768, latents, k: 32, ...part }), { batchRows }),
    workers: 8,
  });
  const refusal = (plan: PlanOptions): OptionError => {
    try {
      planRun(plan);
    } catch (error) {
      if (error instanceof OptionError) return error;
      throw error;
    }
    throw new Error("the plan was accepted");
  };

  it.each<[string, Partial<SparseModelSetup>]>([
    ["TopK", {}],
    ["ReLU, whose gradients are stored", { architecture: "relu", decoder: "free", k: 0 }],
  ])("is refused with its parts and the largest number of latents that fits: %s", (_, part) => {
    const error = refusal(options(1_000_000, part));
    expect(error.option).toBe("latents");
    expect(error.message).toMatch(
      /^the model needs \d+\.\d\d GiB \((\w[\w ]* \d+\.\d\d GiB(, )?)+\) but one memory holds 4\.00 GiB; /,
    );
    for (const role of ["parameters", "moments"]) expect(error.message).toContain(`${role} `);
    const fits = Number(/the largest number of latents that fits is (\d+)$/.exec(error.message)?.[1]);
    expect(planRun(options(fits, part)).byteLength).toBeLessThanOrEqual(2 ** 32);
    expect(refusal(options(fits + 1, part)).message).toContain(`fits is ${fits}`);
  });

  it("is refused with advice about the mini-batch where that is what does not fit", () => {
    expect(refusal(options(12_288, {}, 2_000_000)).message).toMatch(
      /no number of latents fits: use a smaller mini-batch than 2000000 rows, or activations of fewer dimensions than \d+$/,
    );
  });

  it("is refused by its widths if it is deep", () => {
    const setup = setupOf({ ...deep, widths: [20_000, 40_000, 20_000] });
    const error = refusal({ setup, workers: 1 });
    expect(error.option).toBe("widths");
    expect(error.message).toMatch(/; use narrower layers or a smaller mini-batch$/);
  });
});

describe("a memory of more than 2 GiB", () => {
  it("has its last parameters where the plan says", () => {
    const setup = setupOf(sparseModel({ dIn: 768, latents: 120_000, k: 32 }), { batchRows: 16 });
    const plan = planRun({ setup, workers: 1 });
    const { buffer } = allocateMemory(plan, { shared: true });
    const arena = openArena(plan, buffer);
    if (arena.kind !== "sparse") throw new Error("not a sparse model");
    const { v } = arena.W_dec;
    expect(v.byteOffset + v.byteLength).toBeGreaterThan(2 ** 31);
    v[v.length - 1] = 0.5;
    const region = regionOf(plan, "W_dec.v");
    expect(new DataView(buffer).getFloat32(region.byteOffset + region.byteLength - 4, true)).toBe(0.5);
  });

  it("is refused if it is smaller than the plan", () => {
    const plan = planRun({ setup: setupOf(sparseModel()), workers: 1 });
    expect(() => openArena(plan, new ArrayBuffer(1024))).toThrow(/memory of 1024 bytes for a plan of/);
  });
});
