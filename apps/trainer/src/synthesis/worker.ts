/** A generator thread: makes rows of a synthetic corpus into shared memory, a piece at a time. */
import { createFeatureModel, RowSampler } from "@sparseloom/data";
import { workerData } from "piscina";
import type { GeneratorData, GeneratorTask } from "./protocol.ts";

const { model, tables, next } = workerData as GeneratorData;
// The threads number themselves: each samples in a scratch space of its own; the first is the main thread's.
const sampler = new RowSampler(createFeatureModel(model), tables, 1 + Atomics.add(next, 0, 1));

/** The task that piscina runs. */
export function make({ slots, offset, firstRow, rows }: GeneratorTask): void {
  sampler.fill(new Float32Array(slots, offset, rows * model.dIn), firstRow, rows);
}
