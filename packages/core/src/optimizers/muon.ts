/**
 * Muon. For a matrix w [n, d] with gradient g:
 *
 *   m ← β·m + (1 − β)·g        u = (1 − β)·g + β·m        w ← (1 − lr·decay)·w − lr·0.2·√max(n, d)·X
 *
 * where X is what five Newton–Schulz steps make of u/‖u‖: X ← a·X + b·X·G + c·X·G², G = XᵀX, which brings its singular
 * values near 1. Vectors are updated by Adam.
 *
 * X only ever is u/‖u‖ times a polynomial in the first G, and so is G: the steps are done on matrices [d, d] alone,
 * M = a + b·G + c·G², G ← G·M·M, P ← P·M, and u is read twice, for the first G and for u·P. Every product is made of
 * canonical chains, by rows, so that any number of threads gives the same bits.
 */
import { type Arena, parametersOf } from "../arena.ts";
import type { ParameterViews } from "../views.ts";
import { MATRIX_BLOCK } from "../block-sizes.ts";
import { CONTROL } from "../control.ts";
import { tiedTo } from "../deep-options.ts";
import { clipGradients, sumSquares } from "../gradient-norm.ts";
import type { StepContext } from "../kernels.ts";
import { type ModelSetup, outputDimension } from "../setup.ts";
import { blocksOf, PHASE, type Stage } from "../stage.ts";
import { adam } from "./adam.ts";
import type { Optimizer, UpdateKernels } from "./optimizer.ts";

/** Steps of Newton–Schulz, and their coefficients a, b, c. */
const STEPS = 5;
const A = 3.4445;
const B = -4.775;
const C = 2.0315;
/** Makes an update's root mean square that of Adam's (Liu et al. 2025). */
const UPDATE_SCALE = 0.2;
/** ‖u‖ at least, as torch.optim.Muon has it: a matrix without gradient rests. */
const LEAST_NORM = 1e-7;

export const muon: Optimizer = {
  update(on, parameter, offset, length, gradientOffset, step, constrain) {
    if (parameter.shape.length === 1)
      return adam.update(on, parameter, offset, length, gradientOffset, step, constrain);
    const { value, gradient, shape, matrix } = parameter;
    const [rows, columns] = shape;
    const at = step.rank * matrix.rowsPerWorker;
    on.multiply(
      step.rank,
      matrix.rows,
      at,
      gradient,
      gradientOffset,
      length / columns,
      matrix.products[0],
      columns,
      columns,
    );
    const scale =
      (step.update.learningRate * UPDATE_SCALE * Math.sqrt(Math.max(rows, columns))) / normOf(parameter);
    on.mix(value, offset, step.update.decay, value, offset, -on.round(scale), matrix.rows, at, length);
    constrain?.(value, offset, length);
  },
  source: "Jordan et al. 2024, Muon; Liu et al. 2025, Muon is Scalable for LLM Training",
};

function normOf({ matrix }: ParameterViews): number {
  return Math.max(LEAST_NORM, matrix.norm[0]);
}

/** A block of rows of one matrix. */
interface Block {
  readonly parameter: ParameterViews;
  readonly first: number;
  readonly last: number;
}

function blocksOfRows(
  matrices: readonly ParameterViews[],
  rowsOf: (shape: readonly number[]) => number,
): Block[] {
  return matrices.flatMap((parameter) => {
    const rows = rowsOf(parameter.shape);
    return Array.from({ length: blocksOf(rows, MATRIX_BLOCK) }, (_, block) => {
      const first = block * MATRIX_BLOCK;
      return { parameter, first, last: Math.min(first + MATRIX_BLOCK, rows) };
    });
  });
}

