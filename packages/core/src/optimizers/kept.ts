/** What each optimiser keeps of parameters: what the plan must know of them. */
import type { OptimizerSetup, TrainingSetup } from "../setup.ts";

export type OptimizerName = "adam" | OptimizerSetup["name"];

/** What may be kept for each element of a parameter, beside its value: regions `<name>.<kept>`. */
export type Kept = "m" | "v" | "z" | "average";

const KEEPS: Readonly<Record<OptimizerName, (matrix: boolean) => readonly Kept[]>> = {
  adam: () => ["m", "v"],
  signum: () => ["m"],
  "signum-schedule-free": () => ["z", "average"],
  // Vectors are Adam's.
  muon: (matrix) => (matrix ? ["m"] : ["m", "v"]),
};

/** What a run keeps for each element of a parameter of `shape`, beside its value. */
export function keptOf({ optimizer, ema }: TrainingSetup, shape: readonly number[]): readonly Kept[] {
  const kept = KEEPS[optimizer?.name ?? "adam"](shape.length > 1);
  return ema === undefined ? kept : [...kept, "average"];
}
