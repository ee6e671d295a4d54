/**
 * Typed-array views of a run's memory: those that every model has, and how views are found by the name of their region.
 * What else a kind of model has is in arena-sparse.ts and arena-deep.ts.
 */
import type { FloatArray } from "./precision.ts";
import { type Plan, regionOf } from "./plan.ts";
import { inputDimension, type ModelSetup, outputDimension } from "./setup.ts";

/** A run's memory: shared between threads, or private to one. */
export type ArenaBuffer = ArrayBuffer | SharedArrayBuffer;

/** What every arena has. B batchRows. */
export interface CommonViews {
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
  /** See `GRADIENT_NORM` in fields.ts; empty where it is not asked for. */
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

/** Makes views of a memory's regions by their names; of a region that the plan does not have, an empty one. */
export interface RegionViews {
  readonly has: (name: string) => boolean;
  readonly float: (name: string) => FloatArray;
  readonly int32: (name: string) => Int32Array;
  readonly float64: (name: string) => Float64Array;
  /** A parameter with everything that the plan keeps for it. */
  readonly parameter: (name: string) => ParameterViews;
}

/** The views of `plan`'s regions over `buffer`. */
export function viewRegions(plan: Plan, buffer: ArenaBuffer): RegionViews {
  const Float = plan.precision === "float32" ? Float32Array : Float64Array;
  const has = (name: string): boolean => plan.regions.some((region) => region.name === name);
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
  return { has, float, int32, float64, parameter };
}

/** Makes the views that every model has. */
export function viewCommon(plan: Plan, { float, int32, float64 }: RegionViews): CommonViews {
  const slots = float("slots");
  const slotLength = slots.length / plan.slots;
  const target = slotLength - plan.setup.training.batchRows * outputOf(plan.setup.model);
  return {
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
}

function outputOf(model: ModelSetup): number {
  return model.kind === "sparse" ? outputDimension(model) : inputDimension(model);
}
