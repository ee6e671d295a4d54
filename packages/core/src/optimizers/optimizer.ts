/**
 * What distinguishes one optimiser from another. Each is written once, over the arithmetic on ranges of tensors that every
 * implementation of the stages has: its bits are theirs.
 */
import type { FloatArray } from "../precision.ts";
import type { ParameterViews } from "../views.ts";
import type { StepContext } from "../kernels.ts";
import type { AdamStep } from "./adam.ts";

/** Brings elements [offset, offset + length) of a parameter, or of a copy of it, back to what its architecture asks for. */
export type Constrain = (values: FloatArray, offset: number, length: number) => void;

/**
 * The arithmetic of updates. Every operation rounds on its own, except in sums (chains, lane order); ranges are given as
 * an array and the index of their first element.
 */
export interface UpdateKernels {
  /** Adam on elements [offset, offset + length), with the gradient from `gradientOffset` on. */
  adam(
    parameter: ParameterViews,
    offset: number,
    length: number,
    gradientOffset: number,
    adam: AdamStep,
  ): void;
  /** out = a·x + b·y; `out` may be x or y. */
  mix(
    out: FloatArray,
    outOffset: number,
    a: number,
    x: FloatArray,
    xOffset: number,
    b: number,
    y: FloatArray,
    yOffset: number,
    length: number,
  ): void;
  /** values −= rate·sign(direction); a direction that is not a number makes the value none, 0 leaves it. */
  signStep(
    values: FloatArray,
    offset: number,
    rate: number,
    direction: FloatArray,
    directionOffset: number,
    length: number,
  ): void;
  /** values *= factor. */
  scale(values: FloatArray, offset: number, factor: number, length: number): void;
  /** out += factor·x: one link of `length` chains. */
  link(
    out: FloatArray,
    outOffset: number,
    factor: number,
    x: FloatArray,
    xOffset: number,
    length: number,
  ): void;
  /** out += Σ factor·row over `count` factors and rows of x [count, length], which begin at their offsets: as many links, in order. */
  links(
    out: FloatArray,
    outOffset: number,
    factors: FloatArray,
    factorsOffset: number,
    x: FloatArray,
    xOffset: number,
    count: number,
    length: number,
  ): void;
  /** Removes from a gradient its component along a unit row: g − (g·w)·w, g·w in lane order. */
  project(
    gradient: FloatArray,
    gradientOffset: number,
    row: FloatArray,
    rowOffset: number,
    length: number,
  ): void;
  /** Σ values², in lane order. */
  square(values: FloatArray, offset: number, length: number): number;
  /** ‖values‖, by lane order. */
  norm(values: FloatArray, offset: number, length: number): number;
  /**
   * Rows [rows, length] of left·right, each element a chain from 0: left [rows, depth], right [depth, length]. `rank`: the
   * calling thread's, for its scratch. At most MATRIX_BLOCK rows.
   */
  multiply(
    rank: number,
    out: FloatArray,
    outOffset: number,
    left: FloatArray,
    leftOffset: number,
    rows: number,
    right: FloatArray,
    depth: number,
    length: number,
  ): void;
  /** Rows [first, last) of xᵀx, at most MATRIX_BLOCK, each element a chain from 0 over the rows of x [rows, columns]. */
  gram(
    rank: number,
    out: FloatArray,
    outOffset: number,
    x: FloatArray,
    rows: number,
    columns: number,
    first: number,
    last: number,
  ): void;
  /** To the arena's precision. */
  round(value: number): number;
  /** values /= ‖values‖, unless that is 0. */
  normalise(values: FloatArray, offset: number, length: number): void;
}

/** An optimiser. */
export interface Optimizer {
  /**
   * Updates elements [offset, offset + length) of a parameter from its gradient at `gradientOffset`. Of a matrix they are
   * one row or several.
   */
  readonly update: (
    on: UpdateKernels,
    parameter: ParameterViews,
    offset: number,
    length: number,
    gradientOffset: number,
    step: StepContext,
    constrain: Constrain | undefined,
  ) => void;
  /** Source of the formulas. */
  readonly source: string;
}
