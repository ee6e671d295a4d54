import { describe, expect, it } from "vitest";
import { normals, randomSparseArena, setBatch, setupOf, sparseModel } from "../test/support.ts";
import {
  createProgram,
  loadState,
  type PAnnealSetup,
  planRun,
  referenceKernels,
  runStep,
  type SparseArena,
  type SparseModelSetup,
  stateTensors,
} from "./index.ts";
import { exponentAt } from "./p-annealing.ts";

const ROWS = 16;
const model = sparseModel({ architecture: "relu", k: 0, decoder: "unit" });
const pAnneal: PAnnealSetup = { from: 30, totalSteps: 130, end: 0.2, norm: "sum" };
const setup = (part: Partial<PAnnealSetup> = {}, of: Partial<SparseModelSetup> = {}) =>
  setupOf({ ...model, ...of }, { pAnneal: { ...pAnneal, ...part } });

/** Activations of each row, from the records. */
function activations(arena: SparseArena): number[][] {
  return Array.from({ length: ROWS }, (_, row) => {
    const begin = arena.rowOffset[row];
    return [...arena.recordValue.subarray(begin, begin + arena.rowCount[row])];
  });
}

function train(arena: SparseArena, from: number, to: number, visit: (step: number) => void = () => {}): void {
  const program = createProgram(arena, referenceKernels(), 0);
  for (let step = from; step < to; step++) {
    setBatch(arena, normals(ROWS * 7, step), step);
    runStep(program, 0);
    visit(step);
  }
}

describe("p", () => {
  it("goes from 1 to its end in ten equal updates, spread over the steps from the first on", () => {
    const steps = [0, 29, 30, 39, 40, 119, 120, 129];
    const found = steps.map((step) => exponentAt(pAnneal, step));
    [1, 1, 0.92, 0.92, 0.84, 0.28, 0.2, 0.2].forEach((p, i) => expect(found[i]).toBeCloseTo(p, 12));
    const all = Array.from({ length: 130 }, (_, step) => exponentAt(pAnneal, step));
    expect(new Set(all).size).toBe(11);
  });
});

describe("the λ of p-annealing", () => {
  it.each(["sum", "root"] as const)(
    "is multiplied at each update by mean L_p over mean L_p′ of the ten steps before: %s",
    (norm) => {
      const arena = randomSparseArena(setup({ norm }), 1);
      const penalty = (f: readonly number[], p: number): number => {
        const sum = f.reduce((all, value) => all + value ** p, 0);
        return norm === "sum" ? sum : sum ** (1 / p);
      };
      const seen: number[][][] = [];
      let factor = 1;
      train(arena, 0, 130, (step) => {
        seen.push(activations(arena));
        const [p, next] = [exponentAt(pAnneal, step), exponentAt(pAnneal, step + 1)];
        if (next !== p) {
          const mean = (power: number): number =>
            seen
              .slice(-10)
              .flat()
              .reduce((sum, f) => sum + penalty(f, power), 0);
          factor *= mean(p) / mean(next);
        }
        expect(arena.pAnnealing[0]! / factor).toBeCloseTo(1, 4);
      });
      expect(factor).not.toBeCloseTo(1, 1);
    },
  );

  it("goes on from a checkpoint, also from within the ten steps", () => {
    const whole = randomSparseArena(setup(), 1);
    const first = randomSparseArena(setup(), 1);
    const second = randomSparseArena(setup(), 2);
    train(whole, 0, 60);
    train(first, 0, 46);
    const saved = Object.entries(stateTensors(first)).map(([name, { data }]) => [
      name,
      { data: data.slice() },
    ]);
    loadState(second, Object.fromEntries(saved));
    train(second, 46, 60);
    expect(second.pAnnealing).toEqual(whole.pAnnealing);
    expect(second.W_enc.value).toEqual(whole.W_enc.value);
  });

  it("stays as it is where nothing is active", () => {
    const arena = randomSparseArena(setup(), 1);
    const silence = () => arena.b_enc.value.fill(-100);
    silence();
    train(arena, 20, 45, silence);
    expect(arena.pAnnealing[0]).toBe(1);
  });
});

it("the gradient of an activation near 0 is bounded in p-annealing, as if it were 1e-6", () => {
  const arena = randomSparseArena(setup(), 1);
  // One latent, active by its bias alone; nothing is to be rebuilt.
  arena.W_enc.value.fill(0);
  arena.b_enc.value.fill(-1);
  arena.b_enc.value[4] = 1e-9;
  arena.b_dec.value.fill(0);
  setBatch(arena, new Float32Array(ROWS * 7), 125);
  runStep(createProgram(arena, referenceKernels(), 0), 0);
  const gradient = arena.recordGradient[arena.rowOffset[0]!]!;
  expect(gradient / ((0.3 / ROWS) * 0.2 * 1e-6 ** -0.8)).toBeCloseTo(1, 4);
});

describe("p-annealing is refused", () => {
  it.each<[string, ReturnType<typeof setup>]>([
    ["pAnneal needs a unit decoder, got free", setup({}, { decoder: "free" })],
    ["pAnneal is for relu, not for gated", setup({}, { architecture: "gated" })],
    ["pAnneal.from must be 1 to 120, 10 steps before the run's end, got 121", setup({ from: 121 })],
    ["pAnneal.from must be 1 to 120, 10 steps before the run's end, got 0", setup({ from: 0 })],
    ["pAnneal.end must be above 0 and below 1, got 1", setup({ end: 1 })],
  ])("%s", (message, wrong) => {
    expect(() => planRun({ setup: wrong, workers: 1 })).toThrow(message);
  });
});
