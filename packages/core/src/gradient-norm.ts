/**
 * The norm of all gradients together, and clipping by it: g ← g·min(1, limit/(‖g‖ + 1e-6)), as torch's clip_grad_norm_, and
 * as dictionary_learning after the component along unit decoder rows was removed. Each row of a matrix is squared in lane
 * order by whoever completes it; the rows' squares, then those of biases, are added in float64 in a fixed order, so that
 * no bit depends on who computed what.
 */
import { type Arena, parametersOf } from "./arena.ts";
import { GRADIENT_NORM } from "./fields.ts";
import type { ParameterViews } from "./views.ts";
import type { UpdateKernels } from "./optimizers/optimizer.ts";
import { roundingTo } from "./precision.ts";

/** Keeps the square of a matrix's gradient row, where the plan has room for it. */
export function sumSquares(
  on: UpdateKernels,
  { gradient, squares }: ParameterViews,
  row: number,
  columns: number,
): void {
  if (squares.length > 0) squares[row] = on.square(gradient, row * columns, columns);
}

/**
 * Whether a parameter's numbers are lengths of rows, as those of biases and thresholds are: for rows s times as long they
 * are s times as large. Those of matrices, and gains, are ratios.
 */
function isLength({ name, shape }: ParameterViews): boolean {
  return shape.length === 1 && name !== "r_mag";
}

/**
 * Sums the squares of all gradients, and decides by what they are multiplied. Runs on one thread, after all are complete.
 * The norm is that on rows in whose units the limit is meant (`clipUnits`): the loss being s² times as large on rows s
 * times as long, gradients of ratios are s² times as large, and those of lengths s times.
 */
export function measureGradients(arena: Arena): void {
  const { clipNorm = Number.POSITIVE_INFINITY, clipUnits = 1 } = arena.plan.setup.training;
  let sum = 0;
  for (const parameter of parametersOf(arena)) {
    const { shape, squares, gradient } = parameter;
    const weight = clipUnits ** (isLength(parameter) ? -2 : -4);
    if (shape.length > 1) for (const square of squares) sum += weight * square;
    else for (const g of gradient) sum += weight * (g * g);
  }
  const norm = Math.sqrt(sum);
  const factor = Math.min(1, clipNorm / (norm + 1e-6));
  arena.gradientNorm[GRADIENT_NORM.norm] = norm;
  arena.gradientNorm[GRADIENT_NORM.factor] = roundingTo(arena.plan.precision)(factor);
}

/** Multiplies gradients by what {@link measureGradients} decided, where gradients are clipped. */
export function clipGradients(
  on: UpdateKernels,
  arena: Arena,
  { gradient }: ParameterViews,
  offset: number,
  length: number,
): void {
  if (arena.gradientNorm.length === 0) return;
  const factor = arena.gradientNorm[GRADIENT_NORM.factor];
  if (factor !== 1) on.scale(gradient, offset, factor, length);
}
