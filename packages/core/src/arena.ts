/** A run's memory and the typed-array views over its regions. Views are made once per thread. */
import { tiedTo, transposeUnits } from "./deep-options.ts";
import { assert } from "./errors.ts";
import { ARCHITECTURES, type LatentScalar } from "./architectures/index.ts";
import { latentSums } from "./plan-sparse.ts";
import { type Plan, regionOf } from "./plan.ts";
import {
  type DeepModelSetup,
  inputDimension,
  type ModelSetup,
  outputDimension,
  type SparseModelSetup,
} from "./setup.ts";

/** All model arithmetic is written over both: float32 to train, float64 to check gradients. */
export type FloatArray = Float32Array | Float64Array;

/** A run's memory: shared between threads, or private to one. */
export type ArenaBuffer = ArrayBuffer | SharedArrayBuffer;

/** Fields of a mini-batch's description (region `batches`, one row per slot), written by whoever feeds the ring. */
export const BATCH = {
  /** 0-based step; schedules and Adam's bias correction are functions of it. */
  step: 0,
  /** Rows in this mini-batch. */
  rows: 1,
  /** Examples trained on before this step. */
  examplesBefore: 2,
  /** 1: train; 0: only encode, decode and measure. */
  train: 3,
  /** 1: BatchTopK selects by its moving threshold, as a finished model does, and not over the mini-batch. */
  byThreshold: 4,
} as const;

/** Fields of the auxiliary loss's state (region `auxiliary`). */
export const AUXILIARY = {
  /** What mean‖e − ê‖² is multiplied by in this step; 0: no term. */
  factor: 0,
} as const;

/** Fields of the state of BatchTopK's threshold (region `batchThreshold`). */
export const BATCH_THRESHOLD = {
  /** The moving threshold: what a finished model selects by. NaN is never there; 0 before the first step counted. */
  moving: 0,
  /** Steps that the moving threshold has seen. */
  steps: 1,
  /** The last mini-batch's k·B-th largest value; records below it are dropped. 0: all positive ones are kept. */
  value: 2,
  /** Records of that very value are kept in rows before this one … */
  tieRow: 3,
  /** … and in it, those of latents before this one. */
  tieLatent: 4,
  /** The value of the mini-batch before. */
  previous: 5,
} as const;

/** Fields of a step's summary (region `summaries`, one row per slot), written when the step is complete. */
export const SUMMARY = {
  /** Mean over rows of squared error plus penalty. */
  loss: 0,
  /** Sum over rows of ‖x − x̂‖². */
  squaredError: 1,
  /** Sum over rows of ‖x − x̄‖², x̄ the corpus's mean. */
  squares: 2,
  /** Active latents, summed over rows. */
  active: 3,
  /** Latents without activation in the dead window. */
  dead: 4,
  learningRate: 5,
  rows: 6,
  /** Pre-activations that the screened encoder computed exactly, summed over rows; 0 when the step was not screened. */
  candidates: 7,
  /** Rows of a screened step that were encoded by the exact product. */
  redone: 8,
  /** Largest error of a screened pre-activation, in standard deviations of the error model. */
  screeningError: 9,
  /** Rows whose screening was checked against all exact pre-activations. */
  audited: 10,
  /** Active latents that the check found missing. */
  missed: 11,
  /** ‖gradients of all parameters‖ before they were clipped; 0 where they are not. */
  gradientNorm: 12,
} as const;

/** Fields of a row's report on its screening (region `rowScreening`). */
export const SCREENING = {
  candidates: 0,
  /** 1: encoded by the exact product. */
  redone: 1,
  error: 2,
  /** −1: not audited; else active latents that were missing. */
  missed: 3,
} as const;

/** Fields of the gradients' norm (region `gradientNorm`). */
export const GRADIENT_NORM = {
  /** ‖gradients of all parameters‖ before they were clipped. */
  norm: 0,
  /** What they are multiplied by. */
  factor: 1,
} as const;

/** The part of WebAssembly.Memory that we use; core compiles without the DOM's types. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

declare const WebAssembly: {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
};

/** Allocates the memory of `plan`, zeroed. `shared` makes it one that worker threads can see. */
export function allocateMemory(plan: Plan, options: { shared: boolean }): WasmMemory {
  const pages = plan.byteLength / 65536;
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: options.shared });
}

