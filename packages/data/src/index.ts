/**
 * Activation corpora: Arrow files of activation vectors, read in blocks, shuffled, measured, sampled and written.
 *
 *   await using corpus = await openCorpus(["activations/*.arrow"]);
 *   for await (const { values, rows } of miniBatches(corpus, { seed: 1, split: "train" })) train(values, rows);
 *
 * Knows nothing of models and starts no threads.
 */

// Errors
export { CorpusError, isCorpusError } from "./errors.ts";
export type { CorpusErrorKind, CorpusErrorPlace } from "./errors.ts";

// Sparse rows, such as features
export { SPARSE_COLUMNS } from "./arrow/sparse-columns.ts";
export { SparseRowWriter } from "./sparse-row-writer.ts";
export type { SparseRowOptions, SparseRowResult, SparseRows } from "./sparse-row-writer.ts";
export { writtenLabels } from "./pack/row-source.ts";
export { requireFree, requireOther } from "./output-file.ts";

// One process at a time
export { ProcessLock } from "./process-lock.ts";
export type { LockedOptions, LockHolder } from "./process-lock.ts";

// Opening and reading
export { openCorpus } from "./open-corpus.ts";
export type { CorpusOptions } from "./open-corpus.ts";
export type { Corpus, CorpusColumn, CorpusFile, LabelValues, RowPlace } from "./corpus.ts";
export { absolutePath } from "./remote/address.ts";
export type { RemoteOptions } from "./remote/options.ts";
export type { Block, Blocks, Segment } from "./blocks.ts";
export type { IgnoredColumn, LabelColumn } from "./arrow/label-columns.ts";
export type { LabelValue } from "./arrow/label-values.ts";
export type { ValueType } from "./arrow/vector-column.ts";

// Splits and the shuffled stream
export { countRows, countSplit, keptRows } from "./split.ts";
export type { HeldOutOptions, Split, SplitCount, SplitOptions } from "./split.ts";
export { checkFilters, filterColumns } from "./filter/row-filter.ts";
export type { FilterColumns, RowFilters } from "./filter/row-filter.ts";
export { planWindows } from "./shuffle.ts";
export type { Shuffle, WindowOptions, WindowPlan } from "./shuffle.ts";
export { miniBatches } from "./mini-batches.ts";
export type { MiniBatch, MiniBatchOptions } from "./mini-batches.ts";
export { RowStream } from "./stream.ts";
export type { RowStreamOptions, StreamPosition } from "./stream.ts";
export type { RowTransform } from "./transform.ts";

// Checking
export { checkCorpus } from "./check.ts";
export type { CheckOptions, CheckResult } from "./check.ts";

// Statistics and samples
export { estimateStatistics, fullStatistics } from "./statistics.ts";
export type { ColumnStatistics } from "./column-statistics.ts";
export type { CorpusStatistics, EstimateOptions, StatisticsOptions } from "./statistics.ts";
export { StatisticsAccumulator } from "./statistics-accumulator.ts";
export type { NormQuantiles, RowStatistics } from "./statistics-accumulator.ts";
export type { ProvisionalStatistics } from "./pilot.ts";
export { readStatistics, writeStatistics } from "./sidecar.ts";
export { sampleRows } from "./sample.ts";
export type { RowSample, SampleOptions } from "./sample.ts";

// Writing and generating
export { writeCorpus } from "./writer.ts";
export type { RowsToWrite, WriteOptions, WriteResult } from "./writer.ts";
export type { WrittenLabelType } from "./arrow/encode.ts";
export type { WrittenLabel } from "./label-builder.ts";
export { createSynthetic } from "./generator.ts";
export type { ActiveFeatures, Magnitude, Synthetic, SyntheticOptions } from "./generator.ts";

// Packing and splitting
export { packCorpus } from "./pack/pack.ts";
export type { PackOptions, PackResult } from "./pack/pack.ts";
export type { RangeReader } from "./range-reader.ts";
export type { RowSelection, RowSource } from "./pack/row-source.ts";
export { splitCorpus } from "./pack/split-files.ts";
export type { SplitFile, SplitFilesOptions } from "./pack/split-files.ts";
export { writeCorpusResumably } from "./writer.ts";
export type { ResumableRows } from "./writer.ts";

// Feature models: synthetic corpora with structure, and their ground truth
export { createFeatureModel } from "./synthetic/feature-model.ts";
export type {
  FeatureHierarchy,
  FeatureModel,
  FeatureModelOptions,
  FeatureProbability,
} from "./synthetic/feature-model.ts";
export {
  FEATURE_MODEL_PRESETS,
  featureModelPreset,
  parseScale,
  scaleFeatureModel,
} from "./synthetic/presets.ts";
export type { FeatureModelPreset } from "./synthetic/presets.ts";
export { openKnownFeatures } from "./synthetic/known-features.ts";
export type { KnownFeatures, KnownFeaturesOptions } from "./synthetic/known-features.ts";
export { openSyntheticCorpus } from "./synthetic/corpus.ts";
export type { RowMaker, SyntheticCorpusOptions } from "./synthetic/corpus.ts";
export { isSyntheticPath, parseSyntheticPath } from "./synthetic/path.ts";
export type { SyntheticPath } from "./synthetic/path.ts";
export { RowSampler } from "./synthetic/row-sampler.ts";
export type { ActiveFeaturesOfRow } from "./synthetic/row-sampler.ts";
export type { FeatureTables } from "./synthetic/tables.ts";
