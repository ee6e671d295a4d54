/** What our numbers mean: one file per family. */
export {
  type CosineMatrix,
  cosineMatrix,
  DUPLICATE_COSINE,
  meanMaximum,
  meanMaximumCosine,
  normaliseDirections,
  type PairwiseCosines,
  pairwiseCosines,
} from "./cosines.ts";
export {
  type DeadCause,
  type DeadLatent,
  type DeadLatentEvidence,
  diagnoseDead,
  type LossSpike,
  lossSpikes,
} from "./dead-latents.ts";
export { type DensityHistogram, densityHistogram } from "./density.ts";
export {
  countDetections,
  type DetectionCounts,
  type DetectionMetrics,
  detectionMetrics,
  emptyDetections,
} from "./detection.ts";
export {
  type Assign,
  bestMatches,
  type Match,
  matchDirections,
  meanCorrelation,
  uniqueness,
} from "./matching.ts";
export {
  addReconstructions,
  emptyReconstructionSums,
  type ReconstructionMetrics,
  reconstructionMetrics,
  type ReconstructionSums,
} from "./reconstruction.ts";
export { addSums, emptySums, type Metrics, metricsOf, type RowSums } from "./row-sums.ts";
