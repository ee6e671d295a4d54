/**
 * The large constants of a feature model in one memory that threads can share (directions, correlation), and each
 * thread's own scratch space behind them. A pure layout, and its filling.
 */
import type { FeatureModel } from "./feature-model.ts";
import { Allocator, allocateShared } from "./module.ts";
import type { SharedWasmMemory } from "./module.ts";

/** Rows whose scores are computed at once. */
export const GROUP_ROWS = 4;
/** Features of a block of scores. */
export const SCORE_BLOCK = 64;

/** Byte offsets of one thread's scratch space. */
export interface ScratchLayout {
  /** `[GROUP_ROWS, rank]` */
  readonly normals: number;
  /** `[GROUP_ROWS, standing]` */
  readonly scores: number;
  /** `[GROUP_ROWS, standing / SCORE_BLOCK]` */
  readonly maxima: number;
  /** `[features + 3]` each: a row's active features and their magnitudes. */
  readonly active: number;
  readonly weights: number;
  /** `[stride]` */
  readonly row: number;
}

/** Where everything lies. */
export interface TableLayout {
  /** Numbers of a direction: dIn, filled up to a multiple of 4. */
  readonly stride: number;
  /**
   * Features without a parent, filled up to a multiple of SCORE_BLOCK: their scores are computed for each row,
   * those of the others when their parent is active.
   */
  readonly standing: number;
  /** `[features, stride]` */
  readonly directions: number;
  /** `[stride]` */
  readonly bias: number;
  /** `[rank, standing]` and `[standing]`: the correlation of the features without a parent. */
  readonly factor: number;
  readonly threshold: number;
  readonly scratch: readonly ScratchLayout[];
  readonly bytes: number;
}

/** The tables of a model, for so many threads. */
export interface FeatureTables {
  readonly layout: TableLayout;
  readonly memory: SharedWasmMemory;
}

/** Features without a parent, in order: the roots, then those outside of trees. */
export function standingFeatures(model: FeatureModel): Uint32Array {
  return Uint32Array.from(model.parent.keys()).filter((f) => model.parent[f] === -1);
}

/** @param threads how many scratch spaces. */
function layOutTables(model: FeatureModel, threads: number): TableLayout {
  const { features, dIn } = model.options;
  const { rank } = model;
  const stride = Math.ceil(dIn / 4) * 4;
  const standing = Math.ceil(standingFeatures(model).length / SCORE_BLOCK) * SCORE_BLOCK;
  const allocator = new Allocator();
  const numbers = (count: number): number => allocator.take(count * 4);
  const constants = {
    directions: numbers(features * stride),
    bias: numbers(stride),
    factor: numbers(rank * standing),
    threshold: numbers(standing),
  };
  const scratch = Array.from({ length: threads }, () => ({
    normals: numbers(GROUP_ROWS * rank),
    scores: numbers(GROUP_ROWS * standing),
    maxima: numbers((GROUP_ROWS * standing) / SCORE_BLOCK),
    active: numbers(features + 3),
    weights: numbers(features + 3),
    row: numbers(stride),
  }));
  return { stride, standing, ...constants, scratch, bytes: allocator.end };
}

/**
 * Allocates and fills the tables.
 * @param directions `[features, dIn]`
 */
export function createTables(model: FeatureModel, directions: Float32Array, threads: number): FeatureTables {
  const { features, dIn } = model.options;
  const { rank } = model;
  const layout = layOutTables(model, threads);
  const memory = allocateShared(layout.bytes);
  const numbers = new Float32Array(memory.buffer);
  const { stride, standing } = layout;
  for (let f = 0; f < features; f++) {
    numbers.set(directions.subarray(f * dIn, (f + 1) * dIn), layout.directions / 4 + f * stride);
  }
  numbers.set(model.bias, layout.bias / 4);
  numbers.fill(Infinity, layout.threshold / 4, layout.threshold / 4 + standing);
  for (const [at, f] of standingFeatures(model).entries()) {
    numbers[layout.threshold / 4 + at] = model.threshold[f]!;
    for (let k = 0; k < rank; k++) {
      numbers[layout.factor / 4 + k * standing + at] = model.factor[f * rank + k]!;
    }
  }
  return { layout, memory };
}
