import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Schedule, scheduledValue } from "./schedule.ts";

const values = (schedule: Schedule, from = 0, to = schedule.totalSteps): number[] =>
  Array.from({ length: to - from }, (_, i) => scheduledValue(schedule, from + i));

describe("scheduledValue", () => {
  it("warms up from 1/warmupSteps, stays, and decays to 1/decaySteps of the peak", () => {
    expect(values({ peak: 8, warmupSteps: 4, decaySteps: 2, totalSteps: 10 })).toEqual([
      2, 4, 6, 8, 8, 8, 8, 8, 8, 4,
    ]);
  });

  it("is constant without warm-up and decay", () => {
    expect(values({ peak: 0.3, warmupSteps: 0, decaySteps: 0, totalSteps: 3 })).toEqual([0.3, 0.3, 0.3]);
  });

  it("multiplies warm-up and decay where they overlap", () => {
    expect(values({ peak: 1, warmupSteps: 4, decaySteps: 4, totalSteps: 4 })).toEqual([
      0.25 * 1,
      0.5 * 0.75,
      0.75 * 0.5,
      1 * 0.25,
    ]);
  });

  it("is 0 after a run that decays, and the peak after one that does not", () => {
    expect(values({ peak: 1, warmupSteps: 0, decaySteps: 2, totalSteps: 4 }, 4, 6)).toEqual([0, 0]);
    expect(values({ peak: 1, warmupSteps: 0, decaySteps: 0, totalSteps: 4 }, 4, 6)).toEqual([1, 1]);
  });

  it("warms up from a share of the peak that is given, which the first step takes", () => {
    expect(values({ peak: 16, warmupSteps: 4, warmupStart: 0.25, decaySteps: 0, totalSteps: 6 })).toEqual([
      4, 7, 10, 13, 16, 16,
    ]);
  });

  it("warms up along half a cosine", () => {
    const schedule: Schedule = { peak: 1, warmupSteps: 4, warmupStart: 0.1, decaySteps: 0, totalSteps: 6 };
    const expected = [0, 1, 2, 3, 4].map((step) => 0.1 + 0.9 * (0.5 - 0.5 * Math.cos((Math.PI * step) / 4)));
    values({ ...schedule, warmupShape: "cosine" }, 0, 5).forEach((value, step) =>
      expect(value).toBeCloseTo(expected[step]!, 12),
    );
  });

  it("decays along half a cosine, as torch's CosineAnnealingLR", () => {
    // CosineAnnealingLR(lr=2, T_max=4, eta_min=0.5), its first four values.
    const schedule: Schedule = {
      peak: 2,
      warmupSteps: 0,
      decaySteps: 4,
      totalSteps: 4,
      decayShape: "cosine",
      end: 0.5,
    };
    const torch = [2, 1.7803300858899107, 1.25, 0.7196699141100893];
    values(schedule).forEach((value, step) => expect(value).toBeCloseTo(torch[step]!, 12));
    expect(values(schedule, 4, 6)).toEqual([0.5, 0.5]);
  });

  it("decays to an end that is given", () => {
    expect(values({ peak: 9, warmupSteps: 0, decaySteps: 4, totalSteps: 6, end: 1 }, 0, 7)).toEqual([
      9, 9, 9, 7, 5, 3, 1,
    ]);
  });

  it("lies between 0 and the peak, rises in the warm-up and falls in the decay", () => {
    const schedules = fc.record({
      peak: fc.double({ min: 0, max: 10, noNaN: true }),
      warmupSteps: fc.nat(20),
      decaySteps: fc.nat(20),
      warmupStart: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
      warmupShape: fc.constantFrom("linear" as const, "cosine" as const),
      decayShape: fc.constantFrom("linear" as const, "cosine" as const),
      endShare: fc.double({ min: 0, max: 1, noNaN: true }),
      totalSteps: fc.integer({ min: 40, max: 60 }),
    });
    fc.assert(
      fc.property(schedules, ({ warmupStart, endShare, ...rest }) => {
        const start = warmupStart === undefined ? {} : { warmupStart };
        const schedule: Schedule = { ...rest, ...start, end: endShare * rest.peak };
        const all = values(schedule);
        const most = schedule.peak * (1 + 1e-15);
        for (const value of all) expect(value >= 0 && value <= most).toBe(true);
        const rising = all.slice(0, schedule.warmupSteps);
        const falling = all.slice(schedule.totalSteps - schedule.decaySteps);
        const close = (found: number[], sorted: number[]): void =>
          found.forEach((value, i) => expect(Math.abs(value - sorted[i]!)).toBeLessThanOrEqual(1e-14));
        close(
          rising,
          rising.toSorted((a, b) => a - b),
        );
        close(
          falling,
          falling.toSorted((a, b) => b - a),
        );
      }),
    );
  });
});
