/** What the plans of sparse and deep models share. */
import { DEEP_ROW_BLOCK, LATENT_BLOCK, ROW_BLOCK, UNIT_BLOCK } from "./block-sizes.ts";
import type { Plan, RegionRole, RegionType } from "./plan.ts";

/** Adds a region to a plan. */
export type Add = (name: string, role: RegionRole, type: RegionType, ...shape: number[]) => void;

/** What else a plan says of its kind of model. */
export type Detail = Pick<Plan, "storeGradients" | "recordCapacity">;

/** A parameter and, in training, what Adam keeps for it. */
export function addParameter(
  add: Add,
  purpose: "train" | "evaluate",
  name: string,
  ...shape: number[]
): void {
  add(name, "parameters", "float", ...shape);
  if (purpose === "train") {
    add(`${name}.m`, "moments", "float", ...shape);
    add(`${name}.v`, "moments", "float", ...shape);
  }
}

/** Output rows or units that a product of columns takes at most. */
const MOST_UNITS = Math.max(ROW_BLOCK, DEEP_ROW_BLOCK, LATENT_BLOCK, UNIT_BLOCK);

/** Numbers of scratch for a product of columns: two packed panels of 384, two columns of tiles of six units. */
export const COMBINE_SCRATCH: number = 2 * 8 * 384 + 2 * 8 * (MOST_UNITS + 6);
