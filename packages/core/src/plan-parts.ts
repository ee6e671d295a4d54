/** What the plans of sparse and deep models share. */
import { LATENT_BLOCK, MATRIX_BLOCK, UNIT_BLOCK } from "./block-sizes.ts";
import { keptOf } from "./optimizers/kept.ts";
import type { Plan, PlanOptions, Region, RegionRole, RegionType } from "./plan.ts";
import type { TrainingSetup } from "./setup.ts";
import { DEPTH, PANEL, TILE } from "./tiles.ts";

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
export function gradientsFirst({ clipNorm, optimizer }: TrainingSetup): boolean {
  return clipNorm !== undefined || optimizer?.name === "muon";
}

/** Whether Muon's stages come before the update. */
export function hasMuon({ setup, purpose }: Pick<Plan, "setup" | "purpose">): boolean {
  return purpose === "train" && setup.training.optimizer?.name === "muon";
}

/** Adds Muon's square matrices for each parameter that is one, and its scratch; after all parameters. */
export function addMatrixWork(add: Add, regions: readonly Region[], workers: number): void {
  // Tied weights are none: nothing is kept for them.
  const named = new Set(regions.map(({ name }) => name));
  const matrices = regions.filter(({ name }) => named.has(`${name}.squares`));
  const most = (side: 0 | 1): number => Math.max(...matrices.map(({ shape }) => shape[side] as number));
  for (const { name, shape } of matrices) {
    const columns = shape[1] as number;
    for (const work of ["gram", "factor", "turned", "product", "nextProduct"])
      add(`${name}.${work}`, "scratch", "float", columns, columns);
    add(`${name}.norm`, "control", "float64", 1);
  }
  add("matrixScratch", "scratch", "float", workers, COMBINE_SCRATCH);
  // A cache line more than the rows, as for deltas in plan-deep.ts.
  add("matrixColumns", "scratch", "float", workers, MATRIX_BLOCK, most(0) + 16);
  // Last, and large enough for what tiles read beyond the rows of a block.
  add("matrixRows", "scratch", "float", workers, Math.max(LATENT_BLOCK, UNIT_BLOCK), most(1));
}

/** Output rows or units that a product of columns takes at most. */
const MOST_UNITS = Math.max(LATENT_BLOCK, UNIT_BLOCK, MATRIX_BLOCK);

/** Numbers of scratch for a product of columns: two packed panels of one depth, two columns of tiles. */
export const COMBINE_SCRATCH: number = 2 * PANEL * DEPTH + 2 * PANEL * (MOST_UNITS + TILE);
