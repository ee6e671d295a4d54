import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { mapConcurrently, readAhead } from "./concurrently.ts";

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

describe("readAhead", () => {
  it("gives results in order; a slot's memory is left alone until the iteration goes on", async () => {
    for (const slots of [1, 3, 20]) {
      const memory = Array.from({ length: slots }, () => -1);
      let running = 0;
      let most = 0;
      const work = async (item: number, slot: number): Promise<{ item: number; slot: number }> => {
        most = Math.max(most, ++running);
        await delay((item * 7) % 5);
        memory[slot] = item;
        running--;
        return { item, slot };
      };
      const seen: number[] = [];
      for await (const { item, slot } of readAhead([0, 1, 2, 3, 4, 5, 6, 7], slots, work)) {
        await delay(1);
        expect(memory[slot]).toBe(item);
        seen.push(item);
      }
      expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      expect(most).toBe(Math.min(slots, 8));
    }
  });

  it("throws in turn, and leaves nothing running, however the iteration ends", async () => {
    let running = 0;
    const work = async (item: number): Promise<number> => {
      running++;
      await delay(item);
      running--;
      if (item === 2) throw new Error("two");
      return item;
    };
    const seen: number[] = [];
    const reading = async (): Promise<void> => {
      for await (const item of readAhead([5, 2, 9, 9], 3, work)) seen.push(item);
    };
    await expect(reading()).rejects.toThrow("two");
    expect(seen).toEqual([5]);
    expect(running).toBe(0);
    for await (const item of readAhead([1, 9, 9], 3, work)) if (item === 1) break;
    expect(running).toBe(0);
  });
});
