import type { Setup } from "@sparseloom/core";
import { describe, expect, it } from "vitest";
import { checkTrainRequest, type TrainRequest } from "../options.ts";
import { mostSampleRows, sampleBytes } from "./evaluation-steps.ts";

const setupOf = (batchRows: number): Setup =>
  ({ model: { kind: "sparse", dIn: 10 }, training: { batchRows } }) as unknown as Setup;
const optionsOf = (more: TrainRequest) => checkTrainRequest({ latents: 64, ...more });

describe("held-out rows to measure on while training", () => {
  it.each([
    [256, 8192],
    [3000, 6000],
    [8192, 8192],
    [65_536, 8192],
  ])("are whole mini-batches of %d, 8,192 rows at most", (batchRows, rows) => {
    const options = optionsOf({ evalEvery: 10 });
    expect(mostSampleRows(options, setupOf(batchRows))).toBe(rows);
    expect(sampleBytes(options, setupOf(batchRows))).toBe(40 * rows);
  });

  it("are as many as asked for, and none where nothing is to be measured", () => {
    expect(mostSampleRows(optionsOf({ evalEvery: 10, evalSample: 777 }), setupOf(256))).toBe(777);
    expect(mostSampleRows(optionsOf({}), setupOf(256))).toBe(0);
  });
});
