import { describe, expect, it } from "vitest";
import { randomSparseArena, setBatch, setupOf, sparseModel } from "../test/support.ts";
import type { SparseArena } from "./arena-sparse.ts";
import { CONTROL } from "./control.ts";
import { SCREENING, SCREENING_FIELDS, SUMMARY } from "./fields.ts";
import {
  checkUnscreened,
  isEqualisedAnew,
  nextEqualising,
  startScreening,
  summariseScreening,
} from "./screening.ts";
import type { SparseModelSetup, TrainingSetup } from "./setup.ts";
import { emptyContext, setContext, type ThreadContext } from "./step-context.ts";

/** With these, rows with up to a quarter of all latents as candidates are screened. */
const COSTS = { product: 0.25, candidate: 3 };
const LATENTS = 200;
const ROWS = 16;

/** An arena whose mini-batch is step `step`, and the context of that step. */
function atStep(
  step: number,
  model: Partial<SparseModelSetup>,
  training: Partial<TrainingSetup> = {},
  train = true,
): { arena: SparseArena; context: ThreadContext } {
  const setup = setupOf(sparseModel({ latents: LATENTS, ...model }), training);
  const arena = randomSparseArena(setup, 1, { encoder: "screened" });
  setBatch(arena, new Float32Array(ROWS * arena.model.dIn), step, train);
  const context = emptyContext(0, setup);
  setContext(context, arena, 0);
  return { arena, context };
}

/** Whether a ReLU model's rows are screened after the equaliser, the step before having had `active` latents per row. */
function startsWith(active: number): boolean {
  const { arena, context } = atStep(2, { architecture: "relu", k: 0, decoder: "free" });
  arena.control[CONTROL.density] = active;
  startScreening(arena, context, COSTS);
  return arena.control[CONTROL.screening] === 1;
}

/** Whether rows are still screened after a step of which each has so many candidates, and some were redone. */
function goesOnWith(candidates: number, redone = 0, train = true): boolean {
  const { arena, context } = atStep(2, { architecture: "relu", k: 0, decoder: "free" }, {}, train);
  arena.control[CONTROL.screening] = 1;
  context.screened = true;
  for (let row = 0; row < ROWS; row++) {
    const at = row * SCREENING_FIELDS;
    arena.rowScreening[at + SCREENING.candidates] = candidates;
    arena.rowScreening[at + SCREENING.redone] = row < redone ? 1 : 0;
    arena.rowScreening[at + SCREENING.missed] = -1;
  }
  summariseScreening(arena, context, COSTS);
  expect(arena.summaries[SUMMARY.candidates]).toBe(ROWS * candidates);
  expect(arena.summaries[SUMMARY.redone]).toBe(redone);
  return arena.control[CONTROL.screening] === 1;
}

describe("screening starts", () => {
  it("where so few latents are active that candidates cost less than what the product saves", () => {
    // 15 % more candidates than active latents are expected: a quarter of all is reached at 43.5.
    expect([0, 10, 43].map(startsWith)).toEqual([true, true, true]);
    expect([44, 100, LATENTS].map(startsWith)).toEqual([false, false, false]);
  });

  it("with k largest selected, whatever was active before", () => {
    const { arena, context } = atStep(2, { architecture: "topk", k: 4 });
    arena.control[CONTROL.density] = LATENTS;
    startScreening(arena, context, COSTS);
    expect(arena.control[CONTROL.screening]).toBe(1);
  });

  it("only after k is annealed, with an equaliser made then", () => {
    const annealing = { kAnneal: { from: 100, steps: 3 } } as Partial<TrainingSetup>;
    const early = atStep(2, { architecture: "topk", k: 4 }, annealing);
    startScreening(early.arena, early.context, COSTS);
    expect(early.arena.control[CONTROL.screening]).toBe(0);
    expect(early.arena.control[CONTROL.equaliseAt]).toBe(3);
    const late = atStep(3, { architecture: "topk", k: 4 }, annealing);
    startScreening(late.arena, late.context, COSTS);
    expect(late.arena.control[CONTROL.screening]).toBe(1);
    expect(late.arena.control[CONTROL.equaliseAt]).toBe(4);
  });

  it("not where more than one of 64 latents cannot be screened", () => {
    const { arena, context } = atStep(2, { architecture: "topk", k: 4 });
    arena.control[CONTROL.unscreened] = 3;
    startScreening(arena, context, COSTS);
    expect(arena.control[CONTROL.screening]).toBe(1);
    arena.control[CONTROL.unscreened] = 4;
    startScreening(arena, context, COSTS);
    expect(arena.control[CONTROL.screening]).toBe(0);
  });
});

describe("screening ends", () => {
  it("after a step whose rows had so many candidates that the exact product costs less", () => {
    expect([0, 20, 50].map((candidates) => goesOnWith(candidates))).toEqual([true, true, true]);
    expect([51, LATENTS].map((candidates) => goesOnWith(candidates))).toEqual([false, false]);
  });

  it("after a step of which many rows had to be encoded exactly", () => {
    // A row done again costs a whole product: three quarters of them are what screening saves at most.
    expect(goesOnWith(0, 12)).toBe(true);
    expect(goesOnWith(0, 13)).toBe(false);
    expect(goesOnWith(20, 8)).toBe(false);
  });

  it("not after rows that were only evaluated in the course of training", () => {
    expect(goesOnWith(LATENTS, 0, false)).toBe(true);
  });

  it("where an update leaves more than one of 64 latents that cannot be screened", () => {
    const { arena } = atStep(2, { architecture: "topk", k: 4 });
    arena.control[CONTROL.screening] = 1;
    arena.control[CONTROL.unscreened] = 4;
    checkUnscreened(arena);
    expect(arena.control[CONTROL.screening]).toBe(0);
    expect(arena.control[CONTROL.unscreened]).toBe(0);
  });
});

describe("the equaliser", () => {
  it("is made anew at powers of two, then every 1,024 steps", () => {
    const steps = [0];
    while (steps.at(-1)! < 4000) steps.push(nextEqualising(steps.at(-1)!));
    expect(steps).toEqual([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3072, 4096]);
  });

  it("is made of evaluated rows only where there is none, and then anew by the next training step", () => {
    const model = { architecture: "topk", k: 4 } as const;
    const { arena, context } = atStep(40, model, {}, false);
    expect(isEqualisedAnew(arena, context)).toBe(true);
    startScreening(arena, context, COSTS);
    expect(isEqualisedAnew(arena, context)).toBe(false);
    expect(isEqualisedAnew(arena, atStep(40, model).context)).toBe(true);
    arena.control[CONTROL.equaliseAt] = 40;
    expect(isEqualisedAnew(arena, context)).toBe(false);
  });
});