interface CommonViews {
  readonly plan: Plan;
  /** Int32 words of whoever runs the team. */
  readonly team: Int32Array;
  /** Words of the step itself, see stages. */
  readonly control: Int32Array;
  readonly batches: Float64Array;
  readonly summaries: Float64Array;
  /** Mean of what is rebuilt, in the model's coordinates [dIn, or a transcoder's dOut]. */
  readonly mean: FloatArray;
  /** Mini-batches [batchRows, dIn], one view per slot; of a transcoder followed by what is to be rebuilt [batchRows, dOut]. */
  readonly slots: readonly FloatArray[];
  /** What is to be rebuilt of each slot: the slot itself, or a transcoder's second part. */
  readonly targets: readonly FloatArray[];
  readonly rowSquaredError: FloatArray;
  readonly rowSquares: FloatArray;
  readonly rowPenalty: FloatArray;
  /** See {@link GRADIENT_NORM}; empty where it is not asked for. */
  readonly gradientNorm: Float64Array;
}

/** A parameter tensor with what is kept for it. What the optimiser does not keep is empty, as is all of it when not training. */
export interface ParameterViews {
  readonly name: string;
  readonly shape: readonly number[];
  readonly value: FloatArray;
  /** The gradient's running mean (Adam's first moment, Signum's momentum). */
  readonly m: FloatArray;
  /** Adam's second moment. */
  readonly v: FloatArray;
  /** The point that schedule-free descent moves; `value` is where it takes gradients. */
  readonly z: FloatArray;
  /** The average of the parameter over steps, which a finished model has in its place. */
  readonly average: FloatArray;
  /** The gradient: all of it, or scratch for one block per worker (plan.storeGradients). */
  readonly gradient: FloatArray;
  /** Of a matrix: its gradient's rows squared, where their norm is asked for. */
  readonly squares: FloatArray;
  /** Of a matrix: what Muon works with. */
  readonly matrix: MatrixViews;
}

/** Muon's work on one matrix with D columns, see optimizers/muon.ts; empty without it. */
export interface MatrixViews {
  /** G [D, D]. */
  readonly gram: FloatArray;
  /** M [D, D]. */
  readonly factor: FloatArray;
  /** G·M [D, D]. */
  readonly turned: FloatArray;
  /** P and the one before or after it [D, D]. */
  readonly products: readonly [FloatArray, FloatArray];
  /** Scratch for rows of an update, `rowsPerWorker` numbers for each worker. */
  readonly rows: FloatArray;
  readonly rowsPerWorker: number;
  /** ‖u‖ [1]. */
  readonly norm: Float64Array;
}

