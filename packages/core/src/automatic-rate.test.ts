import { describe, expect, it } from "vitest";
import { automaticRate } from "./automatic-rate.ts";
import type { DeepModelSetup, SparseModelSetup } from "./setup.ts";

const sparse = (architecture: SparseModelSetup["architecture"], latents: number): SparseModelSetup => ({
  kind: "sparse",
  architecture,
  dIn: 8,
  latents,
  k: 4,
  decoder: "unit",
  applyBDecToInput: true,
});
const deep: DeepModelSetup = {
  kind: "deep",
  architecture: "autoencoder",
  widths: [8, 4, 8],
  outputActivation: "linear",
};

describe("the automatic learning rate", () => {
  it("of Adam is 2e-4 at 16,384 latents with k and falls with the root of their number", () => {
    expect(automaticRate(sparse("topk", 16384)).rate).toBe(2e-4);
    expect(automaticRate(sparse("batch-topk", 4 * 16384), "adam").rate).toBe(1e-4);
  });

  it("of sign descent is 5e-3 at 16,384 latents and falls likewise", () => {
    expect(automaticRate(sparse("topk", 16384), "signum-schedule-free").rate).toBe(5e-3);
    expect(automaticRate(sparse("topk", 16384 / 4), "signum").rate).toBe(1e-2);
    expect(automaticRate(sparse("topk", 64), "signum").validity).toContain("a start");
  });

  it("does not depend on the latents of architectures without k, nor of Muon", () => {
    for (const latents of [64, 65536]) {
      expect(automaticRate(sparse("relu", latents)).rate).toBe(3e-4);
      expect(automaticRate(sparse("topk", latents), "muon").rate).toBe(2e-3);
    }
  });

  it("of a deep autoencoder is Adam's usual one, of sign descent half of it", () => {
    expect(automaticRate(deep).rate).toBe(1e-3);
    expect(automaticRate(deep, "signum").rate).toBe(5e-4);
    expect(automaticRate(deep, "muon").rate).toBe(2e-3);
  });
});
