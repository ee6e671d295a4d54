import { describe, expect, it } from "vitest";
import { normals, randomArena, runBits, setBatch, setupOf } from "../test/support.ts";
import type { DeepArena } from "./arena-deep.ts";
import { averagedViews } from "./averages.ts";
import { bottleneckOf } from "./deep-options.ts";
import {
  createProgram,
  type DeepModelSetup,
  deepModel,
  IDENTITY_TRANSFORM,
  loadState,
  referenceKernels,
  runStep,
  stateTensors,
  takeAverages,
  type TrainingSetup,
} from "./index.ts";
import { planRun } from "./plan.ts";

const model: DeepModelSetup = {
  kind: "deep",
  architecture: "autoencoder",
  widths: [6, 60, 3, 60, 6],
  outputActivation: "linear",
  tied: true,
};

function trained(setup: DeepModelSetup, steps: number, training: Partial<TrainingSetup> = {}): DeepArena {
  const arena = randomArena(setupOf(setup, training), 3);
  if (arena.kind !== "deep") throw new Error("not deep");
  const program = createProgram(arena, referenceKernels(), 0);
  for (let step = 0; step < steps; step++) {
    setBatch(arena, normals(16 * 6, step), step);
    runStep(program, 0);
  }
  return arena;
}

/** Whether layers 2 and 3 have the weights of 1 and 0, transposed. */
function isTied({ layers }: Pick<DeepArena, "layers">): boolean {
  return [0, 1].every((layer) => {
    const { inputs, outputs, weight } = layers[layer]!;
    const mirror = layers[3 - layer]!.weight.value;
    return mirror.every(
      (value, at) => value === weight.value[(at % outputs) * inputs + Math.floor(at / outputs)],
    );
  });
}

describe("tied layers", () => {
  it("stay transposes of each other, from the start and through training, clipping and Muon", () => {
    expect(isTied(trained(model, 0))).toBe(true);
    const before = trained(model, 0).layers[0]!.weight.value;
    const muon = { name: "muon", momentum: 0.9 } as const;
    for (const more of [{}, { clipNorm: 0.1 }, { optimizer: muon }]) {
      const after = trained(model, 5, more);
      expect(isTied(after)).toBe(true);
      expect(after.layers[0]!.weight.value).not.toEqual(before);
    }
  });

  it("have weights, moments and gradients once, biases each", () => {
    const arena = trained(model, 1);
    expect(Object.keys(stateTensors(arena)).filter((name) => !name.includes(".bias"))).toEqual([
      "layers.0.weight",
      "layers.0.weight.m",
      "layers.0.weight.v",
      "layers.1.weight",
      "layers.1.weight.m",
      "layers.1.weight.v",
    ]);
    expect(stateTensors(arena)["layers.3.bias"]?.shape).toEqual([6]);
  });

  it("go on from a saved state as if they had not been stopped", () => {
    const whole = trained(model, 6);
    const saved = Object.fromEntries(
      Object.entries(stateTensors(trained(model, 3))).map(([name, { data }]) => [
        name,
        { data: data.slice() },
      ]),
    );
    const arena = trained(model, 0);
    loadState(arena, saved);
    const program = createProgram(arena, referenceKernels(), 0);
    for (let step = 3; step < 6; step++) {
      setBatch(arena, normals(16 * 6, step), step);
      runStep(program, 0);
    }
    expect(runBits(arena)).toEqual(runBits(whole));
  });

  it("are tied in the averages, too, and in the exported model", () => {
    const arena = trained(model, 4, { ema: 0.9 });
    const averaged = averagedViews(arena) as DeepArena;
    expect(isTied(averaged)).toBe(true);
    takeAverages(arena);
    expect(isTied(arena)).toBe(true);
    expect(arena.layers[3]!.weight.value).toEqual(averaged.layers[3]!.weight.value);
    const { layers } = deepModel(arena, IDENTITY_TRANSFORM).parts;
    expect(layers[3]?.weight).toEqual(arena.layers[3]!.weight.value);
  });

  it.each([
    [
      [6, 4, 3, 2, 6],
      "widths of tied layers must be mirrored about a middle one, such as 8-4-2-4-8, got 6-4-3-2-6",
    ],
    [
      [6, 4, 4, 6],
      "widths of tied layers must be mirrored about a middle one, such as 8-4-2-4-8, got 6-4-4-6",
    ],
  ])("need mirrored widths about one layer, not %j", (widths, message) => {
    expect(() => planRun({ setup: setupOf({ ...model, widths }), workers: 1 })).toThrow(message);
  });
});

describe("the bottleneck", () => {
  it.each([
    [[6, 60, 3, 60, 6], 2],
    [[6, 60, 6], 1],
    [[6, 4, 3, 3, 6], 2],
  ])("of %j is layer %d: the narrowest hidden one, the first of several", (widths, layer) => {
    expect(bottleneckOf(widths)).toBe(layer);
  });

  it("has smaller activations the larger λ is", () => {
    const sums = [0, 0.3, 3].map((peak) => {
      const l1Coefficient = { peak, warmupSteps: 0, decaySteps: 0, totalSteps: 1000 };
      const arena = trained(model, 60, { l1Coefficient });
      return Array.from(arena.layers[1]!.activation).reduce((sum, value) => sum + value, 0);
    });
    expect(sums[1]).toBeLessThan(sums[0]!);
    expect(sums[2]).toBeLessThan(0.5 * sums[1]!);
  });
});