/** Views of a sparse autoencoder's run. B batchRows, D dIn, F latents. */
export interface SparseArena extends CommonViews {
  readonly kind: "sparse";
  readonly model: SparseModelSetup;
  /** Encoder, latent-major [F, D]: one latent's weights lie together, as its owner updates them. */
  readonly W_enc: ParameterViews;
  readonly b_enc: ParameterViews;
  readonly W_dec: ParameterViews;
  readonly b_dec: ParameterViews;
  /** [dOut, D]; empty unless a skip transcoder. */
  readonly W_skip: ParameterViews;
  /** y − W_skip·x [B, dOut]; empty unless a skip transcoder. */
  readonly unskipped: FloatArray;
  /** [dOut]. */
  readonly skipZeros: FloatArray;
  /** θ [F], at least 0; empty where the architecture has no thresholds, as are the two that follow without a gate. */
  readonly threshold: ParameterViews;
  /** Logarithm of what multiplies W_enc for the magnitudes [F]. */
  readonly r_mag: ParameterViews;
  /** Bias of the magnitudes [F]. */
  readonly b_mag: ParameterViews;
  /** exp(r_mag) [F], refreshed by whoever updates the latent; empty without a gate. */
  readonly magnitudeGain: FloatArray;
  /** What a pre-activation must exceed to be in the records [F], or [1] for all latents alike (BatchTopK). */
  readonly floors: FloatArray;
  /** See {@link BATCH_THRESHOLD}; empty unless BatchTopK. */
  readonly batchThreshold: Float64Array;
  readonly histogram: Int32Array;
  /** ‖W_dec,i‖, of a crosscoder the sum over its columns; refreshed by whoever updates the latent. */
  readonly decoderNorm: FloatArray;
  /** Examples trained on when the latent was last active. */
  readonly lastFired: Float64Array;
  /** Activations of each latent over the run. */
  readonly fireCount: Float64Array;
  /** x − b_dec [B, D]; undefined when the encoder sees x itself. */
  readonly centredInput: FloatArray | undefined;
  /** (2/B)·(x̂ − x) [B, D]. */
  readonly residual: FloatArray;
  /** What latents see of the errors [G, B, D], Σ over the prefixes that hold them; empty unless Matryoshka. */
  readonly prefixResidual: FloatArray;
  /** Mean over prefixes of ‖x − x̂_g‖² [B]; empty unless Matryoshka. */
  readonly rowPrefixError: FloatArray;
  readonly prefixRunning: FloatArray;
  readonly rowOffset: Int32Array;
  readonly rowCount: Int32Array;
  readonly rowActive: Int32Array;
  /** Sparse records: the gradient support of each row, in ascending latent order. */
  readonly recordLatent: Int32Array;
  readonly recordValue: FloatArray;
  readonly recordGradient: FloatArray;
  /** π of each record; empty without a gate, or when not training. */
  readonly recordGate: FloatArray;
  /** ∂loss/∂parameter of each record, by parameter; empty but for those of `pulledBy`. */
  readonly recordPull: Readonly<Record<LatentScalar | "b_enc", FloatArray>>;
  /** What is summed by latent beside the weights' gradients: numbers of records, and where their sums go. */
  readonly pulls: readonly { readonly records: FloatArray; readonly sum: FloatArray }[];
  /** Second squared error of each row that is trained on, with its weight [B]: a gate's, multi-TopK's; else empty. */
  readonly rowSecondError: FloatArray;
  /** What the gate's reconstruction leaves of a block of rows [workers, ROW_BLOCK, D]. */
  readonly gateResidual: FloatArray;
  /** Σ over records of what flows back into W_enc·input [F]: `b_enc.gradient` itself, except with a gate. */
  readonly inputGradient: FloatArray;
  /** See `P_ANNEALING` in p-annealing.ts; empty without p-annealing, as is the rows' penalty with the next p [B]. */
  readonly pAnnealing: Float64Array;
  readonly rowNextPenalty: FloatArray;
  /** Multi-TopK's records and what they leave of rows [B, D], see multi-topk.ts; empty without it. */
  readonly wideOffset: Int32Array;
  readonly wideCount: Int32Array;
  readonly wideLatent: Int32Array;
  readonly wideValue: FloatArray;
  readonly wideGradient: FloatArray;
  readonly wideSorted: FloatArray;
  readonly wideResidual: FloatArray;
  /** Σ over rows of ‖W_dec,i‖·ReLU(θ − z) of each dead latent, and scratch for one block; empty without pre-activation loss. */
  readonly silentSums: Float64Array;
  readonly silentLatents: Int32Array;
  readonly silentScores: FloatArray;
  /** AuxK's state, records and rows, see auxiliary.ts; empty without it. */
  readonly auxiliary: Float64Array;
  readonly deadLatents: Int32Array;
  readonly errorSum: FloatArray;
  readonly rowAuxiliary: FloatArray;
  /** The auxiliary squared error's gradient by ê [B, D]. */
  readonly auxResidual: FloatArray;
  readonly auxOffset: Int32Array;
  readonly auxCount: Int32Array;
  readonly auxLatent: Int32Array;
  readonly auxValue: FloatArray;
  readonly auxGradient: FloatArray;
  readonly auxScores: FloatArray;
  readonly auxCandidates: Int32Array;
  readonly auxErrors: FloatArray;
  readonly preActivations: FloatArray;
  readonly selectedValue: FloatArray;
  readonly selectedLatent: Int32Array;
  /** Scratch of the WebAssembly selection, see plan. */
  readonly candidates: Int32Array;
  /** Factors of the encoder's and of the rows' dimensions [2, D] before they are quantised; empty unless screened. */
  readonly equaliser: FloatArray;
  /** Reports [B, SCREENING_FIELDS]; empty unless screened. */
  readonly rowScreening: FloatArray;
  readonly bDecPartials: FloatArray;
  readonly activationSum: FloatArray;
  readonly activeCount: Int32Array;
  /** Order in which blocks of latents are taken, the hottest first. */
  readonly blockOrder: Int32Array;
  readonly blockHeat: Int32Array;
}

/** Views of one fully connected layer of a deep autoencoder. */
export interface LayerViews {
  readonly inputs: number;
  readonly outputs: number;
  readonly relu: boolean;
  /** The layer of whose weights this one has the transposes, see deep-options.ts. */
  readonly tiedTo: number | undefined;
  /** [outputs, inputs]; only its values where it is tied. */
  readonly weight: ParameterViews;
  readonly bias: ParameterViews;
  /** [B, outputs]. */
  readonly activation: FloatArray;
  /** ∂loss/∂z of this layer [B, outputs]. */
  readonly delta: FloatArray;
}

