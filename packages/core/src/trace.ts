/**
 * One training step with every intermediate matrix kept: for worked examples, teaching and debugging. The step is
 * the program of stages.ts on the reference kernels, which are only watched; where a stage keeps a sum of two parts,
 * its kernel is asked once more with one part's factor at zero. Nothing here repeats a formula.
 */
import type { DeepArena } from "./arena-deep.ts";
import type { SparseArena } from "./arena-sparse.ts";
import type { Arena } from "./arena.ts";
import { type FloatArray, roundingTo } from "./precision.ts";
import type { ParameterViews } from "./views.ts";
import { BATCH, SUMMARY } from "./fields.ts";
import { assert, OptionError } from "./errors.ts";
import type { Kernels, StepContext } from "./kernels.ts";
import { ROW_BLOCK } from "./block-sizes.ts";
import { chainProduct } from "./reference/chains.ts";
import { referenceKernels } from "./reference/index.ts";
import { inputDimension } from "./setup.ts";
import { createProgram, runStep } from "./stages.ts";

/** A row-major matrix [rows, columns]; a copy, not a view. */
export interface TracedMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: FloatArray;
}

/** A parameter before and after the step. Vectors are matrices of one column. */
export interface TracedParameter {
  readonly before: TracedMatrix;
  /** What the optimiser was given: averaged over the mini-batch; penalty and projection included. */
  readonly gradient: TracedMatrix;
  /** Adam's first moment after the step. */
  readonly m: TracedMatrix;
  /** Adam's second moment after the step. */
  readonly v: TracedMatrix;
  readonly after: TracedMatrix;
}

interface CommonTrace {
  /** 0-based. */
  readonly step: number;
  /** Mean over rows of squared error plus penalty. */
  readonly loss: number;
  /** Mean over rows of ‖x − x̂‖². */
  readonly mse: number;
  readonly learningRate: number;
  /** The mini-batch [B, D]. */
  readonly x: TracedMatrix;
  /** x̂ − x [B, D]. */
  readonly error: TracedMatrix;
  /** ‖x̂ − x‖² of each row [B, 1]. */
  readonly rowSquaredError: TracedMatrix;
}

/** A sparse autoencoder's step. B rows, D dIn, F latents. */
export interface SparseTrace extends CommonTrace {
  readonly kind: "sparse";
  /** What the encoder sees [B, D]: x, or x − b_dec. */
  readonly encoderInput: TracedMatrix;
  /** z [B, F]. */
  readonly preActivations: TracedMatrix;
  /** f [B, F]: z where the latent is active, else 0. */
  readonly features: TracedMatrix;
  /** x̂ [B, D]. */
  readonly reconstruction: TracedMatrix;
  /** ‖W_dec,i‖ before the update [F, 1]. */
  readonly decoderNorm: TracedMatrix;
  /** The penalty of each row without λ [B, 1]. */
  readonly rowPenalty: TracedMatrix;
  /** Mean number of active latents per row. */
  readonly l0: number;
  /** ∂loss/∂x̂ = (2/B)·(x̂ − x) [B, D]. */
  readonly outputGradient: TracedMatrix;
  /** The squared error's part of ∂loss/∂f [B, F], 0 where a latent is at rest. */
  readonly errorGradient: TracedMatrix;
  /** The penalty's part of ∂loss/∂f [B, F], 0 where a latent is at rest. */
  readonly penaltyGradient: TracedMatrix;
  /** ∂loss/∂z, both parts [B, F]. */
  readonly latentGradient: TracedMatrix;
  /** The squared error's part of ∂loss/∂W_dec [F, D], before penalty and projection. */
  readonly decoderErrorGradient: TracedMatrix;
  readonly W_enc: TracedParameter;
  readonly b_enc: TracedParameter;
  readonly W_dec: TracedParameter;
  readonly b_dec: TracedParameter;
}

/** One layer of a deep autoencoder's step. */
export interface TracedLayer {
  readonly relu: boolean;
  /** z [B, outputs]. */
  readonly preActivations: TracedMatrix;
  /** ReLU(z), or z in a linear layer [B, outputs]. */
  readonly activation: TracedMatrix;
  /** ∂loss/∂z [B, outputs]. */
  readonly delta: TracedMatrix;
  /** [outputs, inputs]. */
  readonly weight: TracedParameter;
  readonly bias: TracedParameter;
}

