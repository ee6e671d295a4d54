/**
 * Sparseloom's core: sparse and deep autoencoders over Float32Array, without threads, files or node: imports.
 *
 * - Use a model: `SparseAutoencoder.fromFiles(cfg, weights)`, then `encode`, `decode`.
 * - Train a small job on this thread: `LocalTrainer`.
 * - Build a trainer: `planRun` → `allocateMemory` → `openArena` → `initialise` → `createProgram`.
 */

// Models
export { DeepAutoencoder, type DeepAutoencoderParts, type DeepLayer, deepModel } from "./deep-autoencoder.ts";
export { type Fold, foldedModel } from "./folding.ts";
export {
  type Activation,
  SparseAutoencoder,
  type SparseAutoencoderParts,
  type SparseFeatures,
} from "./sparse-autoencoder.ts";
export { transpose } from "./transpose.ts";
export {
  decodeSafetensors,
  encodeSafetensors,
  type SafetensorsData,
  type SafetensorsDtype,
  SafetensorsError,
  type SafetensorsFile,
  type SafetensorsInput,
  safetensorsParts,
  type SafetensorsTensor,
} from "./safetensors.ts";
export type { ModelColumn } from "./model-form.ts";
export {
  columnsTransform,
  IDENTITY_TRANSFORM,
  type RowTransform,
  rowTransform,
  scaleOf,
  type ScaleKind,
  type ScaleStatistics,
  transformMean,
  transformRows,
} from "./normalisation.ts";
export type { RowMoments } from "./layer-norm.ts";

// Training on one thread
export {
  type LocalStart,
  LocalTrainer,
  type LocalTrainerOptions,
  type StepReport,
} from "./local-trainer.ts";

// The parts of a trainer
export {
  ARCHITECTURES,
  hasThresholds,
  type LatentScalar,
  type SparseArchitecture,
  type SparseArchitectureName,
} from "./architectures/index.ts";
export type { DeepArena, LayerViews } from "./arena-deep.ts";
export type { SparseArena } from "./arena-sparse.ts";
export { allocateMemory, type Arena, openArena, parametersOf, type WasmMemory } from "./arena.ts";
export { BATCH, BATCH_FIELDS, BATCH_THRESHOLD, SCREENING, SUMMARY, SUMMARY_FIELDS } from "./fields.ts";
export type { FloatArray, Precision } from "./precision.ts";
export type { ArenaBuffer, ParameterViews } from "./views.ts";
export { OptionError } from "./errors.ts";
export { defaultInitialRate, setInitialBias } from "./initial-bias.ts";
export { initialiseFrom } from "./unfolding.ts";
export {
  exchangeAverages,
  geometricMedian,
  type Initialisation,
  initialise,
  refreshDerived,
  takeAverages,
} from "./initialise.ts";
export type { DeepKernels, Kernels, LatentWeights, SparseKernels, StepContext } from "./kernels.ts";
export { latentPasses } from "./latent-passes.ts";
export type { AdamStep } from "./optimizers/adam.ts";
export {
  bytesByRole,
  type Encoder,
  type Plan,
  type PlanOptions,
  planRun,
  type Region,
  type RegionRole,
} from "./plan.ts";
export { referenceKernels } from "./reference/index.ts";
export {
  bestKernelVariant,
  createKernels,
  type KernelOptions,
  type KernelVariant,
} from "./kernel-variants.ts";
export { integerProductRate, multiplyAddLimit } from "./limits.ts";
export { defaultPrefixes } from "./architectures/matryoshka.ts";
export { defaultAuxK } from "./auxiliary.ts";
export { muonCost } from "./optimizers/muon.ts";
export { latentsSilentFor, resampleLatents, WeightedRows } from "./resampling.ts";
export { canScreen, chooseEncoder } from "./encoder.ts";
export { type AutomaticRate, automaticRate } from "./automatic-rate.ts";
export { constantSchedule, type Schedule, scheduledValue, type ScheduleShape } from "./schedule.ts";
export {
  type AdamSetup,
  type AuxKSetup,
  type DeepModelSetup,
  DEFAULT_ADAM,
  defaultDeadWindow,
  evaluationTraining,
  inputDimension,
  outputDimension,
  rowDimension,
  type JumpSetup,
  type KAnnealSetup,
  type PAnnealSetup,
  type ModelSetup,
  type OptimizerSetup,
  type Setup,
  type SparseModelSetup,
  type TrainingSetup,
} from "./setup.ts";
export type { Stage, StepProgram } from "./stage.ts";
export { createProgram, runStep } from "./stages.ts";
export { countDead } from "./step-context.ts";
export { loadState, type StateTensor, stateTensors } from "./state.ts";
export {
  type DeepTrace,
  type SparseTrace,
  type StepTrace,
  traceStep,
  type TracedLayer,
  type TracedMatrix,
  type TracedParameter,
} from "./trace.ts";

// Metrics
export {
  addReconstructions,
  addSums,
  type Assign,
  bestMatches,
  type CosineMatrix,
  cosineMatrix,
  countDetections,
  type DeadCause,
  type DeadLatent,
  type DeadLatentEvidence,
  type DensityHistogram,
  densityHistogram,
  type DetectionCounts,
  type DetectionMetrics,
  detectionMetrics,
  diagnoseDead,
  DUPLICATE_COSINE,
  emptyDetections,
  emptyReconstructionSums,
  emptySums,
  type LossSpike,
  lossSpikes,
  type Match,
  matchDirections,
  meanCorrelation,
  meanMaximum,
  meanMaximumCosine,
  type Metrics,
  metricsOf,
  normaliseDirections,
  type PairwiseCosines,
  pairwiseCosines,
  type ReconstructionMetrics,
  reconstructionMetrics,
  type ReconstructionSums,
  type RowSums,
  uniqueness,
} from "./metrics/index.ts";
export { convertUnits } from "./units.ts";