export interface DeepArena extends CommonViews {
  readonly kind: "deep";
  readonly model: DeepModelSetup;
  readonly layers: readonly LayerViews[];
}

export type Arena = SparseArena | DeepArena;

function outputOf(model: ModelSetup): number {
  return model.kind === "sparse" ? outputDimension(model) : inputDimension(model);
}

/** Makes the views of `plan` over `buffer`, which must hold plan.byteLength bytes. */
export function openArena(plan: Plan, buffer: ArenaBuffer): Arena {
  assert(
    buffer.byteLength >= plan.byteLength,
    `memory of ${buffer.byteLength} bytes for a plan of ${plan.byteLength}`,
  );
  const Float = plan.precision === "float32" ? Float32Array : Float64Array;
  const has = (name: string) => plan.regions.some((region) => region.name === name);
  const float = (name: string): FloatArray => {
    if (!has(name)) return new Float(0);
    const { byteOffset, length } = regionOf(plan, name);
    return new Float(buffer as ArrayBuffer, byteOffset, length);
  };
  const int32 = (name: string): Int32Array => {
    if (!has(name)) return new Int32Array(0);
    const { byteOffset, length } = regionOf(plan, name);
    return new Int32Array(buffer, byteOffset, length);
  };
  const float64 = (name: string): Float64Array => {
    if (!has(name)) return new Float64Array(0);
    const { byteOffset, length } = regionOf(plan, name);
    return new Float64Array(buffer, byteOffset, length);
  };
  const matrixRows = float("matrixRows");
  const parameter = (name: string): ParameterViews => ({
    name,
    shape: has(name) ? regionOf(plan, name).shape : [0],
    value: float(name),
    m: float(`${name}.m`),
    v: float(`${name}.v`),
    z: float(`${name}.z`),
    average: float(`${name}.average`),
    gradient: float(`${name}.gradient`),
    squares: float(`${name}.squares`),
    matrix: {
      gram: float(`${name}.gram`),
      factor: float(`${name}.factor`),
      turned: float(`${name}.turned`),
      products: [float(`${name}.product`), float(`${name}.nextProduct`)],
      rows: matrixRows,
      rowsPerWorker: matrixRows.length / plan.workers,
      norm: float64(`${name}.norm`),
    },
  });

  const slots = float("slots");
  const slotLength = slots.length / plan.slots;
  const target = slotLength - plan.setup.training.batchRows * outputOf(plan.setup.model);
  const common: CommonViews = {
    plan,
    team: int32("team"),
    control: int32("control"),
    batches: float64("batches"),
    summaries: float64("summaries"),
    mean: float("mean"),
    slots: Array.from({ length: plan.slots }, (_, slot) =>
      slots.subarray(slot * slotLength, (slot + 1) * slotLength),
    ),
    targets: Array.from({ length: plan.slots }, (_, slot) =>
      slots.subarray(slot * slotLength + target, (slot + 1) * slotLength),
    ),
    rowSquaredError: float("rowSquaredError"),
    rowSquares: float("rowSquares"),
    rowPenalty: float("rowPenalty"),
    gradientNorm: float64("gradientNorm"),
  };

  const { model } = plan.setup;
  if (model.kind === "deep") {
    const last = model.widths.length - 2;
    const layers = Array.from(
      { length: last + 1 },
      (_, layer): LayerViews => ({
        inputs: model.widths[layer] as number,
        outputs: model.widths[layer + 1] as number,
        relu: layer < last || model.outputActivation === "relu",
        tiedTo: tiedTo(model, layer),
        weight: parameter(`layers.${layer}.weight`),
        bias: parameter(`layers.${layer}.bias`),
        activation: float(`activation.${layer + 1}`),
        delta: float(`delta.${layer + 1}`),
      }),
    );
    return { kind: "deep", model, ...common, layers };
  }
  const recordPull = {
    b_enc: float("recordPull.b_enc"),
    threshold: float("recordPull.threshold"),
    r_mag: float("recordPull.r_mag"),
    b_mag: float("recordPull.b_mag"),
  };
  const pulls = latentSums(plan).map(([records, sum]) => ({ records: float(records), sum: float(sum) }));
  return {
    kind: "sparse",
    model,
    ...common,
    W_enc: parameter("W_enc"),
    b_enc: parameter("b_enc"),
    W_dec: parameter("W_dec"),
    b_dec: parameter("b_dec"),
    W_skip: parameter("W_skip"),
    unskipped: float("unskipped"),
    skipZeros: float("skipZeros"),
    threshold: parameter("threshold"),
    r_mag: parameter("r_mag"),
    b_mag: parameter("b_mag"),
    magnitudeGain: float("magnitudeGain"),
    floors: float("floors"),
    batchThreshold: float64("batchThreshold"),
    histogram: int32("histogram"),
    decoderNorm: float("decoderNorm"),
    lastFired: float64("lastFired"),
    fireCount: float64("fireCount"),
    centredInput: has("centredInput") ? float("centredInput") : undefined,
    residual: float("residual"),
    prefixResidual: float("prefixResidual"),
    rowPrefixError: float("rowPrefixError"),
    prefixRunning: float("prefixRunning"),
    rowOffset: int32("rowOffset"),
    rowCount: int32("rowCount"),
    rowActive: int32("rowActive"),
    recordLatent: int32("recordLatent"),
    recordValue: float("recordValue"),
    recordGradient: float("recordGradient"),
    recordGate: float("recordGate"),
    recordPull,
    pulls,
    rowSecondError: float("rowSecondError"),
    gateResidual: float("gateResidual"),
    inputGradient: has("inputGradient") ? float("inputGradient") : float("b_enc.gradient"),
    pAnnealing: float64("pAnnealing"),
    rowNextPenalty: float("rowNextPenalty"),
    wideOffset: int32("wideOffset"),
    wideCount: int32("wideCount"),
    wideLatent: int32("wideLatent"),
    wideValue: float("wideValue"),
    wideGradient: float("wideGradient"),
    wideSorted: float("wideSorted"),
    wideResidual: float("wideResidual"),
    silentSums: float64("silentSums"),
    silentLatents: int32("silentLatents"),
    silentScores: float("silentScores"),
    auxiliary: float64("auxiliary"),
    deadLatents: int32("deadLatents"),
    errorSum: float("errorSum"),
    rowAuxiliary: float("rowAuxiliary"),
    auxResidual: float("auxResidual"),
    auxOffset: int32("auxOffset"),
    auxCount: int32("auxCount"),
    auxLatent: int32("auxLatent"),
    auxValue: float("auxValue"),
    auxGradient: float("auxGradient"),
    auxScores: float("auxScores"),
    auxCandidates: int32("auxCandidates"),
    auxErrors: float("auxErrors"),
    preActivations: float("preActivations"),
    selectedValue: float("selectedValue"),
    selectedLatent: int32("selectedLatent"),
    candidates: int32("candidates"),
    equaliser: float("equaliser"),
    rowScreening: float("rowScreening"),
    bDecPartials: float("b_dec.partials"),
    activationSum: float("activationSum"),
    activeCount: int32("activeCount"),
    blockOrder: int32("blockOrder"),
    blockHeat: int32("blockHeat"),
  };
}