/** A deep autoencoder's step. */
export interface DeepTrace extends CommonTrace {
  readonly kind: "deep";
  readonly layers: readonly TracedLayer[];
}

/** What {@link traceStep} keeps, by the kind of model. */
export type StepTrace = SparseTrace | DeepTrace;

/**
 * Trains on one mini-batch and tells everything. Bit for bit the step of any other trainer.
 *
 * @param arena of one worker, its plan with `storeGradients`
 * @param rows the mini-batch [at most batchRows, dIn], in the model's coordinates
 * @param step 0-based; schedules and Adam's bias correction depend on it
 * @throws OptionError if `rows` are not whole rows
 */
export function traceStep(arena: Arena, rows: ArrayLike<number>, step: number): StepTrace {
  const { plan } = arena;
  assert(plan.storeGradients && plan.workers === 1, "tracing needs stored gradients and one worker");
  const dIn = inputDimension(arena.model);
  const { batchRows } = plan.setup.training;
  const count = rows.length / dIn;
  if (!Number.isInteger(count) || count < 1 || count > batchRows) {
    throw new OptionError("rows", `expected 1 to ${batchRows} whole rows of ${dIn} values`);
  }
  arena.slots[0].set(rows);
  arena.batches[BATCH.step] = step;
  arena.batches[BATCH.rows] = count;
  arena.batches[BATCH.examplesBefore] = step * batchRows;
  arena.batches[BATCH.train] = 1;
  return arena.kind === "sparse" ? traceSparse(arena, count, step) : traceDeep(arena, count, step);
}

function matrix(source: FloatArray, rows: number, columns: number): TracedMatrix {
  return { rows, columns, values: source.slice(0, rows * columns) };
}

function run(arena: Arena, kernels: Kernels): void {
  runStep(createProgram(arena, kernels, 0), 0);
}

/** Copies a parameter now, and the rest of its trace when the step is complete. */
function watchParameter(parameter: ParameterViews): () => TracedParameter {
  const [rows = 1, columns = 1] = parameter.shape;
  const copy = (source: FloatArray): TracedMatrix => matrix(source, rows, columns);
  const before = copy(parameter.value);
  return () => ({
    before,
    gradient: copy(parameter.gradient),
    m: copy(parameter.m),
    v: copy(parameter.v),
    after: copy(parameter.value),
  });
}

function summaryOf(arena: Arena, step: number, rows: number) {
  const { summaries } = arena;
  return {
    step,
    loss: summaries[SUMMARY.loss],
    mse: summaries[SUMMARY.squaredError] / rows,
    learningRate: summaries[SUMMARY.learningRate],
    rowSquaredError: matrix(arena.rowSquaredError, rows, 1),
  };
}

