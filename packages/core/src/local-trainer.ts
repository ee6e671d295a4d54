/**
 * Training on the calling thread: the same plan, stages and kernels as the worker team, run in order. For small
 * jobs, web pages and tests; files, threads and shuffling are the caller's.
 */
import { ARCHITECTURES } from "./architectures/index.ts";
import { allocateMemory, type Arena, openArena } from "./arena.ts";
import { averagedViews } from "./averages.ts";
import { BATCH, SUMMARY, SUMMARY_FIELDS } from "./fields.ts";
import { type DeepAutoencoder, deepModel } from "./deep-autoencoder.ts";
import { assert, OptionError } from "./errors.ts";
import { chooseEncoder } from "./encoder.ts";
import { setInitialBias } from "./initial-bias.ts";
import { geometricMedian, type Initialisation, initialise } from "./initialise.ts";
import { bestKernelVariant, createKernels, type KernelVariant } from "./kernel-variants.ts";
import { IDENTITY_TRANSFORM, type RowTransform, transformRows } from "./normalisation.ts";
import { type Encoder, planRun } from "./plan.ts";
import type { Precision } from "./precision.ts";
import { automaticRate } from "./automatic-rate.ts";
import { meanOfRows } from "./rows.ts";
import type { Schedule } from "./schedule.ts";
import {
  type AdamSetup,
  DEFAULT_ADAM,
  defaultDeadWindow,
  inputDimension,
  type ModelSetup,
  outputDimension,
  type Setup,
  type TrainingSetup,
} from "./setup.ts";
import { foldedModel } from "./folding.ts";
import { initialiseFrom } from "./unfolding.ts";
import type { SparseAutoencoder } from "./sparse-autoencoder.ts";
import type { StepProgram } from "./stage.ts";
import { createProgram, runStep } from "./stages.ts";

/** What {@link LocalTrainer} takes of a training as it is. */
type Taken =
  | "optimizer"
  | "clipNorm"
  | "ema"
  | "auxK"
  | "preActCoefficient"
  | "kAnneal"
  | "pAnneal"
  | "multiTopK";
const TAKEN: readonly Taken[] = [
  "optimizer",
  "clipNorm",
  "ema",
  "auxK",
  "preActCoefficient",
  "kAnneal",
  "pAnneal",
  "multiTopK",
];

/** Options of {@link LocalTrainer}; optimiser, clipping, averages, auxiliary losses and annealing as in {@link TrainingSetup}. */
export interface LocalTrainerOptions extends Pick<TrainingSetup, Taken> {
  readonly model: ModelSetup;
  /** Rows of a mini-batch. */
  readonly batchRows: number;
  /** Steps that will be taken; schedules refer to it. */
  readonly totalSteps: number;
  /** @default that of {@link automaticRate} */
  readonly learningRate?: number;
  /** Steps of linear warm-up of the learning rate. @default 0 */
  readonly warmupSteps?: number;
  /** Steps of linear decay at the end. @default 0 */
  readonly decaySteps?: number;
  /** λ of the architecture's sparsity penalty: L1, JumpReLU's, or L1 of a deep autoencoder's bottleneck. @default 0, without which nothing makes architectures without k sparse */
  readonly l1Coefficient?: number;
  /** Steps of linear warm-up of λ. @default 0 */
  readonly l1WarmupSteps?: number;
  /** @default torch's: β 0.9 and 0.999, ε 1e-8 */
  readonly adam?: AdamSetup;
  /** Examples without activation after which a latent is dead. @default see defaultDeadWindow */
  readonly deadWindow?: number;
  readonly seed: number;
  /** Rows [any number, dIn] for b_dec (their geometric median) and the decoder's directions. @default random directions, b_dec 0 */
  readonly initialRows?: Float32Array;
  /** Of a transcoder: what is to be rebuilt from initialRows [as many, dOut]; b_dec and decoder directions are of these. */
  readonly initialTargets?: Float32Array;
  /** A finished model, on rows of the kind to train on, whose parameters come first, see {@link initialiseFrom}. @default none */
  readonly initialModel?: SparseAutoencoder;
  /** How the first parameters are chosen. @default as the fields of {@link LocalStart} say */
  readonly start?: LocalStart;
  /** Whether rows, initialRows among them, are raw and normalised by LayerNorm, and by the model later. @default false */
  readonly layerNorm?: boolean;
  /** @default float32 */
  readonly precision?: Precision;
  /** @default the fastest that this machine runs; the reference for float64 */
  readonly kernels?: KernelVariant;
  /** How pre-activations are found; changes no bit. @default auto, see {@link chooseEncoder} */
  readonly encoder?: "auto" | Encoder;
}

