/**
 * The options of `train`, checked by one schema, whether they come as flags or from `--config file.json`.
 * A key's description and its place in the schema are what `--help` prints.
 */
import { z } from "zod";
import { RequestError } from "./errors.ts";
import { checkCombinations } from "./options/combinations.ts";
import { describeIssue } from "./options/describe-issue.ts";
import { MODEL_OPTIONS } from "./options/model.ts";
import { ROW_OPTIONS } from "./options/rows.ts";
import { RUNNING_OPTIONS } from "./options/running.ts";
import { TRAINING_OPTIONS } from "./options/training.ts";
import { withPreset } from "./presets.ts";

/** All options of a training run. Names are the flags in camelCase. */
export const trainSchema = z.strictObject({
  ...MODEL_OPTIONS,
  ...TRAINING_OPTIONS,
  ...ROW_OPTIONS,
  ...RUNNING_OPTIONS,
});

/** Options as given: everything optional. */
export type TrainRequest = z.input<typeof trainSchema>;
/** Options with defaults filled in; those that depend on the corpus may still be missing. */
export type TrainOptions = z.output<typeof trainSchema>;

/** Options that may be given again when a run is resumed: of them only other kernels, if allowed, may change a bit of the result. */
export const RESUME_OPTIONS = [
  "workers",
  "stopAt",
  "stuckTimeout",
  "checkpointEvery",
  "keepCheckpoints",
  "kernels",
  "encoder",
  "audit",
  "experimentalWideSimd",
  "experimentalHugePages",
  "allowDifferentKernels",
] as const;

/**
 * Checks a request and fills in defaults.
 *
 * @throws RequestError naming the first option at fault and what would be right
 */
export function checkTrainRequest(request: unknown): TrainOptions {
  const given = withPreset(request as Readonly<Record<string, unknown>>);
  const parsed = trainSchema.safeParse(given);
  if (!parsed.success) throw new RequestError(describeIssue(parsed.error, given));
  checkCombinations(parsed.data, given);
  return settleOptions(parsed.data, given);
}

/**
 * Options with those set that follow from others. A transcoder's b_dec is of its target, so it is not taken off the
 * input, and begins at the target's mean, as sparsify's does, or as --init-from says; LayerNorm takes off each row's own
 * mean, not the corpus's.
 *
 * @param given options as they were given, a preset's among them
 */
function settleOptions(
  options: Readonly<TrainOptions>,
  given: Readonly<Record<string, unknown>>,
): TrainOptions {
  const transcoder = options.target !== undefined;
  return {
    ...options,
    ...(transcoder && { applyBDecToInput: false }),
    ...(transcoder &&
      given["initBias"] === undefined &&
      options.initFrom === undefined && { initBias: "mean" }),
    ...(options.normalize === "layer-norm" && { center: false }),
  };
}
