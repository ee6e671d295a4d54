import { expect, it } from "vitest";
import { bestKernelVariant } from "./kernel-variants.ts";
import { integerProductRate, multiplyAddLimit } from "./limits.ts";

it("measures the limits of the kernels that this machine runs, and none of those that have none", () => {
  const variant = bestKernelVariant();
  const limits = [multiplyAddLimit(variant), integerProductRate(variant)];
  const measured = (limit: number | undefined): boolean =>
    limit !== undefined && limit > 0 && Number.isFinite(limit);
  expect(limits.map(measured)).toEqual([variant !== "reference", variant.startsWith("wasm-relaxed-simd")]);
  expect([multiplyAddLimit("reference"), integerProductRate("reference")]).toEqual([undefined, undefined]);
  expect(integerProductRate("wasm-simd")).toBeUndefined();
});
