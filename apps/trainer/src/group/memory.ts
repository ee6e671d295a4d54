/** What the models of a group need in memory, and whether the machine has it. */
import type { Plan } from "@sparseloom/core";
import { RequestError } from "../errors.ts";
import { counted } from "../progress.ts";

/** Bytes that the process takes beside plans and windows: threads, code, the corpus's index. */
const PROCESS_BYTES = 150e6;

/** A model and its plan. */
export interface NamedPlan {
  readonly name: string;
  readonly plan: Plan;
}

/**
 * One line about what the models need.
 *
 * @param windowBytes of one of the two shuffle windows
 * @param sampleBytes of the held-out rows that are kept to measure on
 * @param available bytes that the process may still take
 * @throws RequestError when they do not fit, naming each model's bytes and how many would fit
 */
export function checkMemory(
  models: readonly NamedPlan[],
  windowBytes: number,
  sampleBytes: number,
  available: number = process.availableMemory(),
): string {
  const shared = 2 * windowBytes + sampleBytes + PROCESS_BYTES;
  const total = models.reduce((sum, { plan }) => sum + plan.byteLength, shared);
  const gb = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;
  if (total <= available) {
    const names = models.map(({ name }) => name).join(", ");
    return `${counted(models.length, "model")} in one pass over the data, ${gb(total)} of memory: ${names}`;
  }
  const each = models.map(({ name, plan }) => `${name} ${gb(plan.byteLength)}`).join(", ");
  const largest = Math.max(...models.map(({ plan }) => plan.byteLength));
  const fits = Math.max(0, Math.floor((available - shared) / largest));
  throw new RequestError(
    `${counted(models.length, "model")} in one pass need ${gb(total)} of memory (${each}; data and threads ${gb(shared)}), but ${gb(available)} are free: ` +
      (fits > 1
        ? `train ${fits} of them at a time`
        : "train them one by one, or take fewer --latents or a smaller --batch"),
  );
}
