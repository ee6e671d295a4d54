/** The slow, obvious implementation of every kernel: it defines correctness, and runs wherever JavaScript does. */
import type { Kernels } from "../kernels.ts";
import { type Precision, roundingTo } from "../precision.ts";
import { laneScratch } from "./chains.ts";
import { referenceDeepKernels } from "./deep.ts";
import { referenceSparseKernels } from "./sparse.ts";
import { referenceUpdates } from "./update.ts";

/** The reference kernels for arenas of `precision` (default float32). One instance per thread: it holds scratch. */
export function referenceKernels(precision: Precision = "float32"): Kernels {
  const round = roundingTo(precision);
  const lanes = laneScratch(precision);
  const updates = referenceUpdates(round, lanes);
  return {
    variant: precision === "float32" ? "reference" : "reference-float64",
    sparse: referenceSparseKernels(round, lanes, updates),
    deep: referenceDeepKernels(round, lanes, updates),
    updates,
  };
}
