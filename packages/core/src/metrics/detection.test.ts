import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countDetections, detectionMetrics, emptyDetections } from "./detection.ts";

describe("detectionMetrics", () => {
  it("of a latent that fires with its feature and once without, and misses it twice", () => {
    const counts = emptyDetections(Int32Array.of(0, 1), 2);
    for (const [latents, features] of [
      [[0], [0]],
      [[0], []],
      [[], [0]],
      [[1], [0, 1]],
    ] as const)
      countDetections(counts, latents, 0, latents.length, features);
    const { precision, recall, f1, trueL0, latents } = detectionMetrics(counts);
    expect([...latents.precision]).toEqual([1 / 2, 1]);
    expect([...latents.recall]).toEqual([1 / 3, 1]);
    expect(latents.f1[0]).toBeCloseTo(0.4, 12);
    expect(precision).toBeCloseTo(0.75, 12);
    expect(recall).toBeCloseTo(2 / 3, 12);
    expect(f1).toBeCloseTo(0.7, 12);
    expect(trueL0).toBe(1);
  });

  it("are 0 for a latent that never fires, and for a feature that is never there", () => {
    const counts = emptyDetections(Int32Array.of(0, 1, 1), 2);
    countDetections(counts, [1], 0, 1, [0]);
    const { latents } = detectionMetrics(counts);
    expect([...latents.f1]).toEqual([0, 0, 0]);
    expect([...latents.precision]).toEqual([0, 0, 0]);
  });

  it("follow from a table of all rows, for any rows", () => {
    const bits = (length: number) => fc.array(fc.boolean(), { minLength: length, maxLength: length });
    const row = fc.record({ active: bits(5), truth: bits(4) });
    const match = fc.array(fc.nat(3), { minLength: 5, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 30 }), match, (rows, featureOf) => {
        const counts = emptyDetections(Int32Array.from(featureOf), 4);
        const indices = (flags: boolean[]) => flags.flatMap((on, index) => (on ? [index] : []));
        for (const { active, truth } of rows) {
          // As among records: the row's latents somewhere in a longer list.
          const list = [4, ...indices(active), 3];
          countDetections(counts, list, 1, list.length - 1, indices(truth));
        }
        const { latents } = detectionMetrics(counts);
        featureOf.forEach((feature, latent) => {
          const count = (test: (row: { active: boolean[]; truth: boolean[] }) => boolean) =>
            rows.filter(test).length;
          const hits = count(({ active, truth }) => active[latent]! && truth[feature]!);
          const wrong = count(({ active, truth }) => active[latent]! && !truth[feature]!);
          const missed = count(({ active, truth }) => !active[latent]! && truth[feature]!);
          expect(latents.precision[latent]).toBe(hits > 0 ? hits / (hits + wrong) : 0);
          expect(latents.recall[latent]).toBe(hits > 0 ? hits / (hits + missed) : 0);
          expect(latents.f1[latent]).toBeCloseTo(hits > 0 ? (2 * hits) / (2 * hits + wrong + missed) : 0, 12);
        });
      }),
    );
  });
});
