/** The encoder of a sparse autoencoder in plain TypeScript: pre-activations of a block of rows, and their records. */
import type { SparseArena } from "../arena-sparse.ts";
import { ARCHITECTURES } from "../architectures/index.ts";
import { ROW_BLOCK } from "../block-sizes.ts";
import { CONTROL } from "../control.ts";
import type { StepContext } from "../kernels.ts";
import type { FloatArray, Round } from "../precision.ts";
import { chainProduct } from "./chains.ts";
import { selectLargest, sortByLatent } from "./select.ts";

/** What the encoder sees: x − b_dec where the architecture subtracts it, else the mini-batch itself. */
export function encoderInput(arena: SparseArena, step: StepContext): FloatArray {
  return arena.centredInput ?? arena.slots[step.slot];
}

/** z = b_enc + W_enc·input of rows [first, last) into the calling thread's part of `preActivations`. */
export function preActivate(
  arena: SparseArena,
  step: StepContext,
  first: number,
  last: number,
  round: Round,
): void {
  const { dIn, latents } = arena.model;
  if (arena.centredInput !== undefined) centreRows(arena, step, first, last);
  const scratch = preActivationRow(arena, step, 0);
  const input = encoderInput(arena, step);
  chainProduct(
    arena.preActivations,
    scratch,
    arena.b_enc.value,
    input,
    first * dIn,
    last - first,
    arena.W_enc.value,
    latents,
    dIn,
    round,
  );
}

/** Where the pre-activations of the `index`-th row of the thread's block begin. */
function preActivationRow(arena: SparseArena, step: StepContext, index: number): number {
  return (step.rank * ROW_BLOCK + index) * arena.model.latents;
}

function centreRows(arena: SparseArena, step: StepContext, first: number, last: number): void {
  const { dIn } = arena.model;
  const x = arena.slots[step.slot];
  const centred = arena.centredInput as FloatArray;
  for (let row = first; row < last; row++) {
    for (let j = 0; j < dIn; j++) centred[row * dIn + j] = x[row * dIn + j] - arena.b_dec.value[j];
  }
}

/**
 * Appends the records of `row`, the `index`-th of the thread's block; false when they do not fit. A NaN among the
 * pre-activations poisons the row's error.
 */
export function selectRow(arena: SparseArena, step: StepContext, row: number, index: number): boolean {
  const z = preActivationRow(arena, step, index);
  const { latents, architecture } = arena.model;
  const { preActivations, floors } = arena;
  const { selection } = ARCHITECTURES[architecture];
  const topk = selection === "topk";
  // BatchTopK has one floor for all latents.
  const stride = selection === "batch" ? 0 : 1;
  let count = 0;
  let finite = true;
  const selected = step.rank * (arena.selectedValue.length / arena.plan.workers);
  if (topk) {
    const found = selectLargest(
      preActivations,
      z,
      latents,
      step.selected,
      arena.selectedValue,
      arena.selectedLatent,
      selected,
    );
    finite = found >= 0;
    // Values are in descending order: the positive ones come first.
    while (count < found && arena.selectedValue[selected + count] > 0) count++;
    sortByLatent(arena.selectedLatent, arena.selectedValue, selected, count);
  } else {
    for (let i = 0; i < latents; i++) {
      if (preActivations[z + i] > floors[stride * i]) count++;
      else if (Number.isNaN(preActivations[z + i])) finite = false;
    }
  }
  arena.rowSquaredError[row] = finite ? 0 : Number.NaN;

  const offset = Atomics.add(arena.control, CONTROL.recordsUsed, count);
  if (offset + count > arena.plan.recordCapacity) return false;
  arena.rowOffset[row] = offset;
  arena.rowCount[row] = count;
  arena.rowActive[row] = count;
  if (topk) {
    for (let i = 0; i < count; i++) {
      arena.recordLatent[offset + i] = arena.selectedLatent[selected + i];
      arena.recordValue[offset + i] = arena.selectedValue[selected + i];
    }
  } else {
    let at = offset;
    for (let i = 0; i < latents; i++) {
      const value = preActivations[z + i];
      if (value > floors[stride * i]) {
        arena.recordLatent[at] = i;
        arena.recordValue[at++] = value;
      }
    }
  }
  return true;
}
