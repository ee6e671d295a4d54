import { expect, it } from "vitest";
import * as api from "./index.ts";

it("exports these names and no others", () => {
  expect(Object.keys(api).sort()).toMatchInlineSnapshot(`
    [
      "CorpusError",
      "RowStream",
      "StatisticsAccumulator",
      "countRows",
      "createSynthetic",
      "estimateStatistics",
      "fullStatistics",
      "isCorpusError",
      "keptRows",
      "openCorpus",
      "readStatistics",
      "sampleRows",
      "writeCorpus",
      "writeStatistics",
    ]
  `);
});
