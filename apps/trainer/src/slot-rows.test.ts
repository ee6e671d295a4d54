import type { ModelSetup } from "@sparseloom/core";
import { describe, expect, it } from "vitest";
import { partOfRows, putRows } from "./slot-rows.ts";

const autoencoder: ModelSetup = {
  kind: "sparse",
  architecture: "topk",
  dIn: 2,
  latents: 4,
  k: 1,
  decoder: "unit",
  applyBDecToInput: false,
};
const transcoder: ModelSetup = { ...autoencoder, dOut: 1 };

describe("rows in slots", () => {
  it("are as they come, from any row on", () => {
    const slot = new Float32Array(6).fill(9);
    putRows(slot, Float32Array.of(1, 2, 3, 4, 5, 6), 1, 2, autoencoder, 3);
    expect([...slot]).toEqual([3, 4, 5, 6, 9, 9]);
  });

  it("of a transcoder are all inputs, then all targets, whose place a short mini-batch does not move", () => {
    const slot = new Float32Array(9).fill(9);
    putRows(slot, Float32Array.of(1, 2, 30, 4, 5, 60, 7, 8, 90), 1, 2, transcoder, 3);
    expect([...slot]).toEqual([4, 5, 7, 8, 9, 9, 60, 90, 9]);
  });
});

it("the parts of rows are the rows, or of a transcoder what it reads and what it rebuilds", () => {
  const rows = Float32Array.of(1, 2, 30, 4, 5, 60);
  expect(partOfRows(rows, autoencoder, "target")).toBe(rows);
  expect([...partOfRows(rows, transcoder, "input")]).toEqual([1, 2, 4, 5]);
  expect([...partOfRows(rows, transcoder, "target")]).toEqual([30, 60]);
});