/** The first parameters of a sparse model, beyond what initialRows give. */
export interface LocalStart extends Pick<Initialisation, "decoderEntries" | "decoderNorm" | "encoder"> {
  /** b_dec: the geometric median of the initial rows, their mean, or zero. @default median, without rows zero */
  readonly decoderBias?: "median" | "mean" | "zero";
  /** Decoder rows: directions of initial rows, or random ones. @default rows, where there are any */
  readonly decoderRows?: "rows" | "random";
  /**
   * Share of initialRows on which each latent is active, by its encoder bias (see {@link setInitialBias}); for
   * architectures without k. @default encoder biases are 0
   */
  readonly activeShare?: number;
}

/** What a step reports. */
export interface StepReport {
  readonly step: number;
  readonly loss: number;
  /** Mean over rows of ‖x − x̂‖². */
  readonly mse: number;
  /** Active latents per row. */
  readonly l0: number;
  readonly dead: number;
}

/** Trains a model on the calling thread, one mini-batch a call: for small jobs, web pages and tests. */
export class LocalTrainer {
  /** The run's memory, for whoever wants to look at parameters and gradients. */
  readonly arena: Arena;
  readonly #program: StepProgram;
  readonly #transform: RowTransform;
  #step = 0;
  #examples = 0;

  /** @throws OptionError if an option is out of range or the model does not fit into memory */
  constructor(options: LocalTrainerOptions) {
    const { model, precision = "float32", seed } = options;
    checkStart(options);
    this.#transform = transformOf(options);
    // The fast kernels are compiled for shared memory; float64 and machines without them take the reference.
    const variant = options.kernels ?? (precision === "float32" ? bestKernelVariant() : "reference");
    const encoder = chooseEncoder(options.encoder ?? "auto", model, variant);
    const plan = planRun({ setup: localSetup(options), workers: 1, slots: 1, precision, encoder });
    const memory = allocateMemory(plan, { shared: variant !== "reference" });
    this.arena = openArena(plan, memory.buffer);
    this.#program = createProgram(this.arena, createKernels(variant, plan, memory), 0);
    initialise(this.arena, { seed, ...fromData(options, this.#transform) });
    const { initialModel } = options;
    if (initialModel !== undefined && this.arena.kind === "sparse")
      initialiseFrom(this.arena, initialModel, this.#transform);
    const { activeShare } = options.start ?? {};
    if (activeShare !== undefined && this.arena.kind === "sparse" && options.initialRows !== undefined) {
      const rows = transformRows(options.initialRows, inputDimension(model), this.#transform);
      setInitialBias(this.arena, rows, activeShare, variant);
    }
  }

  /**
   * Trains on one mini-batch [at most batchRows, dIn].
   *
   * @param targets of a transcoder: what is to be rebuilt [as many, dOut]
   * @throws OptionError unless these are whole rows, and targets where the model has a dOut
   * @throws Error when the loss is not a finite number: the parameters are then of no use, start anew with a smaller
   * learning rate
   */
  step(rows: ArrayLike<number>, targets?: ArrayLike<number>): StepReport {
    const { arena } = this;
    const dIn = inputDimension(arena.model);
    const count = rows.length / dIn;
    const { batchRows } = arena.plan.setup.training;
    if (!Number.isInteger(count) || count < 1 || count > batchRows) {
      throw new OptionError(
        "rows",
        `a mini-batch must have 1 to ${batchRows} whole rows of ${dIn} values, got ${rows.length} values`,
      );
    }
    const slot = arena.slots[0];
    assert(slot !== undefined, "an arena has a slot");
    const dOut = arena.model.kind === "sparse" ? arena.model.dOut : undefined;
    const expected = dOut === undefined ? undefined : count * dOut;
    if (targets?.length !== expected)
      throw new OptionError(
        "targets",
        dOut === undefined
          ? "targets are for a transcoder: the model has no dOut"
          : `targets must be ${count} rows of ${dOut} values, got ${targets?.length ?? 0} values`,
      );
    // All inputs first, then all targets.
    if (targets !== undefined) slot.set(targets, batchRows * dIn);
    slot.set(this.#transform.layerNorm === undefined ? rows : transformRows(rows, dIn, this.#transform));
    arena.batches[BATCH.step] = this.#step;
    arena.batches[BATCH.rows] = count;
    arena.batches[BATCH.examplesBefore] = this.#examples;
    arena.batches[BATCH.train] = 1;
    runStep(this.#program, 0);
    const summary = arena.summaries.subarray(0, SUMMARY_FIELDS);
    const report = {
      step: this.#step,
      loss: summary[SUMMARY.loss],
      mse: summary[SUMMARY.squaredError] / count,
      l0: summary[SUMMARY.active] / count,
      dead: summary[SUMMARY.dead],
    };
    if (!Number.isFinite(report.loss)) throw new Error(`the loss of step ${this.#step} is ${report.loss}`);
    this.#step++;
    this.#examples += count;
    return report;
  }

  /** The model so far: encode and decode rows of the kind that was trained on. */
  model(): SparseAutoencoder | DeepAutoencoder {
    const arena = averagedViews(this.arena);
    return arena.kind === "sparse"
      ? foldedModel(arena, this.#transform, "scale")
      : deepModel(arena, this.#transform);
  }
}

/** @throws OptionError if a row has a vector of one number, of which LayerNorm would leave nothing */
function transformOf({ model, layerNorm = false }: LocalTrainerOptions): RowTransform {
  if (!layerNorm) return IDENTITY_TRANSFORM;
  const dIn = inputDimension(model);
  const widths = (model.kind === "sparse" ? model.columns : undefined) ?? [dIn];
  if (widths.some((width) => width < 2))
    throw new OptionError(
      "layerNorm",
      `layerNorm needs vectors of at least 2 dimensions, got ${widths.join(", ")}`,
    );
  return { ...IDENTITY_TRANSFORM, layerNorm: widths };
}

/** @throws OptionError where a start does not go with the model, or needs rows that are not there */
function checkStart({
  model,
  initialRows,
  initialTargets,
  start = {},
  initialModel,
  layerNorm,
}: LocalTrainerOptions): void {
  const refuse = (option: string, what: string): OptionError => new OptionError(option, `${option} ${what}`);
  if (initialModel !== undefined && model.kind === "deep")
    throw refuse("initialModel", "is for sparse models");
  const others = [initialRows, initialTargets, ...Object.values(start)].some((one) => one !== undefined);
  if (initialModel !== undefined && others)
    throw refuse(
      "initialModel",
      "gives all first parameters: leave out initialRows, initialTargets and start",
    );
  const dOut = model.kind === "sparse" ? model.dOut : undefined;
  if (dOut === undefined && initialTargets !== undefined)
    throw refuse("initialTargets", "is for a transcoder: the model has no dOut");
  if (dOut !== undefined && layerNorm === true) throw refuse("layerNorm", "does not go with dOut");
  if (dOut !== undefined && initialRows?.length !== undefined) {
    const wanted = (initialRows.length / inputDimension(model)) * dOut;
    if (initialTargets?.length !== wanted)
      throw refuse(
        "initialTargets",
        `must have ${wanted} values, as many rows of ${dOut} as initialRows has, got ${initialTargets?.length ?? 0}`,
      );
  }
  const needing = (["decoderBias", "decoderRows", "activeShare"] as const).find(
    (key) => start[key] !== undefined && start[key] !== "zero" && start[key] !== "random",
  );
  if (needing !== undefined && initialRows === undefined)
    throw refuse(`start.${needing}`, "needs initialRows");
  if (model.kind === "deep") {
    if (Object.keys(start).length > 0) throw refuse("start", "is for sparse models");
    return;
  }
  if (start.activeShare !== undefined && ARCHITECTURES[model.architecture].selection !== "positive")
    throw refuse("start.activeShare", `is for architectures without k, not for ${model.architecture}`);
  if (start.decoderNorm !== undefined && model.decoder === "unit")
    throw refuse("start.decoderNorm", "is for a free decoder: rows of a unit decoder have norm 1");
}

/** What the start takes from the rows that were given for it. */
function fromData(
  { model, initialRows, initialTargets, start = {} }: LocalTrainerOptions,
  transform: RowTransform,
): Partial<Initialisation> {
  const { decoderBias: which = "median", decoderRows: from = "rows", activeShare: _, ...drawn } = start;
  if (initialRows === undefined) return drawn;
  const dIn = inputDimension(model);
  const inputs = transformRows(initialRows, dIn, transform);
  const rebuilt = initialTargets ?? inputs;
  const width = model.kind === "sparse" ? outputDimension(model) : dIn;
  const bias = { median: geometricMedian, mean: meanOfRows, zero: undefined }[which];
  return {
    ...drawn,
    ...(bias === undefined ? {} : { decoderBias: Float32Array.from(bias(rebuilt, width)) }),
    ...(from === "random" ? {} : { decoderRows: rebuilt }),
    ...(initialTargets === undefined ? {} : { inputMean: meanOfRows(inputs, dIn) }),
  };
}

function localSetup(options: LocalTrainerOptions): Setup {
  const {
    model,
    batchRows,
    totalSteps,
    warmupSteps = 0,
    decaySteps = 0,
    l1Coefficient = 0,
    l1WarmupSteps = 0,
  } = options;
  const peak = options.learningRate ?? automaticRate(model, options.optimizer?.name).rate;
  const learningRate: Schedule = { peak, warmupSteps, decaySteps, totalSteps };
  return {
    model,
    training: {
      batchRows,
      learningRate,
      l1Coefficient: { peak: l1Coefficient, warmupSteps: l1WarmupSteps, decaySteps: 0, totalSteps },
      adam: options.adam ?? DEFAULT_ADAM,
      ...Object.fromEntries(
        TAKEN.flatMap((key) => (options[key] === undefined ? [] : [[key, options[key]]])),
      ),
      deadWindow: options.deadWindow ?? defaultDeadWindow(batchRows, batchRows * totalSteps),
    },
  };
}
