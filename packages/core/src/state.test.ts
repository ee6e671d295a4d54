import { describe, expect, it } from "vitest";
import {
  bits,
  normals,
  randomSparseArena,
  runBits,
  setBatch,
  setupOf,
  sparseModel,
} from "../test/support.ts";
import { referenceKernels } from "./reference/index.ts";
import { createProgram, runStep } from "./stages.ts";
import { loadState, stateTensors } from "./state.ts";

const setup = setupOf(sparseModel({ architecture: "relu", decoder: "free" }));

function trained(steps: number) {
  const arena = randomSparseArena(setup, 1);
  const program = createProgram(arena, referenceKernels(), 0);
  const train = (from: number, to: number) => {
    for (let step = from; step < to; step++) {
      setBatch(arena, normals(16 * 7, step), step);
      runStep(program, 0);
    }
  };
  train(0, steps);
  return { arena, train };
}

describe("a run's state", () => {
  it("is enough to go on as if the run had never stopped, to the bit", () => {
    const through = trained(9);
    const stopped = trained(4);
    const saved = Object.fromEntries(
      Object.entries(stateTensors(stopped.arena)).map(([name, { data }]) => [name, { data: data.slice() }]),
    );
    const resumed = trained(0);
    loadState(resumed.arena, saved);
    resumed.train(4, 9);
    expect(runBits(resumed.arena)).toEqual(runBits(through.arena));
    expect(bits(resumed.arena.decoderNorm)).toBe(bits(through.arena.decoderNorm));
  });

  it("names all parameters, moments and counters with their shapes", () => {
    const shapes = Object.entries(stateTensors(trained(0).arena)).map(([name, { shape }]) => [
      name,
      ...shape,
    ]);
    expect(shapes.map((shape) => shape.join(" "))).toMatchInlineSnapshot(`
      [
        "W_enc 19 7",
        "W_enc.m 19 7",
        "W_enc.v 19 7",
        "b_enc 19",
        "b_enc.m 19",
        "b_enc.v 19",
        "W_dec 19 7",
        "W_dec.m 19 7",
        "W_dec.v 19 7",
        "b_dec 7",
        "b_dec.m 7",
        "b_dec.v 7",
        "lastFired 19",
        "fireCount 19",
      ]
    `);
  });

  it("of another configuration is refused by the tensor that differs", () => {
    const { arena } = trained(0);
    const { b_enc: _without, ...lacking } = stateTensors(arena);
    expect(() => loadState(arena, lacking)).toThrow("the checkpoint has no tensor b_enc");
    expect(() => loadState(arena, { ...stateTensors(arena), b_dec: { data: [1, 2] } })).toThrow(
      "tensor b_dec of the checkpoint has 2 elements, expected 7",
    );
  });
});
