/** What the plans of sparse and deep models share. */
import { DEEP_ROW_BLOCK, LATENT_BLOCK, ROW_BLOCK, UNIT_BLOCK } from "./block-sizes.ts";
import { keptOf } from "./optimizers/index.ts";
import type { Plan, PlanOptions, RegionRole, RegionType } from "./plan.ts";
import type { TrainingSetup } from "./setup.ts";

/** Adds a region to a plan. */
export type Add = (name: string, role: RegionRole, type: RegionType, ...shape: number[]) => void;

/** What else a plan says of its kind of model. */
export type Detail = Pick<Plan, "storeGradients" | "recordCapacity">;

/** A parameter and, in training, what is kept for it. */
export function addParameter(
  add: Add,
  { setup: { training }, purpose = "train" }: Pick<PlanOptions, "setup" | "purpose">,
  name: string,
  ...shape: number[]
): void {
  add(name, "parameters", "float", ...shape);
  if (purpose !== "train") return;
  for (const kept of keptOf(training, shape))
    add(`${name}.${kept}`, kept === "average" ? "averages" : "moments", "float", ...shape);
  if (shape.length > 1 && gradientsFirst(training))
    add(`${name}.squares`, "gradients", "float", shape[0] as number);
}

/** Whether all gradients must be there before any parameter is updated. */
export function gradientsFirst({ clipNorm }: TrainingSetup): boolean {
  return clipNorm !== undefined;
}

/** Output rows or units that a product of columns takes at most. */
const MOST_UNITS = Math.max(ROW_BLOCK, DEEP_ROW_BLOCK, LATENT_BLOCK, UNIT_BLOCK);

/** Numbers of scratch for a product of columns: two packed panels of 384, two columns of tiles of six units. */
export const COMBINE_SCRATCH: number = 2 * 8 * 384 + 2 * 8 * (MOST_UNITS + 6);
