import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { automaticLearningRate, type Schedule, scheduledValue } from "./schedule.ts";

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

  it("lies between 0 and the peak, rises in the warm-up and falls in the decay", () => {
    const schedules = fc.record({
      peak: fc.double({ min: 0, max: 10, noNaN: true }),
      warmupSteps: fc.nat(20),
      decaySteps: fc.nat(20),
      totalSteps: fc.integer({ min: 40, max: 60 }),
    });
    fc.assert(
      fc.property(schedules, (schedule) => {
        const all = values(schedule);
        for (const value of all) expect(value >= 0 && value <= schedule.peak).toBe(true);
        const rising = all.slice(0, schedule.warmupSteps);
        const falling = all.slice(schedule.totalSteps - schedule.decaySteps);
        expect(rising).toEqual(rising.toSorted((a, b) => a - b));
        expect(falling).toEqual(falling.toSorted((a, b) => b - a));
      }),
    );
  });
});

describe("automaticLearningRate", () => {
  it("is 2e-4 at 16,384 latents and falls with the root of their number", () => {
    expect(automaticLearningRate(16384)).toBe(2e-4);
    expect(automaticLearningRate(4 * 16384)).toBe(1e-4);
  });
});