function traceSparse(arena: SparseArena, rows: number, step: number): SparseTrace {
  const { dIn, latents } = arena.model;
  const { sparse, ...rest } = referenceKernels(arena.plan.precision);
  const x = arena.slots[0];
  const Float = arena.plan.precision === "float32" ? Float32Array : Float64Array;
  const empty = (columns: number): TracedMatrix => ({ rows, columns, values: new Float(rows * columns) });
  const preActivations = empty(latents);
  const features = empty(latents);
  const reconstruction = empty(dIn);
  const error = empty(dIn);
  const outputGradient = empty(dIn);
  const errorGradient = empty(latents);
  const penaltyGradient = empty(latents);
  const latentGradient = empty(latents);
  const decoderErrorGradient = { rows: latents, columns: dIn, values: arena.W_dec.gradient.slice() };
  const input = matrix(x, rows, dIn);
  const decoderNorm = matrix(arena.decoderNorm, latents, 1);
  const parameters = [arena.W_enc, arena.b_enc, arena.W_dec, arena.b_dec].map(watchParameter);

  const keepRows = (into: TracedMatrix, from: FloatArray, first: number, last: number): void =>
    into.values.set(from.subarray(first * dIn, last * dIn), first * dIn);
  const keepRecords = (into: TracedMatrix, from: FloatArray, first: number, last: number): void => {
    for (let row = first; row < last; row++) {
      const end = arena.rowOffset[row] + arena.rowCount[row];
      for (let record = arena.rowOffset[row]; record < end; record++)
        into.values[row * latents + arena.recordLatent[record]] = from[record];
    }
  };
  /** decodeRows under other circumstances; it adds to what selection left in rowSquaredError. */
  const askDecoder = (context: StepContext, first: number, last: number): void => {
    const poison = arena.rowSquaredError.slice(first, last);
    sparse.decodeRows(arena, context, first, last);
    arena.rowSquaredError.set(poison, first);
  };

  run(arena, {
    ...rest,
    sparse: {
      ...sparse,
      encodeRows(on, context, first, last) {
        const fits = sparse.encodeRows(on, context, first, last);
        assert(last - first <= ROW_BLOCK, "a block of rows");
        preActivations.values.set(
          arena.preActivations.subarray(0, (last - first) * latents),
          first * latents,
        );
        return fits;
      },
      decodeRows(on, context, first, last) {
        keepRecords(features, arena.recordValue, first, last);
        // Against a target of zeros the residual is the reconstruction itself.
        x.fill(0);
        askDecoder({ ...context, train: false }, first, last);
        x.set(input.values);
        keepRows(reconstruction, arena.residual, first, last);
        askDecoder({ ...context, train: false }, first, last);
        keepRows(error, arena.residual, first, last);
        askDecoder({ ...context, penaltyScale: 0 }, first, last);
        keepRecords(errorGradient, arena.recordGradient, first, last);
        askDecoder({ ...context, gradientScale: 0 }, first, last);
        keepRecords(penaltyGradient, arena.recordGradient, first, last);
        sparse.decodeRows(on, context, first, last);
        keepRows(outputGradient, arena.residual, first, last);
        keepRecords(latentGradient, arena.recordGradient, first, last);
      },
      completeGradients(on, context, first, last, weights) {
        decoderErrorGradient.values.set(arena.W_dec.gradient.subarray(first * dIn, last * dIn), first * dIn);
        sparse.completeGradients(on, context, first, last, weights);
      },
    },
  });

  const [W_enc, b_enc, W_dec, b_dec] = parameters.map((complete) => complete()) as [
    TracedParameter,
    TracedParameter,
    TracedParameter,
    TracedParameter,
  ];
  return {
    kind: "sparse",
    ...summaryOf(arena, step, rows),
    l0: arena.summaries[SUMMARY.active] / rows,
    x: input,
    encoderInput: arena.centredInput === undefined ? input : matrix(arena.centredInput, rows, dIn),
    preActivations,
    features,
    reconstruction,
    error,
    decoderNorm,
    rowPenalty: matrix(arena.rowPenalty, rows, 1),
    outputGradient,
    errorGradient,
    penaltyGradient,
    latentGradient,
    decoderErrorGradient,
    W_enc,
    b_enc,
    W_dec,
    b_dec,
  };
}

function traceDeep(arena: DeepArena, rows: number, step: number): DeepTrace {
  const { precision } = arena.plan;
  const { deep, ...rest } = referenceKernels(precision);
  const round = roundingTo(precision);
  const x = matrix(arena.slots[0], rows, inputDimension(arena.model));
  const preActivations = arena.layers.map(({ outputs, activation }) => matrix(activation, rows, outputs));
  const error = matrix(arena.slots[0], rows, x.columns);
  const output = arena.layers[arena.layers.length - 1];
  const parameters = arena.layers.map(({ weight, bias }) => ({
    weight: watchParameter(weight),
    bias: watchParameter(bias),
  }));

  run(arena, {
    ...rest,
    deep: {
      ...deep,
      propagateRows(on, context, first, last) {
        // Only evaluating, the difference takes the reconstruction's place.
        deep.propagateRows(on, { ...context, train: false }, first, last);
        const from = first * x.columns;
        error.values.set(output.activation.subarray(from, last * x.columns), from);
        deep.propagateRows(on, context, first, last);
        // A layer keeps ReLU(z) only: z is the same canonical product once more.
        arena.layers.forEach(({ inputs, outputs, weight, bias }, layer) => {
          const input = layer === 0 ? arena.slots[0] : arena.layers[layer - 1].activation;
          const z = preActivations[layer].values;
          const at = first * outputs;
          const units = weight.value;
          chainProduct(z, at, bias.value, input, first * inputs, last - first, units, outputs, inputs, round);
        });
      },
    },
  });

  const layers = arena.layers.map(
    ({ outputs, relu, activation, delta }, layer): TracedLayer => ({
      relu,
      preActivations: preActivations[layer],
      activation: matrix(activation, rows, outputs),
      delta: matrix(delta, rows, outputs),
      weight: parameters[layer].weight(),
      bias: parameters[layer].bias(),
    }),
  );
  return { kind: "deep", ...summaryOf(arena, step, rows), x, error, layers };
}
