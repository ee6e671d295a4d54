import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { bestKernelVariant, integerProductRate } from "@sparseloom/core";
import { describe, expect, it } from "vitest";

const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));

interface Report {
  readonly kernelVariant: string;
  readonly multiplyAddLimit: number | null;
  readonly integerProductRate: number | null;
  readonly step: {
    readonly encoder: string;
    readonly workers: number;
    readonly activationsPerSecond: number;
    readonly shareOfLimit: number | null;
  };
}

function doctor(...args: string[]): string {
  return execFileSync(process.execPath, [CLI, "doctor", "--batch", "64", "--k", "4", ...args], {
    encoding: "utf8",
  });
}

describe("doctor", () => {
  const variant = bestKernelVariant();
  const screens = variant.startsWith("wasm-relaxed-simd");

  it.each([
    ["exact", "32", "64"],
    [screens ? "screened" : "exact", "256", "1024"],
  ])("times a step with the encoder that auto takes: %s", (encoder, d, latents) => {
    const report = JSON.parse(doctor("--d", d, "--latents", latents, "--workers", "1", "--json")) as Report;
    expect(report.kernelVariant).toBe(variant);
    expect(report.step).toMatchObject({ encoder, workers: 1 });
    expect(report.step.activationsPerSecond).toBeGreaterThan(0);
    expect(report.integerProductRate === null).toBe(integerProductRate(variant) === undefined);
  });

  it("times a step by another optimiser, and tells what Muon adds to it", () => {
    const text = doctor("--d", "32", "--latents", "64", "--workers", "1", "--optimizer", "muon");
    expect(text).toMatch(
      /exact encoder, muon \(0\.00275 GFLOP more per step, 11 times the encoder's product\):$/m,
    );
  });

  it("says the same in words, with both limits", () => {
    const text = doctor("--d", "32", "--latents", "64", "--workers", "1");
    expect(text).toMatch(/^step {5}TopK, d 32, 64 latents, k 4, batch 64, 1 worker, exact encoder:$/m);
    expect(/GFLOP\/s of 128-bit float32 multiply-adds; \d+ GOP\/s of the screened/.test(text)).toBe(screens);
  });
});
