/** The sparse architectures by name: one small file each. */
import type { SparseArchitecture } from "./architecture.ts";
import { relu } from "./relu.ts";
import { topk } from "./topk.ts";

export type { SparseArchitecture } from "./architecture.ts";

export type SparseArchitectureName = "relu" | "topk";

export const ARCHITECTURES: Readonly<Record<SparseArchitectureName, SparseArchitecture>> = { relu, topk };