/** The stages between complete gradients and the update, in the order of `CONTROL.matrixStage`; the last leads to the update. */
export function muonStages(arena: Arena, on: UpdateKernels, step: StepContext): Stage[] {
  const matrices = parametersOf(arena).filter(({ shape }) => shape.length > 1);
  const tall = blocksOfRows(matrices, ([rows]) => rows);
  const square = blocksOfRows(matrices, ([, columns]) => columns);
  const { control } = arena;
  const stages: Stage[] = [];
  const add = (
    name: string,
    blocks: readonly Block[],
    run: (block: Block) => void,
    end?: () => void,
  ): void => {
    stages.push({
      name,
      blocks: blocks.length,
      run: (block) => run(blocks[block]),
      finish() {
        end?.();
        const next = control[CONTROL.matrixStage] + 1;
        control[CONTROL.matrixStage] = next < stages.length ? next : 0;
        if (next === stages.length) control[CONTROL.phase] = PHASE.update;
      },
    });
  };
  add(
    "momentum",
    tall,
    ({ parameter, first, last }) => turnMomentum(on, arena, parameter, step, first, last),
    () => measureMatrices(matrices),
  );
  add("gram matrix", square, ({ parameter, first, last }) => {
    const { gradient, shape, matrix } = parameter;
    const [rows, columns] = shape;
    on.gram(step.rank, matrix.gram, first * columns, gradient, rows, columns, first, last);
    on.scale(matrix.gram, first * columns, on.round(1 / normOf(parameter) ** 2), (last - first) * columns);
  });
  for (let k = 0; k < STEPS; k++) {
    add("polynomial", square, ({ parameter: { matrix, shape }, first, last }) => {
      const [, d] = shape;
      const { gram, factor } = matrix;
      const [at, length] = [first * d, (last - first) * d];
      on.multiply(step.rank, factor, at, gram, at, last - first, gram, d, d);
      on.mix(factor, at, on.round(C), factor, at, on.round(B), gram, at, length);
      for (let i = first; i < last; i++) factor[i * d + i] = factor[i * d + i] + on.round(A);
    });
    add("product", square, ({ parameter: { matrix, shape }, first, last }) => {
      const [, d] = shape;
      const { gram, factor, turned, products } = matrix;
      const [at, end] = [first * d, last * d];
      const into = products[k % 2];
      if (k === 0) into.set(factor.subarray(at, end), at);
      else on.multiply(step.rank, into, at, products[(k + 1) % 2], at, last - first, factor, d, d);
      if (k + 1 < STEPS) on.multiply(step.rank, turned, at, gram, at, last - first, factor, d, d);
    });
    if (k + 1 === STEPS) continue;
    add("next gram matrix", square, ({ parameter: { matrix, shape }, first, last }) => {
      const [, d] = shape;
      const at = first * d;
      on.multiply(step.rank, matrix.gram, at, matrix.turned, at, last - first, matrix.factor, d, d);
    });
  }
  return stages;
}

/** m and, in the gradient's place, u, of rows [first, last); their squares. */
function turnMomentum(
  on: UpdateKernels,
  arena: Arena,
  parameter: ParameterViews,
  { update: { momentum, momentumRest } }: StepContext,
  first: number,
  last: number,
): void {
  const { m, gradient, shape } = parameter;
  const [, columns] = shape;
  const [at, length] = [first * columns, (last - first) * columns];
  clipGradients(on, arena, parameter, at, length);
  on.mix(m, at, momentum, m, at, momentumRest, gradient, at, length);
  on.mix(gradient, at, momentumRest, gradient, at, momentum, m, at, length);
  for (let row = first; row < last; row++) sumSquares(on, parameter, row, columns);
}

/** ‖u‖ of each matrix: its rows' squares added in order. */
function measureMatrices(matrices: readonly ParameterViews[]): void {
  for (const { squares, matrix } of matrices) {
    let sum = 0;
    for (const square of squares) sum += square;
    matrix.norm[0] = Math.sqrt(sum);
  }
}

/**
 * Multiply-adds that Muon adds to a step, and as a multiple of those of the encoder's product (of a deep autoencoder: of all
 * layers' products going forward).
 */
export function muonCost(
  model: ModelSetup,
  batchRows: number,
): { readonly multiplyAdds: number; readonly share: number } {
  const layers =
    model.kind === "deep"
      ? model.widths.slice(1).map((outputs, layer) => [outputs, model.widths[layer]] as const)
      : [[model.latents, model.dIn] as const];
  const shapes =
    model.kind === "deep"
      ? layers.filter((_shape, layer) => tiedTo(model, layer) === undefined)
      : [
          ...layers,
          [model.latents, outputDimension(model)] as const,
          ...(model.skip === true ? [[outputDimension(model), model.dIn] as const] : []),
        ];
  // Of products [d, d]: two for each M and P, and two more for each next G; the first P is M.
  const squares = 2 * STEPS - 1 + 2 * (STEPS - 1);
  const multiplyAdds = shapes.reduce((sum, [n, d]) => sum + 2 * n * d * d + squares * d ** 3, 0);
  const forward = batchRows * layers.reduce((sum, [n, d]) => sum + n * d, 0);
  return { multiplyAdds, share: multiplyAdds / forward };
}
