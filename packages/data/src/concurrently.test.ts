import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { mapConcurrently } from "./concurrently.ts";

describe("mapConcurrently", () => {
  it("keeps the order, and never runs more than its limit at a time", async () => {
    let running = 0;
    let most = 0;
    const results = await mapConcurrently([5, 1, 3, 0, 2, 4], 3, async (ms, index) => {
      most = Math.max(most, ++running);
      await delay(ms);
      running--;
      return [ms, index];
    });
    expect(results).toEqual([5, 1, 3, 0, 2, 4].map((ms, index) => [ms, index]));
    expect(most).toBe(3);
    expect(await mapConcurrently([], 3, async () => 1)).toEqual([]);
  });

  it("throws the first failure in order, begins nothing after it, and leaves nothing running", async () => {
    let running = 0;
    const begun: number[] = [];
    const failing = mapConcurrently([0, 1, 2, 3, 4, 5], 2, async (item) => {
      begun.push(item);
      running++;
      await delay(item === 0 ? 20 : 1);
      running--;
      throw new Error(`item ${item}`);
    });
    await expect(failing).rejects.toThrow("item 0");
    expect(running).toBe(0);
    expect(begun).toEqual([0, 1]);
  });
});
