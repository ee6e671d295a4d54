/** When dead latents are resampled, from the options: the steps before which it is done, and who is dead then. */
import type { ModelSetup } from "@sparseloom/core";
import { RequestError } from "../errors.ts";
import type { TrainOptions } from "../options.ts";
import { counted } from "../progress.ts";
import type { Resampling } from "../resample.ts";

/** Rows evaluated for resampling (Bricken et al. 2023). */
const RESAMPLE_ROWS = 819_200;

/**
 * What the options ask for. By default a latent is dead when it was silent over half the way from one resampling to the
 * next, as in the source.
 *
 * @throws RequestError where the run ends before, and for transcoders
 */
export function resamplingOf(
  {
    resampleAt,
    resampleEvery,
    resampleUntil,
    resampleWindow,
    resampleRows: rows = RESAMPLE_ROWS,
  }: TrainOptions,
  model: ModelSetup,
  batchRows: number,
  totalSteps: number,
): { resampling?: Resampling } {
  const steps = (resampleAt ?? []).toSorted((a, b) => a - b);
  if (resampleEvery !== undefined)
    for (let step = resampleEvery; step <= (resampleUntil ?? totalSteps / 2); step += resampleEvery)
      steps.push(step);
  if (resampleAt === undefined && resampleEvery === undefined) return {};
  if (model.kind === "sparse" && model.dOut !== undefined)
    throw new RequestError("resampling is for models that rebuild what they read, not for transcoders");
  const last = steps.at(-1);
  if (last === undefined || last >= totalSteps) {
    const what = last === undefined ? `--resample-every ${resampleEvery}` : `step ${last}`;
    throw new RequestError(
      `${what} is too late to resample: the run has ${counted(totalSteps, "step")}${last === undefined ? ", of which the first half is resampled in: see --resample-until" : ""}`,
    );
  }
  const windowOf = (index: number): number =>
    resampleWindow ?? Math.ceil((batchRows * (steps[index] - (steps[index - 1] ?? 0))) / 2);
  return { resampling: { events: steps.map((step, index) => ({ step, window: windowOf(index) })), rows } };
}
