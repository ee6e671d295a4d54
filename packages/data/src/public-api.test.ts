import { expect, it } from "vitest";
import * as api from "./index.ts";

it("exports these names and no others", () => {
  expect(Object.keys(api).sort()).toMatchInlineSnapshot(`
    [
      "CorpusError",
      "FEATURE_MODEL_PRESETS",
      "ProcessLock",
      "RowSampler",
      "RowStream",
      "SPARSE_COLUMNS",
      "SparseRowWriter",
      "StatisticsAccumulator",
      "absolutePath",
      "checkCorpus",
      "checkFilters",
      "countRows",
      "countSplit",
      "createFeatureModel",
      "createSynthetic",
      "estimateStatistics",
      "featureModelPreset",
      "fullStatistics",
      "isCorpusError",
      "isSyntheticPath",
      "keptRows",
      "miniBatches",
      "openCorpus",
      "openKnownFeatures",
      "openSyntheticCorpus",
      "packCorpus",
      "parseScale",
      "parseSyntheticPath",
      "planWindows",
      "readStatistics",
      "requireFree",
      "requireOther",
      "sampleRows",
      "scaleFeatureModel",
      "splitCorpus",
      "writeCorpus",
      "writeCorpusResumably",
      "writeStatistics",
      "writtenLabels",
    ]
  `);
});
