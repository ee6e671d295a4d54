import { describe, expect, it } from "vitest";
import { bits, normals, randomArena, runBits, setBatch, setupOf, sparseModel } from "../test/support.ts";
import { referenceKernels } from "./reference/index.ts";
import type { DeepModelSetup, ModelSetup } from "./setup.ts";
import { createProgram, runStep } from "./stages.ts";
import { type SparseTrace, type StepTrace, traceStep } from "./trace.ts";

const deep: DeepModelSetup = {
  kind: "deep",
  architecture: "autoencoder",
  widths: [7, 5, 3, 5, 7],
  outputActivation: "relu",
};
const models: [string, ModelSetup][] = [
  ["TopK", sparseModel()],
  ["ReLU, free decoder", sparseModel({ architecture: "relu", decoder: "free" })],
  ["ReLU, unit decoder, encoder on x", sparseModel({ architecture: "relu", applyBDecToInput: false })],
  ["deep", deep],
];
// More rows than a block of them has, and more latents than a block of those.
const setup = (model: ModelSetup) => setupOf(model, { batchRows: 40 });
const rowsOf = (step: number): Float32Array => normals(40 * 7, 100 + step);

function sparseTrace(model: ModelSetup, precision: "float32" | "float64" = "float32"): SparseTrace {
  const trace = traceStep(randomArena(setup(model), 3, { storeGradients: true, precision }), rowsOf(0), 0);
  if (trace.kind !== "sparse") throw new Error("not sparse");
  return trace;
}

describe("traceStep", () => {
  it.each(models)("trains as the step does, to the bit: %s", (_, model) => {
    const traced = randomArena(setup(model), 3, { storeGradients: true });
    const trained = randomArena(setup(model), 3);
    const program = createProgram(trained, referenceKernels(), 0);
    for (let step = 0; step < 3; step++) {
      setBatch(trained, rowsOf(step), step);
      runStep(program, 0);
      traceStep(traced, rowsOf(step), step);
    }
    expect(runBits(traced)).toEqual(runBits(trained));
  });

  it.each(models)("goes on where the last step ended: %s", (_, model) => {
    const arena = randomArena(setup(model), 3, { storeGradients: true });
    const parametersOf = (trace: StepTrace) =>
      trace.kind === "sparse"
        ? [trace.W_enc, trace.b_enc, trace.W_dec, trace.b_dec]
        : trace.layers.flatMap(({ weight, bias }) => [weight, bias]);
    const first = parametersOf(traceStep(arena, rowsOf(0), 0));
    const second = parametersOf(traceStep(arena, rowsOf(1), 1));
    first.forEach(({ after, before }, index) => {
      expect(bits(after.values)).toBe(bits(second[index]!.before.values));
      expect(bits(after.values)).not.toBe(bits(before.values));
    });
  });

  it.each(models.slice(0, 3))("splits the gradient into its parts: %s", (_, model) => {
    const trace = sparseTrace(model, "float64");
    const { errorGradient, penaltyGradient, latentGradient, features, x, error, reconstruction } = trace;
    latentGradient.values.forEach((total, i) =>
      expect(errorGradient.values[i] + penaltyGradient.values[i]).toBeCloseTo(total, 12),
    );
    const atRest = latentGradient.values.filter((_value, i) => features.values[i] === 0);
    expect(atRest.every((gradient) => gradient === 0)).toBe(true);
    expect(trace.l0).toBe((40 * 19 - atRest.length) / 40);
    reconstruction.values.forEach((value, i) => {
      expect(error.values[i]).toBe(value - x.values[i]);
      expect(trace.outputGradient.values[i]).toBeCloseTo((2 / 40) * error.values[i], 12);
    });
  });

  it("gives features that are the positive pre-activations, or the k largest of them", () => {
    for (const [, model] of models.slice(0, 3)) {
      const { features, preActivations } = sparseTrace(model);
      for (let row = 0; row < 40; row++) {
        const z = [...preActivations.values.subarray(row * 19, (row + 1) * 19)];
        const kept = model.kind === "sparse" && model.architecture === "topk" ? model.k : 19;
        const bound = Math.max(0, z.toSorted((a, b) => b - a)[kept - 1]!);
        const f = [...features.values.subarray(row * 19, (row + 1) * 19)];
        expect(f).toEqual(z.map((value) => (value > 0 && value >= bound ? value : 0)));
      }
    }
  });

  it("tells the decoder's gradient before and after the penalty's pull", () => {
    const { W_dec, decoderErrorGradient, features, decoderNorm } = sparseTrace(models[1]![1], "float64");
    for (let latent = 0; latent < 19; latent++) {
      let sum = 0;
      for (let row = 0; row < 40; row++) sum += features.values[row * 19 + latent];
      const pull = (0.3 * sum) / 40 / decoderNorm.values[latent];
      for (let j = latent * 7; j < latent * 7 + 7; j++)
        expect(W_dec.gradient.values[j]).toBeCloseTo(
          decoderErrorGradient.values[j] + pull * W_dec.before.values[j],
          12,
        );
    }
  });

  it("gives each layer's z, of which the activation is the ReLU", () => {
    const trace = traceStep(randomArena(setup(deep), 3, { storeGradients: true }), rowsOf(0), 0);
    if (trace.kind !== "deep") throw new Error("not deep");
    for (const { preActivations, activation } of trace.layers) {
      expect([...activation.values]).toEqual([...preActivations.values].map((z) => (z < 0 ? 0 : z)));
      expect(Math.min(...preActivations.values)).toBeLessThan(0);
    }
    const y = trace.layers.at(-1)!.activation.values;
    expect([...trace.error.values]).toEqual([...y].map((value, i) => Math.fround(value - trace.x.values[i])));
  });

  it.each([0, 3, 7 * 41])("refuses a mini-batch of %i values", (length) => {
    const arena = randomArena(setup(deep), 3, { storeGradients: true });
    expect(() => traceStep(arena, new Float32Array(length), 0)).toThrow(
      "expected 1 to 40 whole rows of 7 values",
    );
  });
});
