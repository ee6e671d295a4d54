/** The sparse architectures by name: one small file each. */
import type { SparseArchitecture } from "./architecture.ts";
import { batchTopK } from "./batch-topk.ts";
import { gated } from "./gated.ts";
import { jumpReLU } from "./jumprelu.ts";
import { matryoshka } from "./matryoshka.ts";
import { relu } from "./relu.ts";
import { topk } from "./topk.ts";

export {
  hasThresholds,
  type LatentScalar,
  pulledBy,
  type RowRules,
  type SparseArchitecture,
} from "./architecture.ts";

export type SparseArchitectureName = "relu" | "topk" | "batch-topk" | "matryoshka" | "jumprelu" | "gated";

export const ARCHITECTURES: Readonly<Record<SparseArchitectureName, SparseArchitecture>> = {
  relu,
  topk,
  "batch-topk": batchTopK,
  matryoshka,
  jumprelu: jumpReLU,
  gated,
};