/** The parameter tensors of an arena, in a fixed order. */
export function parametersOf(arena: Arena): ParameterViews[] {
  if (arena.kind === "sparse") {
    const weights = [arena.W_enc, arena.b_enc, arena.W_dec, arena.b_dec];
    const { scalars = [] } = ARCHITECTURES[arena.model.architecture];
    const skip = arena.model.skip === true ? [arena.W_skip] : [];
    return [...weights, ...scalars.map((name) => arena[name]), ...skip];
  }
  return arena.layers.flatMap(({ weight, bias, tiedTo }) => (tiedTo === undefined ? [weight, bias] : [bias]));
}

/** A tied layer's weight with the transposes of its encoder's averages, where there are any. */
function averagedCopy({ weight }: LayerViews, { inputs, outputs, weight: of }: LayerViews): ParameterViews {
  if (of.average.length === 0) return weight;
  const value = weight.value.slice();
  transposeUnits(value, of.average, inputs, outputs, 0, outputs);
  return { ...weight, value };
}

/** An arena's views with the averages of the parameters in their place, where training keeps them; only tied weights are copied. */
export function averagedViews(arena: Arena): Arena {
  const of = (parameter: ParameterViews): ParameterViews =>
    parameter.average.length > 0 ? { ...parameter, value: parameter.average } : parameter;
  if (arena.kind === "deep") {
    const layers = arena.layers.map((layer) => ({
      ...layer,
      weight: of(layer.tiedTo === undefined ? layer.weight : averagedCopy(layer, arena.layers[layer.tiedTo])),
      bias: of(layer.bias),
    }));
    return { ...arena, layers };
  }
  const parameters = Object.fromEntries(
    parametersOf(arena).map((parameter) => [parameter.name, of(parameter)]),
  );
  return { ...arena, ...parameters };
}
